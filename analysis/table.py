#!/usr/bin/env python3
"""Prints the scores, standard errors and bytes of a results.h5.

    analysis/table.py results/demo/results.h5 [--format text|markdown|csv]

Run it with the project's Python (.venv/bin/python), or any after `pip install ./analysis`.
"""

import argparse
import os
import sys
from pathlib import Path

from kvcomm_results import read, summarise


def number(value):
    return "-" if value != value else f"{value:.3f}"


def shown(table):
    """The table's cells as texts: scores with their standard errors, bytes in all and by sample."""
    per_sample = table.payload_bytes / table.n.where(table.n > 0)
    columns = {
        "pair": table.pair,
        "dataset": table.dataset,
        "method": table.method + table.variant.map(lambda variant: f" [{variant}]" if variant else ""),
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


LEFT = 3  # the columns that are names


def as_text(lines):
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = [cell.ljust(width) if i < LEFT else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        yield "  ".join(cells).rstrip()


def as_markdown(lines):
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    rule = "|" + "|".join("---" if i < LEFT else "---:" for i in range(len(lines[0]))) + "|"
    return [rows[0], rule, *rows[1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a results.h5, or the folder that holds it")
    parser.add_argument("--format", choices=("text", "markdown", "csv"), default="text")
    arguments = parser.parse_args()
    path = arguments.results / "results.h5" if arguments.results.is_dir() else arguments.results
    try:
        table = summarise(read(path))
    except (OSError, ValueError) as error:
        sys.exit(f"Cannot read '{path}': {error}")
    if arguments.format == "csv":
        table.to_csv(sys.stdout, index=False)
        return
    layout = as_markdown if arguments.format == "markdown" else as_text
    print("\n".join(layout(shown(table))))


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
