"""The bundle where it is used: unpacked into a folder, and the environment in which its programs run there."""

import importlib.util
import os
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT_CODE = 4  # of kvcomm's exit codes


def leave(sentence: str):
    """Ends the program: what it stands on is not as it must be."""
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(ENVIRONMENT_CODE)


def python_libraries() -> list[str]:
    """The folders of this Python's libtorch and CUDA libraries; nothing is imported."""
    torch = importlib.util.find_spec("torch")
    if torch is None:
        leave(f"'{sys.executable}' has no torch: choose a Python that has torch 2.11, safetensors and transformers "
              "with --python.")
    nvidia = importlib.util.find_spec("nvidia")
    packages = [Path(place) for place in nvidia.submodule_search_locations] if nvidia else []
    folders = [Path(torch.submodule_search_locations[0]) / "lib"]
    return [str(folder) for folder in folders + [lib for package in packages for lib in sorted(package.glob("*/lib"))]]


class Bundle:
    def __init__(self, archive: Path, folder: Path, memory: Path, device: str):
        if not archive.is_file():
            leave(f"'{archive}' is not there: `launch/gpu_check.sh bundle` makes it on a machine with Open MPI and "
                  "HDF5; carry it here with the working tree.")
        self.folder = folder
        with tarfile.open(archive) as file:
            file.extractall(folder)
        self.fingerprint = (folder / "fingerprint").read_text()
        self.environment = {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join([*python_libraries(), str(folder / "lib")]),
            # Open MPI and PMIx, which were configured for other folders, on a machine without ssh or a launcher
            "OPAL_PREFIX": str(folder), "PMIX_INSTALL_PREFIX": str(folder / "pmix"),
            "PMIX_LIBDIR": str(folder / "pmix/lib"), "PMIX_PKGLIBDIR": str(folder / "pmix/lib/pmix"),
            "PMIX_PKGDATADIR": str(folder / "pmix/share/pmix"),
            "OMPI_MCA_plm": "isolated", "OMPI_MCA_plm_rsh_agent": "",
            "OMPI_MCA_btl_vader_single_copy_mechanism": "none",  # a container may forbid it
            "OMPI_MCA_btl_vader_backing_directory": str(memory),  # ranks that are stopped leave files there
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            # what the tests and the program read
            "KVCOMM_SOURCE_DIR": str(ROOT), "KVCOMM_BINARY_DIR": str(folder), "KVCOMM_TEST_DEVICE": device,
            "XDG_CACHE_HOME": str(folder / "cache"), "WNSEARCHDIR": str(folder / "no-wordnet"),
            "GOMP_SPINCOUNT": "3000"}  # else `kvcomm run` starts itself anew to set it

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    def mpirun(self, ranks: int) -> list[str]:
        return [self.program("orterun"), "--quiet", "-np", str(ranks), "--oversubscribe", "--bind-to", "none"]
