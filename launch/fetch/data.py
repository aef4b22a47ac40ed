#!/usr/bin/env python3
"""Fetches data sets to where kvcomm looks for them, in a form that it reads.

    launch/fetch/data.py [NAME...] [--to data]

NAME is one of `kvcomm ls datasets`; without one, all. Files of the hub are compared with their
checksums, Parquet becomes JSON lines or MMLU's csv, and what is done is renamed into <to> at the
end. What is there is left as it is; run it again after a cut, it goes on from there. HF_ENDPOINT,
HF_HOME, HF_TOKEN and HF_HUB_OFFLINE=1 (take from HF_HOME's cache alone) mean what they mean to
huggingface_hub; GITHUB_ENDPOINT stands for a mirror of https://github.com.
"""

import argparse
import csv
import functools
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import hub
import pyarrow.parquet as parquet

AUTHORS, COMMIT = "Zephyroam/KVComm", "1fa086edb17d6e00d80953cb06f391bc0a85268c"


@dataclass(frozen=True)
class Hub:
    """Files of a data set on the hub. A revision "main" is one that nobody could tell us."""

    repo: str
    revision: str
    files: tuple[str, ...]
    member: str = ""  # of a zip archive
    columns: tuple[str, ...] | None = None  # of Parquet; None: all


@dataclass(frozen=True)
class Authors:
    """A file, or a folder's files, of the authors' release on GitHub."""

    path: str
    sha256: str  # of the file; of a folder see checksum()


def long_bench(part: str) -> Hub:
    """LongBench's own file, with plain contexts."""
    return Hub("zai-org/LongBench", "5e628be450b7e67fb7ae6e201bd6d8f7056f7672", ("data.zip",),
               f"data/{part}.jsonl")


def release_long_bench(part: str) -> Hub:
    """The copy that the authors evaluated: its contexts begin with LongBench's instruction."""
    return Hub("Xnhyacinth/LongBench", "2e9ade51ebf45d98942056c0716234f9d5d257d5",
               (f"{part}/test-00000-of-00001.parquet",))


# Those that the authors' release reads, where the hub has them. By the name of file or folder that
# they get below <to>: not one that LongBench has for samples of another data set.
SOURCES = {
    "countries.jsonl": Authors(
        "dataloader/data/countries.jsonl",
        "da12fadb233e27ce64ac48829a1369e391d11b1e3e41141c0abd7de8170a9dc2"),
    "tipsheets.jsonl": Authors(
        "dataloader/data/tipsheets.jsonl",
        "4ba11d4ba37b16abbbac3c3c6e440603d08b4e28ab83e29b7b10c99e5c084829"),
    "TMATH": Authors("dataloader/data/TMATH",
                     "15ad4ed8abac1d168fcb89d11f56466ebfcb8c43b0d2d28f762eea221106891a"),
    "hotpotqa_distractor.jsonl": Hub(
        "hotpotqa/hotpot_qa", "1908d6afbbead072334abe2965f91bd2709910ab",
        ("distractor/validation-00000-of-00001.parquet",)),
    "scrolls_qasper.jsonl": Hub("tau/scrolls", "main", ("qasper.zip",), "qasper/validation.jsonl"),
    "musique_ans.jsonl": Hub("dgslibisey/MuSiQue", "c8f4f8c9465fb69d31a8eae894c3fd509c4ca321",
                             ("musique_ans_v1.0_dev.jsonl",)),
    "multifieldqa_en.jsonl": release_long_bench("multifieldqa_en"),
    "twowikimqa.jsonl": release_long_bench("2wikimqa"),
    "samsum.csv": Hub("knkarthick/samsum", "main", ("test.csv",)),
    "repobench.jsonl": Hub(
        "tianyang/repobench_python_v1.1", "main",
        ("data/cross_file_first-00000-of-00002-baebda7f3a6e980a.parquet",
         "data/cross_file_first-00001-of-00002-5780ed62c5162a3e.parquet"),
        columns=("repo_name", "file_path", "context", "import_statement", "cropped_code",
                 "next_line", "level")),
    "mmlu": Hub("cais/mmlu", "c30699e8356da336a370243923dbaf21066bb9fe",
                tuple(f"all/{split}-00000-of-00001.parquet"
                      for split in ("dev", "validation", "test"))),
    "longbench_hotpotqa.jsonl": long_bench("hotpotqa"),
    "longbench_musique.jsonl": long_bench("musique"),
    "longbench_qasper.jsonl": long_bench("qasper"),
    "longbench_repobench-p.jsonl": long_bench("repobench-p"),
}
# Names of data sets that share a file or folder, or are called otherwise than it.
SHARED = {"hotpotqa": "hotpotqa_distractor.jsonl", "hotpotqa_full": "hotpotqa_distractor.jsonl",
          "qasper": "scrolls_qasper.jsonl", "qasper_full": "scrolls_qasper.jsonl",
          "musique": "musique_ans.jsonl", "musique_full": "musique_ans.jsonl", "tmath": "TMATH",
          "mmlu_social_science": "mmlu", "mmlu_stem": "mmlu", "mmlu_humanities": "mmlu"}
TARGETS = {Path(target).stem: target for target in SOURCES
           if target not in SHARED.values()} | SHARED


def checksum(files: dict[str, bytes]) -> str:
    """sha256 of a file's bytes; of a folder's lines "name\\n" with the sha256 of each behind it."""
    if list(files) == [""]:
        return hashlib.sha256(files[""]).hexdigest()
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\n".encode() + hashlib.sha256(files[name]).digest())
    return total.hexdigest()


@functools.cache
def release() -> dict[str, bytes]:
    """All files of the authors' release (2 MB): three data sets come from one download."""
    if hub.constants.is_offline_mode():
        raise hub.Problem(f"it lies on GitHub, in {AUTHORS}, and HF_HUB_OFFLINE forbids to fetch "
                          "it: fetch where there is a network, and copy the file.")
    base = os.environ.get("GITHUB_ENDPOINT", "https://github.com").rstrip("/")
    url = f"{base}/{AUTHORS}/archive/{COMMIT}.tar.gz"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            archive = tarfile.open(fileobj=io.BytesIO(answer.read()))
        return {entry.name.partition("/")[2]: archive.extractfile(entry).read()
                for entry in archive if entry.isfile()}
    except (OSError, EOFError, tarfile.TarError) as error:
        raise hub.Problem(f"{url} did not come whole ({error}): run the command again.") from error


def write_release(source: Authors, target: Path) -> None:
    within = source.path + "/"
    files = {path.removeprefix(source.path).removeprefix("/"): data
             for path, data in release().items()
             if path == source.path or path.startswith(within) and path.endswith(".json")}
    if checksum(files) != source.sha256:
        raise hub.Problem(f"{source.path} of {AUTHORS} has another checksum than it had when this "
                          "script was written: its samples may not be the paper's.", hub.INTEGRITY)
    for name, data in files.items():
        path = target / name if name else target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def rows(path: Path, columns: tuple[str, ...] | None = None) -> Iterator[dict]:
    for batch in parquet.ParquetFile(path).iter_batches(256, columns=columns):
        yield from batch.to_pylist()


def write_mmlu(splits: list[Path], target: Path) -> None:
    """<split>/<subject>_<split>.csv as published: question, four choices, the answer's letter."""
    for split, path in zip(("dev", "val", "test"), splits):
        subjects: dict[str, list] = {}
        for row in rows(path):
            cells = [row["question"], *row["choices"], "ABCD"[row["answer"]]]
            subjects.setdefault(row["subject"], []).append(cells)
        (target / split).mkdir(parents=True)
        for subject, lines in subjects.items():
            with (target / split / f"{subject}_{split}.csv").open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(lines)


def write_file(source: Hub, files: list[Path], target: Path) -> None:
    """JSON lines of Parquet; the member of an archive; any other file as it is."""
    with target.open("wb") as out:
        for path in files:
            if path.suffix == ".parquet":
                for row in rows(path, source.columns):
                    out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            elif source.member:
                with zipfile.ZipFile(path) as archive, archive.open(source.member) as member:
                    shutil.copyfileobj(member, out)
            else:
                with path.open("rb") as data:
                    shutil.copyfileobj(data, out)


def write_hub(source: Hub, downloads: Path, target: Path) -> list[Path]:
    """Returns the downloads that it is made of."""
    repo = hub.open_repo(source.repo, "dataset", source.revision)
    files = [downloads / repo.name / repo.commit[:12] / name for name in source.files]
    for name, path in zip(source.files, files):
        hub.fetch(repo, repo.file(name), path)
    try:
        (write_mmlu if target.name.startswith("mmlu") else functools.partial(write_file, source))(
            files, target)
    except (ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise hub.Problem(f"{source.repo} at {repo.commit[:12]} is not laid out as expected "
                          f"({error!r}).") from error
    return files


def origin(target: str) -> tuple:
    """What is downloaded for it: LongBench's four come from one archive."""
    source = SOURCES[target]
    return (source.repo, source.files) if isinstance(source, Hub) else (source.path,)


def fetch_data(target: str, folder: Path, wanted: Iterable[str]) -> str:
    """Its downloads are removed, unless another of the wanted that is not there yet needs them."""
    final = folder / target
    if final.exists():
        return f"{final} is there"
    # kvcomm looks one folder deep and by extension: it sees nothing of what is half done.
    half = folder / ".part" / f"{target}.part"
    shutil.rmtree(half, ignore_errors=True)
    source, useless = SOURCES[target], []
    if isinstance(source, Authors):
        write_release(source, half)
    else:
        useless = write_hub(source, folder / ".part" / "downloads", half)
    half.replace(final)
    if any(origin(other) == origin(target) and not (folder / other).exists() for other in wanted):
        useless = []
    for path in (*useless, half):
        path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds what another needs
            os.removedirs(path.parent)
    return f"{final} fetched"


def main() -> int:
    parser = argparse.ArgumentParser(prog="launch/fetch/data.py", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--to", type=Path, default=Path("data"), help="default: data")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in TARGETS]
    if unknown:
        parser.error(f"no data set {', '.join(unknown)} to fetch; there are: "
                     f"{', '.join(sorted(TARGETS))}")
    targets = dict.fromkeys(TARGETS[name] for name in args.names) if args.names else SOURCES
    return hub.run(targets, lambda target: fetch_data(target, args.to, targets))


if __name__ == "__main__":
    sys.exit(main())
