#!/usr/bin/env python3
"""kvcomm beside its peers: transformers on the same prompts, llama.cpp on the model alone.

Started by launch/bench.sh. Each round visits every case and measures kvcomm, then its peer, so that
what else the machine does hits both; a case's ratio is the median of the rounds' ratios.
"""

import argparse
import datetime
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
import tokens
from measured import AS_A_USER, BOTH_8, METHODS, Case, Measured
from peer import Peer
from prompts import Prompts

EXAMPLES = (Case("float32", "countries", "skyline", *BOTH_8),
            Case("float32", "countries", "kvcomm", *AS_A_USER), tokens.TOKENS[0],
            reading.READINGS[0])
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="launch/bench.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=16,
                        help="of each data set (default 16, a whole default batch)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS),
                        metavar="METHOD", help=f"of {', '.join(METHODS)} (default: all)")
    parser.add_argument("--repeats", type=int, default=3,
                        help="rounds (default 3; cases without a target, and CIPHER, have one)")
    parser.add_argument("--threads", type=int, default=2, help="of every program (default 2)")
    parser.add_argument("--data", type=Path, default=program.ROOT.parent / "shared/data",
                        help="folder of the two data sets' files (default ../shared/data)")
    parser.add_argument("--only", default="", metavar="REGEX",
                        help="only the cases whose names match, as "
                             + ", ".join(f"'{case}'" for case in EXAMPLES))
    parser.add_argument("--output", type=Path, default=program.ROOT / "results/benchmarks",
                        help="folder of the record (default results/benchmarks)")
    args = parser.parse_args()
    if min(args.samples, args.repeats, args.threads) < 1:
        parser.error("--samples, --repeats and --threads must be 1 or more")
    return args


def cases(args) -> list[Case]:
    every = (Case(dtype, dataset, method, *batches)
             for dtype in ("float32", "bfloat16") for dataset in data.MAX_NEW_TOKENS
             for method in args.methods
             for batches in METHODS[method].batches + METHODS[method].once)
    return matching(args, every)


def matching(args, every) -> list:
    return [case for case in every if re.search(args.only, str(case))]


def data_folder(args, made: str) -> tuple[Path, str]:
    """The folder, and where its files come from."""
    if all((args.data / f"{name}.jsonl").is_file() for name in data.MAX_NEW_TOKENS):
        return args.data.resolve(), f"the first {args.samples} records of the published files"
    data.make(Path(made), args.samples)
    return Path(made), f"made by launch/bench/data.py, since {args.data} has no such files"


class Pairs:
    """Measures both sides of a case; what cases of a round share of transformers' runs once."""

    def __init__(self, args, folder: Path, wanted: list[Case]):
        self.args, self.folder = args, folder
        self.peers = {dtype: Peer(program.ROOT / "models" / MODEL, dtype)
                      for dtype in {case.dtype: 0 for case in wanted}}
        self.theirs = {}

    def new_round(self):
        self.theirs = {}

    def measure(self, case: Case) -> tuple[Measured, Measured]:
        ours = program.run(case, model=MODEL, data=self.folder, threads=self.args.threads,
                           samples=self.args.samples,
                           max_new_tokens=data.MAX_NEW_TOKENS[case.dataset])
        key = case.dtype, case.dataset, case.method, case.peer_batch, tuple(ours.layers)
        if key not in self.theirs:
            self.theirs[key] = self.transformers(case, ours.layers)
        theirs = self.theirs[key]
        if ours.read(case) != theirs.read(case):
            sys.exit(f"{case}: the two programs read prompts of different lengths, by sample "
                     f"(context, prompt): {ours.read(case)} and {theirs.read(case)}.")
        return ours, theirs

    def transformers(self, case: Case, layers: list[int]) -> Measured:
        peer = self.peers[case.dtype]
        records = data.read(self.folder, case.dataset, self.args.samples)
        prompts = Prompts(program.ROOT / "src/text/prompts.toml", case.dataset, peer.tokenizer)
        given = data.MAX_NEW_TOKENS[case.dataset], layers
        peer_methods.run(peer, case, records[:case.peer_batch], prompts, given)  # warm-up
        return peer_methods.run(peer, case, records, prompts, given)


def rounds(args, folder: Path, llama: bool) -> tuple[dict, dict]:
    """All measurements: {case: [(kvcomm's, transformers'), ...]}, and the model alone's."""
    torch.set_num_threads(args.threads)
    wanted, alone = cases(args), matching(args, tokens.TOKENS)
    pairs = Pairs(args, folder, wanted)
    results, speeds = {case: [] for case in wanted}, {case: [] for case in alone}
    for number in range(1, args.repeats + 1):
        pairs.new_round()
        for case in alone:
            ours = tokens.kvcomm(case, MODEL, args.threads)
            theirs = tokens.llama(case, args.threads) if llama and case.beside_llama else None
            speeds[case].append((ours, theirs))
            print(f"round {number}: {case}: {record.shown(ours, theirs)}", file=sys.stderr)
        for case in wanted:
            if case.once and number > 1:
                continue
            ours, theirs = pairs.measure(case)
            results[case].append((ours, theirs))
            print(f"round {number}: {case}: {1 / ours.rate:.3f} and {1 / theirs.rate:.3f} "
                  f"s/sample, ratio {ours.rate / theirs.rate:.2f}", file=sys.stderr)
    return results, speeds


def main() -> None:
    args = arguments()
    readings, alone = matching(args, reading.READINGS), matching(args, tokens.TOKENS)
    if not (cases(args) or readings or alone):
        names = ", ".join(f"'{case}'" for case in EXAMPLES)
        sys.exit(f"--only '{args.only}' matches none of these methods' cases; cases are {names}.")
    about = machine.describe() | {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["launch/bench.sh", *sys.argv[1:]]),
        "model": MODEL, "samples": args.samples, "repeats": args.repeats, "threads": args.threads,
        "torch": torch.__version__, "transformers": transformers.__version__}
    missing = tokens.why_no_llama() if any(case.beside_llama for case in alone) else "not asked for"
    about |= {"llama.cpp": missing or tokens.llama_version(), "load_before": machine.load_average()}
    if warning := record.busy(about):
        print(f"warning: {warning}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="kvcomm-bench-data-") as made:
        folder, about["data"] = data_folder(args, made)
        print(f"data: {about['data']}", file=sys.stderr)
        results, speeds = rounds(args, folder, llama=not missing)
    read = reading.lines(readings, args.repeats)
    about["load_after"] = machine.load_average()
    dtypes = {case.dtype for case in (*results, *speeds)}
    limits = machine.limits(program.model_config(MODEL), dtypes) if dtypes else {}
    print(record.write(args.output, record.made(about, results, speeds, read, limits)))


if __name__ == "__main__":
    main()
