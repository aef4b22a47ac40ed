"""launch/setup.sh where there is no root, where PyTorch is somebody else's, and where something cannot be had."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support import REPOSITORY, main

USAGE, ENVIRONMENT, SKIPPED = 2, 4, 77
ROOM = REPOSITORY / "tests/system/room.sh"
UNREACHABLE = re.compile("Failed to fetch|Unable to fetch|Could not resolve|Unable to locate package")

PROGRAM = """
#include <hdf5.h>
#include <mpi.h>
#include <cstdio>
int main(int argc, char** argv) {
  int rank = 0;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  std::printf("rank %d: %s\\n", rank, H5open() < 0 ? "no HDF5" : "HDF5");
  MPI_Finalize();
}
"""


def run(*command, environment=None, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=280,
                          env=environment, **options)


def copy_sources(target):
    """The repository's files as they are now, without what was built or fetched."""
    listed = run("git", "-c", f"safe.directory={REPOSITORY}", "ls-files", "-z", "--cached", "--others",
                 "--exclude-standard", cwd=REPOSITORY)
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)


def found_paths(build):
    """What CMake found, by the names of its cache."""
    return dict(re.findall(r"(?m)^([\w-]+):(?:FILE)?PATH=(/.*)$", (build / "CMakeCache.txt").read_text()))


class Folder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)


class WithoutRoot(Folder):
    """As the user nobody, on this machine without its compilers, libraries and MPI."""

    def in_room(self, command):
        done = run(ROOM, self.folder, "bash", "-euc", f"cd {self.clone}; {command}")
        if done.returncode == SKIPPED:
            self.skipTest(done.stderr.strip())
        return done

    def setUp(self):
        super().setUp()
        self.clone = self.folder / "kvcomm"
        copy_sources(self.clone)
        (self.clone / "models").symlink_to(REPOSITORY / "models")
        self.lend_venv()
        (self.clone / "ranks.cpp").write_text(PROGRAM)
        run("chown", "--recursive", "--no-dereference", "nobody:nogroup", self.folder, check=True)

    def lend_venv(self):
        """This repository's packages from PyPI, which take long to fetch, for the Python that will be unpacked."""
        venv, python = self.clone / ".venv", self.clone / "third_party/debian/usr/bin/python3"
        (venv / "bin").mkdir(parents=True)
        (venv / "bin/python").symlink_to(python)
        (venv / "pyvenv.cfg").write_text(f"home = {python.parent}\n")
        for name in ("lib", ".requirements.sha256"):
            (venv / name).symlink_to(REPOSITORY / ".venv" / name)

    def test_packages_come_unpacked_and_all_is_found_among_them(self):
        self.in_room("! command -v g++ cmake ninja mpirun sudo")
        done = self.in_room("launch/setup.sh kvc_build_info")
        if done.returncode and UNREACHABLE.search(done.stderr):
            self.skipTest("no Debian mirror can be reached:\n" + done.stderr[-500:])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("third_party/env.sh", done.stderr)

        found = found_paths(self.clone / "build")
        libraries = {Path(path).name for path in found.values()}
        self.assertLessEqual({"libmpi.so", "libhdf5.so", "libpcre2-8.so", "libutf8proc.so", "libxxhash.so", "fmt",
                              "CLI11", "spdlog", "nlohmann_json", "tomlplusplus", "simdjson", "GTest"}, libraries)
        self.assertEqual({name: path for name, path in found.items() if not path.startswith(f"{self.clone}/")
                          and name not in ("CMAKE_INSTALL_PREFIX", "PKG_CONFIG_EXECUTABLE")}, {})
        commands = (self.clone / "build/compile_commands.json").read_text()
        self.assertEqual(set(re.findall(r"-(?:I|isystem )/usr\S*", commands)), set())

        # Who calls them by their paths needs no variables; who sources env.sh needs no paths.
        compiled = self.in_room(
            'build="third_party/bin/g++ -DOMPI_SKIP_MPICXX ranks.cpp -o ranks -lhdf5_serial"; '
            '$build -isystem third_party/debian/usr/include/hdf5/serial $(third_party/bin/mpicc --showme:compile) '
            '$(third_party/bin/mpicc --showme:link); '
            'third_party/bin/mpirun -np 2 --oversubscribe ranks; '
            '. third_party/env.sh; mpirun -np 2 --oversubscribe ranks')
        self.assertEqual(compiled.returncode, 0, compiled.stderr)
        self.assertEqual(sorted(compiled.stdout.splitlines()), ["rank 0: HDF5"] * 2 + ["rank 1: HDF5"] * 2)
        self.assertEqual(compiled.stderr, "")  # Open MPI found all of its parts

        again = self.in_room("launch/setup.sh kvc_build_info")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertNotIn("unpacking", again.stderr)


class Sentences(Folder):
    def setup(self, **variables):
        clone = self.folder / "kvcomm"
        if not clone.exists():
            clone.mkdir()
            shutil.copytree(REPOSITORY / "launch", clone / "launch", ignore=shutil.ignore_patterns("__pycache__"))
        return run(clone / "launch/setup.sh", "kvcomm", environment={**os.environ, **variables})

    def refused(self, done, code, *parts):
        self.assertEqual(done.returncode, code, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)
        self.assertFalse((self.folder / "kvcomm/.venv").exists())

    def test_what_cannot_be_had_is_named(self):
        tools = self.folder / "bin"
        tools.mkdir()
        for name in ("bash", "dirname", "mkdir", "flock", "grep", "xargs", "echo", "nproc"):
            (tools / name).symlink_to(shutil.which(name))
        self.refused(self.setup(PATH=str(tools), PYTHON=sys.executable, WNSEARCHDIR="/nowhere"), ENVIRONMENT,
                     "no apt-get", "g++ cmake ninja-build openmpi-bin libopenmpi-dev", "libhdf5-dev", "wordnet-base",
                     "docs/cluster.md")

    def test_unknown_ways_to_packages(self):
        self.refused(self.setup(KVCOMM_PACKAGES="yum"), USAGE, "'yum'", "auto, unpack or no")

    def test_a_torch_that_is_none(self):
        self.refused(self.setup(KVCOMM_TORCH=str(self.folder)), ENVIRONMENT, str(self.folder), "libtorch_cpu.so")
        self.refused(self.setup(KVCOMM_TORCH="/bin/false"), ENVIRONMENT, "'/bin/false'", "no Python that has torch")


class Configuring(Folder):
    """CMake's own words, of a libtorch that is only a folder of empty files."""

    def torch(self, version="2.11.0", old_abi=0):
        torch = self.folder / "torch"
        for name, text in (("lib/libtorch_cpu.so", ""), ("lib/libc10.so", ""),
                           ("version.py", f"__version__ = '{version}+cpu'\n"),
                           ("share/cmake/Torch/TorchConfig.cmake",
                            f'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI={1 - old_abi}")\n')):
            (torch / name).parent.mkdir(parents=True, exist_ok=True)
            (torch / name).write_text(text)
        return torch

    def configure(self, torch, *options):
        return run("cmake", "-G", "Ninja", "-S", REPOSITORY, "-B", self.folder / "build", f"-DKVCOMM_TORCH={torch}",
                   *options)

    def words(self, done):
        return " ".join(done.stderr.split())

    def test_another_version_warns_and_a_library_is_found_below_its_root(self):
        root = self.folder / "pcre2"
        for name in ("include", "lib"):
            (root / name).mkdir(parents=True)
        (root / "include/pcre2.h").touch()
        (root / "lib/libpcre2-8.so").touch()
        done = self.configure(self.torch("2.9.1"), f"-DPCRE2_ROOT={root}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("is version 2.9.1+cpu. kvcomm is built and tested with 2.11", self.words(done))
        self.assertEqual(found_paths(self.folder / "build")["PCRE2_LIBRARY"], f"{root}/lib/libpcre2-8.so")

    def test_refusals(self):
        for old_abi, options, said in (
                (1, (), "is built with _GLIBCXX_USE_CXX11_ABI=0"),
                (0, ("-DKVCOMM_CUDA=ON",), "has no CUDA half"),
                (0, ("-DKVCOMM_CUDA=OFF", "-DCMAKE_DISABLE_FIND_PACKAGE_fmt=ON"),
                 "fmt is not found: install Debian's libfmt-dev or conda-forge's fmt")):
            done = self.configure(self.torch(old_abi=old_abi), *options)
            self.assertNotEqual(done.returncode, 0, said)
            self.assertIn(said, self.words(done))


if __name__ == "__main__":
    main()
