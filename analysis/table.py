#!/usr/bin/env python3
"""Prints the scores, standard errors and bytes of a results.h5, or what else its cells tell.

    analysis/table.py results/demo/results.h5 [--format text|markdown|csv]
        --gains [--margin 0.05]   what communication gains over the receiver alone and over controls
        --costs                   operations, seconds, joules and bytes of a sample
        --studies                 the points of curves and heat maps
        --agreement               whether data sets rank a pair's layers alike

Run it with the project's Python (.venv/bin/python), or any after `pip install ./analysis`. In text, a curve of
--studies is a list and a heat map a matrix; the columns of --costs are explained in kvcomm_results/costs.py.
"""

import argparse
import os
import sys
from pathlib import Path

from kvcomm_results import agreement, costs, gains, layout, read, studies, summarise


NOTHING_OF = {
    "studies": "There are no studies: no cells differ in a parameter that is an axis (docs/results.md, studies).",
    "agreement": "There is no agreement to show: it needs cells of kvcomm, ranked by calibration, on two data sets of "
                 "a pair, in one results.h5.",
}


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a results.h5, or the folder that holds it")
    parser.add_argument("--format", choices=("text", "markdown", "csv"), default="text")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--gains", action="store_true",
                      help="G over the receiver alone, P over each control, with 95 %% intervals")
    what.add_argument("--costs", action="store_true", help="means of a sample: GFLOP at both ends and their excess "
                      "over AC's, seconds to the first token, joules where they are told, bytes")
    what.add_argument("--studies", action="store_true", help="the scores of curves and heat maps (/studies)")
    what.add_argument("--agreement", action="store_true", help="Kendall's tau-b between the rankings of a pair's "
                      "layers (/layers) that kvcomm made on every two data sets")
    parser.add_argument("--margin", type=float, help="with --gains: whether each is equivalent to none within this "
                        "much, by its 90 %% interval (two one-sided tests at 5 %%)")
    arguments = parser.parse_args()
    if arguments.margin is not None and not arguments.gains:
        parser.error("--margin needs --gains.")
    if arguments.margin is not None and not arguments.margin > 0:
        parser.error(f"--margin must be above 0, not {arguments.margin:g}.")
    return arguments


def table_of(results, arguments):
    if arguments.gains:
        return gains(results, arguments.margin)
    for chosen, table in ((arguments.costs, costs), (arguments.studies, studies), (arguments.agreement, agreement)):
        if chosen:
            return table(results)
    return summarise(results)


def blocks(table, arguments):
    """(heading, lines, columns that stand to the left) of each table that is printed; "": it needs no heading."""
    if arguments.gains:
        return [("", layout.shown_gains(table, arguments.margin), 4)]
    if arguments.costs:
        return [("", layout.shown_costs(table), 3)]
    if arguments.studies:
        return layout.plots(table) if arguments.format == "text" else [("", layout.shown_points(table), 4)]
    if arguments.agreement:
        return layout.matrices(table)
    return [("", layout.shown(table), 3)]


def main():
    arguments = options()
    path = arguments.results / "results.h5" if arguments.results.is_dir() else arguments.results
    try:
        table = table_of(read(path), arguments)
    except (OSError, ValueError) as error:
        sys.exit(f"Cannot read '{path}': {error}")
    if arguments.format == "csv":
        table.to_csv(sys.stdout, index=False)
        return
    markdown = arguments.format == "markdown"
    if len(table) == 0 and (arguments.studies or arguments.agreement):
        print(NOTHING_OF["studies" if arguments.studies else "agreement"], file=sys.stderr)
        return
    texts = []
    for heading, lines, left in blocks(table, arguments):
        lines = (layout.as_markdown if markdown else layout.as_text)(lines, left)
        texts.append("\n".join([heading] * bool(heading) + [""] * bool(heading and markdown) + list(lines)))
    if texts:
        print("\n\n".join(texts))


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
