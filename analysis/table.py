#!/usr/bin/env python3
"""Prints the scores, standard errors and bytes of a results.h5, or what its cells gain.

    analysis/table.py results/demo/results.h5 [--format text|markdown|csv] [--gains [--margin 0.05]]

Run it with the project's Python (.venv/bin/python), or any after `pip install ./analysis`.
"""

import argparse
import os
import sys
from pathlib import Path

from kvcomm_results import gains, read, summarise


def number(value):
    return "-" if value != value else f"{round(value, 3) + 0:.3f}"  # + 0: no sign of a rounded nothing


def named(table):
    return {
        "pair": table.pair,
        "dataset": table.dataset,
        "method": table.method + table.variant.map(lambda variant: f" [{variant}]" if variant else ""),
    }


def shown(table):
    """The table's cells as texts: scores with their standard errors, bytes in all and by sample."""
    per_sample = table.payload_bytes / table.n.where(table.n > 0)
    columns = {
        **named(table),
        "n": table.n.map(str),
        "failed": table.n_failed.map(str),
        "metric": table.metric,
        "score": table.score.map(number),
        "s.e.": table.standard_error.map(number),
        "bytes sent": table.payload_bytes.map("{:,}".format),
        "a sample": per_sample.map(lambda b: "-" if b != b else f"{b:,.0f}"),
        "headers": table.header_bytes.map("{:,}".format),
        "calibration": table.calibration_bytes.map("{:,}".format),
    }
    return [list(columns), *map(list, zip(*columns.values()))]


def shown_gains(table, margin):
    """A line for each gain: which one, and its intervals."""
    def interval(low, high):
        return [f"[{number(a)}, {number(b)}]" if a == a else "-" for a, b in zip(low, high)]

    columns = {
        **named(table),
        "gain": [gain.kind if gain.kind == "G" else f"P against {gain.control}" +
                 (f" {gain.control_seed}" if gain.control_seed else "") for gain in table.itertuples()],
        "n": table.n.map(str),
        "value": table.value.map(number),
        "95 % interval": interval(table.low, table.high),
    }
    if margin is not None:
        columns["90 % interval"] = interval(table.low_90, table.high_90)
        columns[f"within {margin:g}"] = table.equivalent.map(lambda equivalent: "yes" if equivalent else "-")
    return [list(columns), *map(list, zip(*columns.values()))]


def as_text(lines, left):
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = [cell.ljust(width) if i < left else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        yield "  ".join(cells).rstrip()


def as_markdown(lines, left):
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    rule = "|" + "|".join("---" if i < left else "---:" for i in range(len(lines[0]))) + "|"
    return [rows[0], rule, *rows[1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a results.h5, or the folder that holds it")
    parser.add_argument("--format", choices=("text", "markdown", "csv"), default="text")
    parser.add_argument("--gains", action="store_true",
                        help="G over the receiver alone, P over each control, with 95 %% intervals")
    parser.add_argument("--margin", type=float, help="with --gains: whether each is equivalent to none within this "
                        "much, by its 90 %% interval (two one-sided tests at 5 %%)")
    arguments = parser.parse_args()
    if arguments.margin is not None and not arguments.gains:
        parser.error("--margin needs --gains.")
    if arguments.margin is not None and not arguments.margin > 0:
        parser.error(f"--margin must be above 0, not {arguments.margin:g}.")
    path = arguments.results / "results.h5" if arguments.results.is_dir() else arguments.results
    try:
        results = read(path)
        table = gains(results, arguments.margin) if arguments.gains else summarise(results)
    except (OSError, ValueError) as error:
        sys.exit(f"Cannot read '{path}': {error}")
    if arguments.format == "csv":
        table.to_csv(sys.stdout, index=False)
        return
    layout = as_markdown if arguments.format == "markdown" else as_text
    if arguments.gains:
        lines = layout(shown_gains(table, arguments.margin), left=4)
    else:
        lines = layout(shown(table), left=3)
    print("\n".join(lines))


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
