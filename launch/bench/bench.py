#!/usr/bin/env python3
"""Seconds per sample of kvcomm beside plain transformers, on the same prompts, in turns.

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
import peer_methods
import program
import reading
import record
from measured import METHODS, Case
from peer import Peer
from prompts import Prompts

EXAMPLE = Case("float32", "countries", "skyline", 8)
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=8, help="of each data set (default 8)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS),
                        metavar="METHOD", help=f"of {', '.join(METHODS)} (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="of either program (default 2)")
    parser.add_argument("--data", type=Path, default=program.ROOT.parent / "shared/data",
                        help="folder of the two data sets' files (default ../shared/data)")
    parser.add_argument("--only", default="", metavar="REGEX",
                        help=f"only the cases whose names match, as '{EXAMPLE}' and "
                             f"'{reading.READINGS[0]}'")
    parser.add_argument("--output", type=Path, default=program.ROOT / "results/benchmarks",
                        help="folder of the record (default results/benchmarks)")
    args = parser.parse_args()
    if min(args.samples, args.repeats, args.threads) < 1:
        parser.error("--samples, --repeats and --threads must be 1 or more")
    return args


def cases(args) -> list[Case]:
    every = (Case(dtype, dataset, method, batch)
             for dtype in ("float32", "bfloat16") for dataset in data.MAX_NEW_TOKENS
             for method in args.methods for batch in METHODS[method].batches)
    return matching(args, every)


def matching(args, every) -> list:
    return [case for case in every if re.search(args.only, str(case))]


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
    wanted = cases(args)
    peers = {dtype: Peer(model, dtype) for dtype in {case.dtype: 0 for case in wanted}}
    results = {case: [] for case in wanted}
    for number, case in itertools.product(range(args.repeats), wanted):
        limit, peer = data.MAX_NEW_TOKENS[case.dataset], peers[case.dtype]
        samples = min(args.samples, METHODS[case.method].most or args.samples)
        records = data.read(folder, case.dataset, samples)
        prompts = Prompts(program.ROOT / "src/text/prompts.toml", case.dataset, peer.tokenizer)
        ours = program.run(case, model=MODEL, data=folder, threads=args.threads, samples=samples,
                           max_new_tokens=limit)
        given = limit, ours.layers
        peer_methods.run(peer, case, records[:case.batch], prompts, given)  # warm-up
        theirs = peer_methods.run(peer, case, records, prompts, given)
        if ours.read(case) != theirs.read(case):
            sys.exit(f"{case}: the two programs read prompts of different lengths, by sample "
                     f"(context, prompt): {ours.read(case)} and {theirs.read(case)}.")
        results[case].append((ours, theirs))
        print(f"round {number + 1}: {case}: {1 / ours.rate:.3f} and {1 / theirs.rate:.3f} "
              f"s/sample, ratio {ours.rate / theirs.rate:.2f}", file=sys.stderr)
    return results


def main() -> None:
    args = arguments()
    readings = matching(args, reading.READINGS)
    if not (cases(args) or readings):
        sys.exit(f"--only '{args.only}' matches none of these methods' cases; a case is "
                 f"'{EXAMPLE}', another '{reading.READINGS[0]}'.")
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
    read = reading.lines(readings, args.repeats)
    about["load_after"] = machine.load_average()
    raw = {"about": about, "readings": read, "limits": {}, "cases": [], "runs": []}
    if results:
        raw["limits"] = machine.limits(config)
        raw |= record.rows(results, raw["limits"], config)
    print(record.write(args.output, raw))


if __name__ == "__main__":
    main()
