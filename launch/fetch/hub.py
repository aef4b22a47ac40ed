"""What data.py and models.py share: files of the Hugging Face hub, resumed and checked.

The library huggingface_hub (2.4) finds files and speaks HTTP, and reads HF_ENDPOINT, HF_HOME,
HF_HUB_OFFLINE and HF_TOKEN. It begins a file anew in each process, so the part is kept here.
Files that lie in HF_HOME's cache are copied from it; nothing is written there.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).resolve().parents[2]
USAGE, ENVIRONMENT, INTEGRITY, STOPPED = 2, 4, 5, 75  # the program's own exit codes for these

if not all(importlib.util.find_spec(name) for name in ("huggingface_hub", "pyarrow")):
    venv = ROOT / ".venv"
    if not venv.exists() or venv.resolve() == Path(sys.prefix).resolve():
        sys.exit("error: huggingface_hub and pyarrow are needed: run launch/setup.sh first.")
    os.execv(venv / "bin/python", [str(venv / "bin/python"), *sys.argv])

import httpx2  # what huggingface_hub speaks HTTP with
from huggingface_hub import (CacheNotFound, HfApi, constants, hf_hub_url, scan_cache_dir,
                             try_to_load_from_cache)
from huggingface_hub.errors import (GatedRepoError, HfHubHTTPError, HFValidationError,
                                    RepositoryNotFoundError, RevisionNotFoundError)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers


class Problem(Exception):
    """A sentence that says what is wrong and what cures it, and its exit code."""

    def __init__(self, sentence: str, code: int = ENVIRONMENT):
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class File:
    name: str  # in its repository
    size: int  # bytes
    digest: str  # sha256 (64 digits) of what LFS holds, else git's blob id (40); "" if not known


@dataclass(frozen=True)
class Repo:
    """A repository of the hub at one commit."""

    name: str
    kind: str  # "model" or "dataset"
    commit: str
    files: dict[str, File]  # by name

    def file(self, name: str) -> File:
        if name not in self.files:
            raise Problem(f"{self.name} has no file {name} at {self.commit[:12]}{here()}.")
        return self.files[name]


def here() -> str:
    """Where was looked, as the end of a sentence."""
    if constants.is_offline_mode():
        return f" in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids to ask the hub"
    return f" on {constants.ENDPOINT}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class PlainProgress:
    """What the library's progress bar is where there is no terminal: a line every 30 s."""

    every_s = 30.0

    def __init__(self, desc: str, total: int, initial: int = 0, **_):
        self.name, self.total, self.done, self.said = desc, total, initial, time.monotonic()

    def __enter__(self) -> "PlainProgress":
        return self

    def __exit__(self, *_) -> None:
        pass

    def update(self, more: int) -> None:
        self.done += more
        if time.monotonic() - self.said >= self.every_s:
            self.said = time.monotonic()
            say(f"   {self.name}: {self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB")


@contextmanager
def told(name: str, kind: str) -> Iterator[None]:
    """Turns what can go wrong with the hub into a Problem."""
    try:
        yield
    except (HfHubHTTPError, HFValidationError, httpx2.HTTPError, OSError) as error:
        raise Problem(sentence_of(error, name, kind)) from error


def sentence_of(error: Exception, name: str, kind: str) -> str:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    if isinstance(error, GatedRepoError) or status == 403:
        page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{name}"
        return (f"{name} is gated: accept its licence at {page}, make a token that may read it, "
                "and set HF_TOKEN to it.")
    if isinstance(error, RevisionNotFoundError):
        return f"{name} lacks this revision{here()}: a mirror may lag behind."
    if isinstance(error, RepositoryNotFoundError) or status == 401:
        return (f"{name} is not{here()}, or it is private: check the name, or set HF_TOKEN to a "
                "token that may read it.")
    if isinstance(error, HFValidationError):
        return f"'{name}' is no name of a repository: it is written org/name."
    if isinstance(error, httpx2.ConnectError):
        return (f"no connection to {constants.ENDPOINT} ({error}): check network and proxy, or set "
                "HF_ENDPOINT to a mirror; HF_HUB_OFFLINE=1 takes what lies in HF_HOME's cache.")
    if status:
        return f"{constants.ENDPOINT} answered {status} for {name}: try again later."
    return f"{name} did not come whole ({error}): run the command again, it goes on from there."


def open_repo(name: str, kind: str, revision: str = "main") -> Repo:
    """Asks the hub, or offline the cache, which files the repository holds."""
    if constants.is_offline_mode():
        return cached_repo(name, kind, revision)
    with told(name, kind):
        info = HfApi().repo_info(name, repo_type=kind, revision=revision, files_metadata=True,
                                 timeout=60)
    files = (File(entry.rfilename, entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
             for entry in info.siblings)
    return Repo(name, kind, info.sha, {file.name: file for file in files})


def cached_repo(name: str, kind: str, revision: str) -> Repo:
    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        repos = frozenset()
    for found in (commit for repo in repos if (repo.repo_id, repo.repo_type) == (name, kind)
                  for commit in repo.revisions):
        if revision not in (found.commit_hash, *found.refs):
            continue
        files = (File(str(file.file_path.relative_to(found.snapshot_path)), file.size_on_disk,
                      file.blob_path.name if len(file.blob_path.name) in (40, 64) else "")
                 for file in found.files)
        return Repo(name, kind, found.commit_hash, {file.name: file for file in files})
    raise Problem(f"{name} at {revision[:12]} is not{here()}: fetch where there is a network.")


def fits(path: Path, file: File) -> bool:
    """Whether the file on disk is the whole file of the hub, by size and checksum."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if not file.digest:
        return True
    digest = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1()
    if len(file.digest) == 40:
        digest.update(b"blob %d\0" % file.size)
    with path.open("rb") as data:
        while block := data.read(1 << 24):
            digest.update(block)
    return digest.hexdigest() == file.digest


def lock(part: BinaryIO, target: Path) -> None:
    """Until it is closed. Where the file system has no locks, the checksum finds the mixture."""
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Problem(f"another process fetches '{target}': wait for its end.") from error


def fetch(repo: Repo, file: File, target: Path) -> None:
    """Brings the file to target, from the cache or the hub, going on with a part that is there."""
    if fits(target, file):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{file.digest[:12]}.part")
    cached = try_to_load_from_cache(repo.name, file.name, repo_type=repo.kind, revision=repo.commit)
    if isinstance(cached, str):
        shutil.copyfile(cached, part)
    else:
        with told(repo.name, repo.kind), part.open("ab") as data:
            lock(data, target)
            if data.tell() > file.size:
                data.seek(0)
                data.truncate()
            http_get(hf_hub_url(repo.name, file.name, repo_type=repo.kind, revision=repo.commit),
                     data, resume_size=data.tell(), headers=build_hf_headers(),
                     expected_size=file.size, displayed_filename=file.name,
                     tqdm_class=None if sys.stderr.isatty() else PlainProgress)
    if not fits(part, file):
        part.unlink()
        raise Problem(f"{file.name} of {repo.name} came with another checksum than the hub states "
                      f"({file.digest}): run the command again; if it stays so, "
                      f"{cached if isinstance(cached, str) else constants.ENDPOINT} is broken.",
                      INTEGRITY)
    part.replace(target)
    say(f"   {file.name}: {file.size / 1e6:.1f} MB, checksum fits")


def run(names: Iterable[str], work: Callable[[str], str]) -> int:
    """Does the work for each name, going on behind a failure, and prints what it says of a success.

    Returns the exit code of the first failure, or 0; STOPPED at Ctrl-C."""
    code = 0
    for name in names:
        try:
            print(f"{name}: {work(name)}", flush=True)
        except (Problem, OSError) as error:
            say(f"error: {error}" if name in str(error) else f"error: {name}: {error}")
            code = code or getattr(error, "code", ENVIRONMENT)
        except KeyboardInterrupt:
            say(f"stopped at {name}: run the command again, it goes on from there")
            return STOPPED
    return code
