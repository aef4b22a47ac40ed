#!/usr/bin/env python3
"""Fetches models from the Hugging Face hub to where kvcomm looks for them.

    launch/fetch/models.py MODEL... | SWEEP.toml... [--to models] [--config-only]

brings configuration, tokenizer, chat template and safetensors weights into <to>/<org>/<name>, for
a sweep all models of its pairs, by default into its paths.models. Run it again after a cut: it goes
on from there. What is there and whole is left as it is, unless --revision, or main without it, is
not what was fetched: then that replaces it. HF_ENDPOINT, HF_HOME, HF_TOKEN and
HF_HUB_OFFLINE=1 (take from HF_HOME's cache alone) mean what they mean to huggingface_hub.
"""

import argparse
import fnmatch
import json
import sys
import tomllib
from pathlib import Path

import hub

CONFIG = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
          "special_tokens_map.json", "added_tokens.json", "chat_template*", "additional_chat_templates/*.jinja")
VOCABULARY = ("vocab.json", "merges.txt")  # where there is no tokenizer.json yet
INDEX = "model.safetensors.index.json"
WEIGHTS = ("model.safetensors", "model-*.safetensors", INDEX)
NEEDED = ("config.json", "tokenizer.json")
RECORD = ".fetched.json"  # revision asked for, commit and sizes of what came whole


def models_of(sweep: Path) -> tuple[list[str], str]:
    """The models of a sweep's pairs, each once, and its paths.models."""
    try:
        with sweep.open("rb") as file:
            config = tomllib.load(file)
        named = [pair[end] for pair in config.get("pair", []) for end in ("sender", "receiver")]
        names = [name for ends in named for name in (ends if isinstance(ends, list) else [ends])]
        return list(dict.fromkeys(names)), config.get("paths", {}).get("models", "models")
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise hub.Problem(f"cannot read '{sweep}': {error}.", hub.USAGE) from error
    except KeyError as error:
        raise hub.Problem(f"a [[pair]] of '{sweep}' has no {error}.", hub.USAGE) from error


def record_of(folder: Path) -> dict:
    """What an earlier call brought; {} if none came to its end."""
    try:
        return json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}


def whole(folder: Path, revision: str, config_only: bool) -> bool:
    """Whether an earlier call brought all that is asked for, and it is still there."""
    try:
        record = record_of(folder)
        if revision != record["revision"] and not record["commit"].startswith(revision):
            return False
        sizes = record["files"]
        there = all((folder / name).stat().st_size == size for name, size in sizes.items())
        return there and (config_only or record["weights"])
    except (OSError, KeyError):
        return False


def forget_other_commit(folder: Path, repo: hub.Repo, files: list[hub.File]) -> None:
    """Removes what came of another commit and no file of this one replaces."""
    record = record_of(folder)
    if record.get("commit") == repo.commit:
        return
    for name in record.get("files", {}).keys() - {file.name for file in files}:
        (folder / name).unlink(missing_ok=True)
    (folder / RECORD).unlink(missing_ok=True)  # until all is here, the folder is a mixture


def chosen_files(repo: hub.Repo, config_only: bool) -> list[hub.File]:
    """Those of the repository that kvcomm reads, small ones first."""
    patterns = CONFIG if config_only else CONFIG + WEIGHTS
    needed = NEEDED
    if "tokenizer.json" not in repo.files and all(name in repo.files for name in VOCABULARY):
        patterns, needed = patterns + VOCABULARY, ("config.json", *VOCABULARY)
    names = [name for name in repo.files
             if any(fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/")
                    for pattern in patterns)]
    missing = [name for name in needed if name not in names]
    if missing:
        raise hub.Problem(f"{repo.name} has no {' and no '.join(missing)}{hub.here()}.")
    if not config_only and "model.safetensors" not in names and INDEX not in names:
        raise hub.Problem(f"{repo.name} has no weights as safetensors{hub.here()}.")
    return sorted((repo.files[name] for name in names), key=lambda file: (file.size, file.name))


def check_shards(folder: Path) -> None:
    """The index names the files of the weights: all must have come."""
    if not (folder / INDEX).exists():
        return
    try:
        shards = set(json.loads((folder / INDEX).read_text())["weight_map"].values())
    except (ValueError, KeyError) as error:
        raise hub.Problem(f"'{folder / INDEX}' is no index of weights ({error}).") from error
    missing = sorted(name for name in shards if not (folder / name).exists())
    if missing:
        raise hub.Problem(f"{len(missing)} of {len(shards)} files of its weights are not"
                          f"{hub.here()}: {missing[0]}.")


def fetch_model(name: str, models: Path, revision: str, config_only: bool) -> str:
    folder = models / name
    if whole(folder, revision, config_only):
        return f"{folder} is there"
    repo = hub.open_repo(name, "model", revision)
    files = chosen_files(repo, config_only)
    hub.say(f"== {name}: {len(files)} files, {sum(file.size for file in files) / 1e9:.2f} GB")
    forget_other_commit(folder, repo, files)
    for file in files:
        hub.fetch(repo, file, folder / file.name)
    if not config_only:
        check_shards(folder)
    record = {"revision": revision, "commit": repo.commit, "weights": not config_only,
              "files": {file.name: file.size for file in files}}
    for part in folder.glob(".*.part"):  # of another revision
        part.unlink()
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    return f"{folder} fetched{', without weights' if config_only else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="launch/fetch/models.py", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="+", metavar="MODEL|SWEEP.toml")
    parser.add_argument("--to", type=Path, help="default: the sweep's paths.models, or models")
    parser.add_argument("--revision", default="main", help="branch, tag or commit (default main)")
    parser.add_argument("--config-only", action="store_true",
                        help="no weights: enough for kvcomm plan")
    args = parser.parse_args()
    folders = {}  # by model
    try:
        for what in args.what:
            names, models = models_of(Path(what)) if what.endswith(".toml") else ([what], "models")
            folders.update({name: args.to or Path(models) for name in names})
    except hub.Problem as error:
        hub.say(f"error: {error}")
        return error.code
    local = [name for name in folders
             if not (folders[name] / name).is_dir() and Path(name).is_dir()]
    for name in local:  # as kvcomm: a path is taken where paths.models has no such folder
        print(f"{name}: a folder of your own")
    return hub.run((name for name in folders if name not in local),
                   lambda name: fetch_model(name, folders[name], args.revision, args.config_only))


if __name__ == "__main__":
    sys.exit(main())
