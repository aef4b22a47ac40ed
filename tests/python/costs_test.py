"""What analysis/ says of a results.h5 beyond scores: what a sample costs, a study's plots, agreement on layers.

Run by ctest as: costs_test.py <analysis folder>
"""

import csv
import io
import json
import math
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

ANALYSIS = sys.argv[1]
sys.path.insert(0, ANALYSIS)
from kvcomm_results import agreement, costs, heat_map, read, studies  # noqa: E402

TEXT = h5py.string_dtype()
NAMES = [(name, TEXT) for name in ("pair", "dataset", "method", "variant")]
COLUMNS = {
    "cells": [*NAMES, ("fidelity", TEXT), ("parameters", TEXT)],
    "samples": [("cell", "i4"), ("sample", "u4"), ("failed", "u1"), ("sender_flops", "f8"), ("receiver_flops", "f8"),
                ("attention_flops", "f8"), ("ttft_s", "f8"), ("sender_joules", "f8"), ("receiver_joules", "f8"),
                ("payload_bytes", "u8")],
    "studies": [("cell", "i4"), *NAMES, ("series", TEXT), ("x_name", TEXT), ("x", "f8"), ("y_name", TEXT), ("y", "f8"),
                ("n", "u8"), ("score", "f8"), ("standard_error", "f8")],
    "layers": [("cell", "i4"), *NAMES, ("layer", "u4"), ("score", "f8")],
}
SKYLINE, KVCOMM = "skyline", "kvcomm(ratio=0.5)"


def cell(method, parameters=None, **more):
    return {"pair": "smol", "dataset": "demo", "method": method, "variant": "", "fidelity": "paper",
            "parameters": json.dumps(parameters or {})} | more


def ac(f="replace", **more):
    return cell(f"ac(f={f})", {"f": f}, **more)


def sample(sender, receiver, attention=1, failed=0, joules=math.nan, **more):
    """FLOPs in 10^9."""
    return {"failed": failed, "sender_flops": sender * 1e9, "receiver_flops": receiver * 1e9,
            "attention_flops": attention * 1e9, "ttft_s": 0.5, "sender_joules": joules, "receiver_joules": joules,
            "payload_bytes": 100} | more


def point(series, x, score, y=math.nan, names=("layer", ""), **more):
    return {"cell": 0, "pair": "smol", "dataset": "demo", "method": "m", "variant": "", "series": series,
            "x_name": names[0], "x": x, "y_name": names[1], "y": y, "n": 4, "score": score,
            "standard_error": 0.125} | more


def ranking(dataset, scores, method=KVCOMM, pair="smol"):
    return [{"cell": 0, "pair": pair, "dataset": dataset, "method": method, "variant": "", "layer": layer,
             "score": score} for layer, score in enumerate(scores)]


class WithFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "results.h5"

    def write(self, **tables):
        with h5py.File(self.path, "w") as file:
            file.attrs.update({"schema": "kvcomm-results", "schema_version": "1", "argv": "[]", "environment": "{}",
                               "fingerprints": "{}"})
            for name, rows in tables.items():
                values = [tuple(row[column] for column, _ in COLUMNS[name]) for row in rows]
                table = file.create_dataset(name, data=np.array(values, dtype=COLUMNS[name]))
                table.attrs["units"] = table.attrs["long_name"] = [""] * len(COLUMNS[name])
        return read(self.path)

    def write_cells(self, *cells):
        """A file of (row of /cells, its samples): from 0, or by number in a dictionary."""
        samples = []
        for place, (_, of_cell) in enumerate(cells):
            numbered = of_cell if isinstance(of_cell, dict) else dict(enumerate(of_cell))
            samples += [row | {"cell": place, "sample": number} for number, row in numbered.items()]
        return self.write(cells=[row for row, _ in cells], samples=samples)

    def costs(self, *cells):
        return costs(self.write_cells(*cells))

    def print(self, *options):
        done = subprocess.run([sys.executable, f"{ANALYSIS}/table.py", self.path, *options], capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class Costs(WithFiles):
    def test_means_of_a_sample(self):
        [row] = self.costs((cell(KVCOMM), [sample(2, 3, 1, joules=1), sample(4, 7, 2, joules=2)])).itertuples()
        self.assertEqual((row.n, row.sender_gflop, row.receiver_gflop, row.total_gflop, row.attention_gflop),
                         (2, 3, 5, 8, 1.5))
        self.assertEqual((row.ttft_s, row.sender_joules, row.payload_bytes), (0.5, 1.5, 100))

    def test_excess_over_ac_and_its_ratio_to_skylines(self):
        table = self.costs((ac(), [sample(4, 6, 1)] * 2), (cell(SKYLINE), [sample(0, 22, 9)] * 2),
                           (cell(KVCOMM), [sample(4, 8, 2), sample(4, 10, 4)]),
                           (cell("baseline"), [sample(0, 5, 0)] * 2))
        np.testing.assert_array_equal(table.excess_gflop, [0, 12, 3, -5])
        np.testing.assert_array_equal(table.excess_ratio, [np.nan, 1, 4, np.nan])  # of 12
        np.testing.assert_array_equal(table.attention_excess_gflop, [0, 8, 2, -1])
        np.testing.assert_array_equal(table.attention_excess_ratio, [np.nan, 1, 4, np.nan])

    def test_a_method_dearer_than_skyline_has_a_ratio_below_one(self):
        table = self.costs((ac(), [sample(4, 6)]), (cell(SKYLINE), [sample(0, 5)]), (cell(KVCOMM), [sample(4, 8)]))
        self.assertEqual((table.excess_gflop[1], table.excess_ratio[2]), (-5, -2.5))

    def test_differing_samples_are_compared_where_they_meet(self):
        table = self.costs((ac(), {0: sample(1, 1), 1: sample(1, 3), 2: sample(9, 9)}),
                           (cell(SKYLINE), {1: sample(0, 12), 2: sample(0, 90), 3: sample(0, 7)}),
                           (cell(KVCOMM), {0: sample(8, 8), 1: sample(2, 4), 3: sample(5, 5)}))
        row = table.iloc[2]  # sample 1 is the one of all three
        self.assertEqual((row.n, row.n_compared), (3, 1))
        self.assertAlmostEqual(row.total_gflop, (16 + 6 + 10) / 3)
        self.assertEqual((row.excess_gflop, row.excess_ratio), (2, 4))

    def test_failed_samples_are_left_out(self):
        table = self.costs((ac(), [sample(1, 1), sample(1, 1)]), (cell(KVCOMM), [sample(2, 3), sample(0, 0, failed=1)]))
        row = table.iloc[1]
        self.assertEqual((row.n, row.n_compared, row.total_gflop, row.excess_gflop), (1, 1, 5, 3))

    def test_the_ac_that_replaces_is_the_one(self):
        others = (cell(KVCOMM), [sample(5, 5)])
        table = self.costs((ac("sum"), [sample(1, 1)]), (ac("mean"), [sample(2, 2)]), others)
        self.assertEqual(table.excess_gflop[2], 8)  # the first, where none does
        table = self.costs((ac("sum"), [sample(1, 1)]), (ac("replace"), [sample(2, 2)]), others)
        self.assertEqual(table.excess_gflop[2], 6)
        of_control = cell("ac(control=zero)", {"f": "replace", "control": "zero"})
        table = self.costs((of_control, [sample(1, 1)]), (ac("sum"), [sample(2, 2)]), others)
        self.assertEqual(table.excess_gflop[2], 6)

    def test_without_ac_there_is_no_excess(self):
        for elsewhere in ({"pair": "large"}, {"dataset": "other"}, {"variant": "dtype=float32"}):
            table = self.costs((ac(**elsewhere), [sample(1, 1)]), (cell(SKYLINE), [sample(0, 5)]),
                               (cell(KVCOMM), [sample(2, 2)]))
            self.assertEqual(table.total_gflop[2], 4)
            self.assertTrue(np.isnan([table.excess_gflop[2], table.excess_ratio[2]]).all())

    def test_without_skyline_there_is_no_ratio(self):
        for none in ((), ((cell(SKYLINE), []),)):
            row = self.costs((ac(), [sample(1, 1)]), *none, (cell(KVCOMM), [sample(2, 2)])).iloc[-1]
            self.assertEqual(row.excess_gflop, 2)
            self.assertTrue(math.isnan(row.excess_ratio))

    def test_what_one_sample_does_not_tell_is_unknown(self):
        table = self.costs((ac(), [sample(1, 1)] * 2), (cell(KVCOMM), [sample(2, 2), sample(2, math.nan, joules=3)]))
        row = table.iloc[1]
        self.assertEqual((row.sender_gflop, row.attention_gflop), (2, 1))
        self.assertTrue(np.isnan([row.receiver_gflop, row.total_gflop, row.excess_gflop, row.sender_joules]).all())

    def test_cells_without_samples_and_older_files_have_no_numbers(self):
        table = self.costs((ac(), []), (cell(KVCOMM), [sample(1, 1)]))
        self.assertEqual((table.n.tolist(), table.n_compared.tolist()), ([0, 1], [0, 0]))
        self.assertTrue(math.isnan(table.excess_gflop[1]))
        self.assertTrue(np.isnan(costs(self.write(cells=[cell(KVCOMM)])).total_gflop[0]))

    def test_printed(self):
        cells = ((ac(), [sample(4, 6)]), (cell(SKYLINE), [sample(0, 22, sender_joules=0)]),
                 (cell(KVCOMM), [sample(4, 9)]), (cell("nld"), []), (cell("cipher"), [sample(1, math.nan)]))
        self.write_cells(*cells)
        lines = self.print("--costs").splitlines()
        self.assertRegex(lines[0], r"sender GFLOP +receiver GFLOP +total GFLOP +excess over AC +ratio")
        self.assertRegex(lines[3], r"ratio=0.5\) +1 +4.000 +9.000 +13.000 +3.000 +4.000 +1.000 ")
        self.assertRegex(lines[4], r"nld +0( +-)+$")
        self.assertRegex(lines[5], r"cipher +1 +1.000 +- +- +- +- +1.000")
        self.assertNotIn(" J", lines[0])
        markdown = self.print("--costs", "--format", "markdown").splitlines()
        self.assertEqual((len(markdown), len({line.count("|") for line in markdown})), (7, 1))
        [row] = [row for row in csv.DictReader(io.StringIO(self.print("--costs", "--format", "csv")))
                 if row["method"] == KVCOMM]
        self.assertEqual((float(row["excess_gflop"]), float(row["excess_ratio"])), (3, 4))
        self.write_cells((cell(KVCOMM), [sample(1, 1, joules=2)]))
        self.assertRegex(self.print("--costs").splitlines()[0], r"sender J +receiver J$")


class Studies(WithFiles):
    HEAT = [point("hidden_prepend", x, score, y, ("j", "k"))
            for x, y, score in ((4, 0, 0.25), (0, 4, 0.5), (0, 0, 1), (12, 4, 0.75))]
    LINES = [point("token_study(token=last)", x, score) for x, score in ((8, 0.5), (0, 0.25))]

    def test_plots_are_in_order(self):
        table = studies(self.write(studies=[self.HEAT[0], *self.LINES, *self.HEAT[1:]]))
        self.assertEqual(table.series.tolist(), ["hidden_prepend"] * 4 + ["token_study(token=last)"] * 2)
        self.assertEqual(table.x.tolist(), [0, 0, 4, 12, 0, 8])
        self.assertEqual(table.y.tolist()[:4], [0, 4, 0, 4])

    def test_a_heat_map_is_a_matrix_of_y_by_x(self):
        matrix = heat_map(studies(self.write(studies=self.HEAT)))
        self.assertEqual((matrix.index.tolist(), matrix.columns.tolist()), ([0, 4], [0, 4, 12]))
        np.testing.assert_array_equal(matrix, [[1, 0.25, np.nan], [0.5, np.nan, 0.75]])

    def test_printed(self):
        self.write(studies=[*self.HEAT, *self.LINES, point("token_study(token=last)", 0, 1, variant="dtype=float32")])
        heat, line, other = self.print("--studies").split("\n\n")
        self.assertEqual([text.split() for text in heat.splitlines()[1:]],
                         [["k", "\\", "j", "0", "4", "12"], ["0", "1.000", "0.250", "-"], ["4", "0.500", "-", "0.750"]])
        self.assertEqual([text.split() for text in line.splitlines()],
                         ["token_study(token=last): smol on demo".split(), ["layer", "score", "s.e.", "n"],
                          ["0", "0.250", "0.125", "4"], ["8", "0.500", "0.125", "4"]])
        self.assertIn("[dtype=float32]", other)
        markdown = self.print("--studies", "--format", "markdown").splitlines()
        self.assertEqual(markdown[2], "| smol | demo | hidden_prepend | j | 0 | k | 0 | 4 | 1.000 | 0.125 |")
        rows = list(csv.DictReader(io.StringIO(self.print("--studies", "--format", "csv"))))
        self.assertEqual((rows[-2]["x"], rows[-2]["y"], rows[-2]["score"]), ("8.0", "", "0.5"))

    def test_a_heat_map_of_one_diagonal_is_printed_as_a_list(self):
        self.write(studies=[point("contiguous", n + 2, 0.5, n, ("to", "from")) for n in range(5)])
        lines = self.print("--studies").splitlines()
        self.assertEqual(lines[1].split(), ["from", "to", "score", "s.e.", "n"])
        self.assertEqual((len(lines), lines[-1].split()), (7, ["4", "6", "0.500", "0.125", "4"]))

    def test_a_file_without_studies(self):
        self.write(cells=[cell(KVCOMM)])
        self.assertEqual(self.print("--studies"), "")


class Agreement(WithFiles):
    def taus(self, *rankings):
        table = agreement(self.write(layers=[row for rows in rankings for row in rows]))
        return {(row.pair, row.method, row.dataset, row.other): row.tau for row in table.itertuples()}

    def test_a_reversed_ranking_disagrees(self):
        taus = self.taus(ranking("one", [0.1, 0.5, 0.9, 0.3]), ranking("two", [0.9, 0.5, 0.1, 0.7]),
                         ranking("three", [0.1, 0.9, 0.5, 0.3]))
        self.assertAlmostEqual(taus["smol", KVCOMM, "one", "two"], -1)
        self.assertAlmostEqual(taus["smol", KVCOMM, "one", "one"], 1)
        self.assertAlmostEqual(taus["smol", KVCOMM, "one", "three"], 4 / 6)  # one of six pairs is exchanged
        self.assertEqual(taus["smol", KVCOMM, "one", "three"], taus["smol", KVCOMM, "three", "one"])
        self.assertEqual(len(taus), 9)

    def test_ties_are_those_of_tau_b(self):
        taus = self.taus(ranking("one", [0, 1, 2]), ranking("two", [0, 0, 1]))
        self.assertAlmostEqual(taus["smol", KVCOMM, "one", "two"], 2 / math.sqrt(3 * 2))

    def test_methods_that_rank_alike_are_shown_once(self):
        both = [[0.1, 0.2, 0.3], [0.2, 0.1, 0.3]]
        rankings = [ranking(name, scores, method) for method in (KVCOMM, "kvcomm(ratio=0.7)")
                    for name, scores in zip(("one", "two"), both)]
        with_prior = [ranking(name, [0.1, 0.9, 0.3], "kvcomm(alpha=0.8)") for name in ("one", "two")]
        self.assertEqual({method for _, method, _, _ in self.taus(*rankings, *with_prior)},
                         {KVCOMM, "kvcomm(alpha=0.8)"})

    def test_others_are_none(self):
        nan = [math.nan] * 3
        self.assertEqual(self.taus(ranking("one", [1, 2, 3]), ranking("two", nan), ranking("two", [1, 2, 3], "random"),
                                   ranking("two", [1, 2, 3], pair="large")), {})

    def test_printed(self):
        self.write(layers=[*ranking("one", [1, 2, 3]), *ranking("two", [3, 2, 1]), *ranking("one", [1, 2], pair="b"),
                           *ranking("two", [1, 2], pair="b")])
        first, second = self.print("--agreement").split("\n\n")
        self.assertEqual([text.split() for text in first.splitlines()],
                         [["smol,", KVCOMM], ["tau", "one", "two"], ["one", "1.000", "-1.000"],
                          ["two", "-1.000", "1.000"]])
        self.assertIn("b, ", second)
        self.assertIn("| one | 1.000 | -1.000 |", self.print("--agreement", "--format", "markdown").splitlines())
        rows = list(csv.DictReader(io.StringIO(self.print("--agreement", "--format", "csv"))))
        self.assertEqual((rows[1]["dataset"], rows[1]["other"], float(rows[1]["tau"])), ("one", "two", -1))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
