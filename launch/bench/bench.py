#!/usr/bin/env python3
"""Samples per second of kvcomm beside plain transformers, on the same prompts, in turns.

Started by launch/bench.sh. Each round visits every case and measures kvcomm, then transformers, so
that what else the machine does hits both; a case's ratio is the median of the rounds' ratios.
"""

import argparse
import datetime
import itertools
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import torch
import transformers

import data
import machine
import program
import record
from measured import Case
from peer import Peer
from prompts import Prompts

EXAMPLE = Case("float32", "countries", "skyline", 8)
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=8, help="of each data set (default 8)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="of either program (default 2)")
    parser.add_argument("--data", type=Path, default=program.ROOT.parent / "shared/data",
                        help="folder of the two data sets' files (default ../shared/data)")
    parser.add_argument("--only", default="", metavar="REGEX",
                        help=f"only the cases whose names match, as '{EXAMPLE}'")
    parser.add_argument("--output", type=Path, default=program.ROOT / "results/benchmarks",
                        help="folder of the record (default results/benchmarks)")
    args = parser.parse_args()
    if min(args.samples, args.repeats, args.threads) < 1:
        parser.error("--samples, --repeats and --threads must be 1 or more")
    return args


def cases(only: str) -> list[Case]:
    every = itertools.product(("float32", "bfloat16"), data.MAX_NEW_TOKENS,
                              ("baseline", "skyline", "kvcomm"), (1, 8))
    found = [case for case in itertools.starmap(Case, every) if re.search(only, str(case))]
    return found or sys.exit(f"--only '{only}' matches no case; one is '{EXAMPLE}'.")


def data_folder(args, made: str) -> tuple[Path, str]:
    """The folder, and where its files come from."""
    if all((args.data / f"{name}.jsonl").is_file() for name in data.MAX_NEW_TOKENS):
        return args.data.resolve(), f"the first {args.samples} records of the published files"
    data.make(Path(made), args.samples)
    return Path(made), f"made by launch/bench/data.py, since {args.data} has no such files"


def rounds(args, folder: Path) -> dict:
    """All measurements: {case: [(kvcomm's, transformers'), ...]}."""
    torch.set_num_threads(args.threads)
    model = program.ROOT / "models" / MODEL
    wanted = cases(args.only)
    peers = {dtype: Peer(model, dtype) for dtype in {case.dtype: 0 for case in wanted}}
    results = {case: [] for case in wanted}
    for number, case in itertools.product(range(args.repeats), wanted):
        limit, peer = data.MAX_NEW_TOKENS[case.dataset], peers[case.dtype]
        records = data.read(folder, case.dataset, args.samples)
        prompts = Prompts(program.ROOT / "src/text/prompts.toml", case.dataset, peer.tokenizer)
        ours = program.run(case, model=MODEL, data=folder, threads=args.threads,
                           samples=args.samples, max_new_tokens=limit)
        peer.run(case, records[:case.batch], prompts, limit, ours.layers)  # warm-up
        theirs = peer.run(case, records, prompts, limit, ours.layers)
        theirs.layers = ours.layers
        if ours.read != theirs.read:
            sys.exit(f"{case}: the two programs read prompts of different lengths, by sample "
                     f"(context, prompt): {ours.read} and {theirs.read}.")
        results[case].append((ours, theirs))
        print(f"round {number + 1}: {case}: {ours.rate:.2f} and {theirs.rate:.2f} samples/s, "
              f"ratio {ours.rate / theirs.rate:.2f}", file=sys.stderr)
    return results


def main() -> None:
    args = arguments()
    about = machine.describe() | {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["launch/bench.sh", *sys.argv[1:]]),
        "model": MODEL, "samples": args.samples, "repeats": args.repeats, "threads": args.threads,
        "torch": torch.__version__, "transformers": transformers.__version__,
        "load_before": machine.load_average()}
    config = program.model_config(MODEL)
    with tempfile.TemporaryDirectory(prefix="kvcomm-bench-data-") as made:
        folder, about["data"] = data_folder(args, made)
        print(f"data: {about['data']}", file=sys.stderr)
        results = rounds(args, folder)
    about["load_after"] = machine.load_average()
    limits = machine.limits(config)
    print(record.write(args.output, about, limits, config, results))


if __name__ == "__main__":
    main()
