#!/usr/bin/env python3
"""Packs what a bare GPU machine lacks into <build folder>/gpu_bundle.tar.xz.

    python3 launch/gpu_check/pack.py build-cuda

In it: the stripped programs, Open MPI with its plugins and PMIx, the shared libraries of all of them, and a
tokenizer. Not in it: what every Linux has (glibc, libstdc++) and what the other machine's Python brings (libtorch,
CUDA). It is packed again only where one of these files changed.
"""

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from bundle import ROOT, leave

TOKENIZER = ROOT / "models/HuggingFaceTB/SmolLM2-135M-Instruct"
LARGEST_BYTES = 20_000_000
PROGRAMS = ("kvcomm", "tests/parity/parity_test", "tests/method/method_trace_test", "tests/comm/comm_nccl_gpu_test")
CALL_COUNTER = "launch/gpu_check/libkvc_count_calls.so"
# Open MPI's plugins for networks, launchers and file systems that one machine does not need.
NEEDLESS_PLUGINS = re.compile(r"ucx|atomic|ofi|openib|psm|romio|ompio|memheap|scoll|sshmem|spml|flux|slurm|jsm|"
                              r"gridengine|monitoring|fcoll|fbtl|sharedfp|fs_ufs|mindist|dbg_msgq")
# On every Linux, and bound to the very system: glibc's, and the compiler's own.
SYSTEMS_OWN = re.compile(r"(ld-linux-x86-64|libc|libm|libpthread|libdl|librt|libutil|libresolv|libnsl|libstdc\+\+|"
                         r"libgcc_s)\.so\.\d+")
LINE_OF_LDD = re.compile(r"^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$", re.MULTILINE)


def output_of(*command, **options) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode:
        leave(f"`{' '.join(map(str, command))}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def open_mpi() -> dict[str, Path]:
    """Its programs, plugins and texts by their place below OPAL_PREFIX, which takes its configured prefix's place."""
    paths = dict(re.findall(r"^path:(\w+):(.*)$", output_of("ompi_info", "--parsable", "--path", "all"), re.MULTILINE))
    prefix, plugins, texts = (Path(paths[name]) for name in ("prefix", "pkglibdir", "pkgdatadir"))
    found = [path for path in plugins.glob("mca_*.so") if not NEEDLESS_PLUGINS.search(path.name)]
    found += [Path(paths["bindir"]) / name for name in ("orterun", "orted")] + list(texts.glob("help-*.txt"))
    for name in ("mca_pmix_ext3x.so", "mca_pml_ob1.so", "mca_btl_vader.so", "mca_btl_tcp.so"):
        if plugins / name not in found:
            leave(f"Open MPI has no '{plugins / name}': the bundle is made with Debian 12's Open MPI 4.1 "
                 "(launch/setup.sh installs it).")
    return {str(path.relative_to(prefix)): path for path in found}


def closure(files: list[Path], site_packages: Path) -> dict[str, Path]:
    """The shared libraries that the files load, by name, but for the system's own and those of Python's packages."""
    folders = [site_packages / "torch/lib", *sorted(site_packages.glob("nvidia/*/lib"))]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, folders))}
    libraries = {}
    for file in files:
        for name, path in LINE_OF_LDD.findall(output_of("ldd", file, env=environment)):
            if path == "not found":
                leave(f"'{file}' needs '{name}', which is not found here: run launch/setup.sh.")
            if not SYSTEMS_OWN.fullmatch(name) and not Path(path).is_relative_to(site_packages):
                libraries[name] = Path(path).resolve()
    return libraries


def pmix(libraries: dict[str, Path]) -> dict[str, Path]:
    """PMIx's plugins and texts, by their place below PMIX_INSTALL_PREFIX."""
    prefix = libraries["libpmix.so.2"].parent.parent
    found = [*prefix.glob("lib/pmix/*.so"), *prefix.glob("share/pmix/*")]
    return {f"pmix/{path.relative_to(prefix)}": path for path in found if not NEEDLESS_PLUGINS.search(path.name)}


def contents(build: Path) -> dict[str, Path]:
    """All files of the bundle, by their names in it."""
    site_packages = next(build.glob("venv/lib/python3*/site-packages"))
    files = {f"bin/{Path(name).name}": build / name for name in PROGRAMS} | open_mpi()
    files["lib/libkvc_count_calls.so"] = build / CALL_COUNTER
    files |= {f"tokenizer/{name}": TOKENIZER / name for name in ("tokenizer.json", "tokenizer_config.json")}
    for path in files.values():
        if not path.is_file():
            leave(f"'{path}' is not there: run launch/setup.sh, then launch/gpu_check.sh bundle.")
    binaries = [path for name, path in files.items() if name.startswith("bin/") or name.endswith(".so")]
    libraries = closure(binaries, site_packages)
    plugins = pmix(libraries)
    libraries |= closure([path for path in plugins.values() if path.suffix == ".so"], site_packages)
    return files | plugins | {f"lib/{name}": path for name, path in libraries.items()}


def fingerprint(files: dict[str, Path]) -> str:
    """Of all that decides what is packed: this script, the names and the bytes."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name, path in sorted(files.items()):
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def add(archive: tarfile.TarFile, name: str, content: bytes, executable: bool):
    member = tarfile.TarInfo(name)  # no owner, no time: equal contents make equal archives
    member.size, member.mode = len(content), 0o755 if executable else 0o644
    archive.addfile(member, io.BytesIO(content))


def stripped(path: Path, folder: Path) -> bytes:
    output_of("strip", "--strip-unneeded", "-o", folder / "stripped", path)
    return (folder / "stripped").read_bytes()


def write(files: dict[str, Path], version: str, target: Path):
    half = target.with_suffix(".half")
    with tempfile.TemporaryDirectory() as folder, tarfile.open(half, "w:xz") as archive:
        add(archive, "fingerprint", version.encode(), executable=False)
        for name, path in sorted(files.items()):
            binary = path.read_bytes()[:4] == b"\x7fELF"
            add(archive, name, stripped(path, Path(folder)) if binary else path.read_bytes(), binary)
    if half.stat().st_size > LARGEST_BYTES:
        leave(f"'{half}' has {half.stat().st_size / 1e6:.1f} MB, and {LARGEST_BYTES / 1e6:.0f} MB is the most that is "
             "carried: look with `tar tvf` at what grew.")
    half.rename(target)


def main():
    build = Path(sys.argv[1]).resolve()
    target, stamp = build / "gpu_bundle.tar.xz", build / "gpu_bundle.sha256"
    files = contents(build)
    version = fingerprint(files)
    if not (target.is_file() and stamp.is_file() and stamp.read_text() == version):
        print(f"== packing {len(files)} files (half a minute)", file=sys.stderr)
        stamp.unlink(missing_ok=True)
        write(files, version, target)
        stamp.write_text(version)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1e6:.1f} MB, {len(files)} files, {version[:12]}")


if __name__ == "__main__":
    main()
