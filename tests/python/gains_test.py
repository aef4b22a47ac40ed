"""What analysis/ says that cells of a results.h5 gain: G, P, their intervals and their equivalence to nothing.

Run by ctest as: gains_test.py <analysis folder>
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
from kvcomm_results import gains, read  # noqa: E402

TEXT = h5py.string_dtype()
CELLS = [(name, TEXT) for name in ("pair", "dataset", "method", "variant", "fidelity", "key_json")]
SAMPLES = [("cell", "i4"), ("sample", "u4"), ("score", "f8"), ("failed", "u1")]
MATCHED, BASELINE = "kvcomm(ratio=0.5)", "baseline"


def cell(method, parameters=None, dtype="float32", **more):
    """A row of /cells; the name before the parenthesis is its method's."""
    key = {"method": method.partition("(")[0], "parameters": parameters or {}, "dtype": dtype,
           "dataset": {"fingerprint": "f00d"}}
    return {"pair": "smol", "dataset": "demo", "method": method, "variant": "", "fidelity": "paper",
            "key_json": json.dumps(key)} | more


def matched(**more):
    return cell(MATCHED, {"ratio": 0.5}, **more)


def control(name, seed=0, **more):
    return cell(f"kvcomm(ratio=0.5, control={name})", {"ratio": 0.5, "control": name, "control_seed": seed}, **more)


class WithFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "results.h5"

    def write(self, *cells):
        """A file of (row of /cells, scores): scores by sample, from 0 or in a dictionary; None is a failure."""
        samples = []
        for place, (_, scores) in enumerate(cells):
            scores = scores if isinstance(scores, dict) else dict(enumerate(scores))
            samples += [(place, sample, 1.0 if score is None else score, score is None)
                        for sample, score in scores.items()]
        rows = [tuple(row[name] for name, _ in CELLS) for row, _ in cells]
        with h5py.File(self.path, "w") as file:
            file.attrs.update({"schema": "kvcomm-results", "schema_version": "1", "argv": "[]", "environment": "{}",
                               "fingerprints": "{}"})
            for name, values, columns in (("cells", rows, CELLS), ("samples", samples, SAMPLES)):
                table = file.create_dataset(name, data=np.array(values, dtype=columns))
                table.attrs["units"] = table.attrs["long_name"] = [""] * len(columns)
        return self.path

    def gains(self, *cells, **options):
        return gains(read(self.write(*cells)), **options)


class Gains(WithFiles):
    def names(self, table):
        return [" ".join(filter(None, (row.kind, row.method, row.control if row.kind == "P" else ""))) for row in
                table.itertuples()]

    def test_g_is_over_the_receiver_alone(self):
        table = self.gains((cell("baseline(model=sender)", {"model": "sender"}), [1, 1, 1, 1]),
                           (matched(), [1, 0.5, 1, 0]), (cell(BASELINE, {"model": "receiver"}), [0, 1, 0, 0]))
        self.assertEqual(self.names(table), ["G baseline(model=sender)", f"G {MATCHED}"])
        row = table.iloc[1]
        self.assertEqual((row.pair, row.dataset, row.control, row.n, row.value), ("smol", "demo", "", 4, 0.375))
        self.assertTrue(row.low <= row.value <= row.high)

    def test_p_is_over_each_control_of_the_same_cell_deranged_first(self):
        table = self.gains((control("noise", 3), [1, 0, 0]), (control("zero"), [0, 0, 0]), (matched(), [1, 1, 1]),
                           (cell("kvcomm(ratio=0.7)", {"ratio": 0.7}), [1, 1, 0]), (control("deranged"), [0, 0, 1]))
        self.assertEqual(self.names(table), [f"P {MATCHED} {name}" for name in ("deranged", "noise", "zero")])
        self.assertEqual(table.control_seed.tolist(), [0, 3, 0])
        np.testing.assert_allclose(table.value, [2 / 3, 2 / 3, 1])

    def test_keys_without_a_control_seed_or_with_a_control_of_none_are_understood(self):
        table = self.gains((cell(MATCHED, {"ratio": 0.5, "control": None}), [1, 1]),
                           (cell("kvcomm(ratio=0.5, control=zero)", {"ratio": 0.5, "control": "zero"}), [0, 1]))
        self.assertEqual(self.names(table), [f"P {MATCHED} zero"])

    def test_controls_have_a_g_too(self):
        table = self.gains((cell(BASELINE), [0, 0]), (matched(), [1, 1]), (control("deranged"), [0, 1]))
        self.assertEqual(self.names(table), [f"G {MATCHED}", f"P {MATCHED} deranged",
                                             "G kvcomm(ratio=0.5, control=deranged)"])
        self.assertEqual((table.control[2], table.value[2]), ("deranged", 0.5))

    def test_equal_scores_gain_nothing(self):
        scores = [0.1, 0.7, 0, 1, 0.3]
        [row] = self.gains((matched(), scores), (control("deranged"), scores), margin=0.01).itertuples()
        self.assertEqual((row.value, row.low, row.high, row.equivalent), (0, 0, 0, True))

    def test_what_every_sample_gains_alike_has_no_spread(self):
        low = [i % 4 / 4 for i in range(100)]
        [row] = self.gains((matched(), [score + 0.125 for score in low]), (control("deranged"), low)).itertuples()
        self.assertEqual((row.low, row.high), (0.125, 0.125))

    def test_only_samples_of_both_cells_count(self):
        [row] = self.gains((cell(BASELINE), dict.fromkeys((7, 1, 3, 4), 0.25)),
                           (matched(), {0: 0, 3: 0, 9: 0, 7: 1})).itertuples()
        self.assertEqual((row.n, row.value, row.low, row.high), (2, 0.25, -0.25, 0.75))

    def test_failed_samples_count_zero(self):
        [row] = self.gains((cell(BASELINE), [1, None, 0.25]), (matched(), [1, 0.5, None])).itertuples()
        self.assertEqual(row.n, 3)
        self.assertAlmostEqual(row.value, (0 + 0.5 - 0.25) / 3)

    def test_one_sample_has_no_interval_and_none_no_gain(self):
        [row] = self.gains((cell(BASELINE), [0]), (matched(), [0, 1]), (cell("skyline"), []), margin=0.5).itertuples()
        self.assertEqual((row.method, row.value, row.equivalent), (MATCHED, 0, False))
        self.assertTrue(all(map(math.isnan, (row.low, row.high, row.low_90, row.high_90))))
        self.assertEqual(len(self.gains((matched(), []))), 0)

    def test_others_are_no_partners(self):
        for partner in (cell(BASELINE, pair="large"), cell(BASELINE, dataset="other"), cell(BASELINE, dtype="bfloat16"),
                        cell(BASELINE, fidelity="release"), cell(BASELINE, key_json="torn"),
                        cell(BASELINE, key_json="{}"), control("zero", pair="large"),
                        control("zero", dtype="bfloat16")):
            with self.subTest(partner):
                self.assertEqual(len(self.gains((partner, [0, 0]), (matched(), [1, 1]))), 0)

    def test_settings_are_compared_with_their_like(self):
        table = self.gains(*[(row(dtype=dtype, variant=variant), [score, score])
                             for dtype, variant, alone in (("bfloat16", "", 0.5), ("float32", "dtype=float32", 0.25))
                             for row, score in ((lambda **more: cell(BASELINE, **more), alone), (matched, 1))])
        self.assertEqual(list(zip(table.variant, table.value)), [("", 0.5), ("dtype=float32", 0.75)])


class Bootstrap(WithFiles):
    def gain_of(self, scores, **options):
        """Against a baseline that has no score: the differences are the scores."""
        [row] = self.gains((cell(BASELINE), [0] * len(scores)), (matched(), scores), **options).itertuples()
        return row

    def test_thirty_of_a_hundred_have_the_binomials_interval(self):
        # A binomial variable is at most 20, 21, 38 and 39 with probability .016, .029, .966 and .979; at most 22 and
        # 37 with .048 and .947, so near .05 and .95 that the draws may take the next for the end.
        row = self.gain_of([1] * 30 + [0] * 70, margin=0.5)
        self.assertEqual((row.value, row.low, row.high), (0.3, 0.21, 0.39))
        self.assertIn(row.low_90, (0.22, 0.23))
        self.assertIn(row.high_90, (0.37, 0.38))

    def test_portions_of_the_draws_make_up_all_of_them(self):
        row = self.gain_of([i % 3 / 2 for i in range(6000)])
        error = math.sqrt(np.var([0, 0.5, 1]) / 6000)  # of the mean, which is normal over so many
        self.assertAlmostEqual(row.low, 0.5 - 1.96 * error, delta=0.1 * error)
        self.assertAlmostEqual(row.high, 0.5 + 1.96 * error, delta=0.1 * error)

    def test_the_interval_is_the_same_whatever_else_there_is(self):
        scores = [0.1, 0.7, 0, 1, 0.3, 0.9, 0.2]
        alone = self.gain_of(scores)
        others = [(cell(f"skyline{n}"), [0.5] * n) for n in (9, 7, 3)]
        among = self.gains((cell(BASELINE), [0] * 9), *others, (matched(), scores)).iloc[-1]
        self.assertAlmostEqual(among.low, alone.low)
        self.assertAlmostEqual(among.high, alone.high)

    def test_equivalence_is_the_90_percent_interval_inside_the_margin(self):
        scores = [1, -1] * 200  # a mean of 0 with an error of .05
        for margin, equivalent in ((0.07, False), (0.095, True)):
            row = self.gain_of(scores, margin=margin)
            self.assertAlmostEqual(row.high_90, 1.645 * 0.05, delta=0.006)
            self.assertEqual(row.equivalent, equivalent, margin)
            self.assertGreater(row.high, 0.09)
        self.assertFalse(self.gain_of([1] * 30 + [0] * 70, margin=0.25).equivalent)
        with self.assertRaisesRegex(ValueError, "above 0, not -1"):
            self.gain_of(scores, margin=-1)


class Printed(WithFiles):
    def call(self, *options):
        return subprocess.run([sys.executable, f"{ANALYSIS}/table.py", self.path, "--gains", *options],
                              capture_output=True, text=True)

    def setUp(self):
        super().setUp()
        self.write((cell(BASELINE), [0] * 4), (matched(), [1] * 4), (control("deranged"), [1] * 4),
                   (control("noise", 3), [0] * 4))

    def test_text_and_markdown(self):
        done = self.call("--margin", "0.05")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], r"^pair +dataset +method +gain +n +value +95 % interval +90 % interval +within 0.05")
        self.assertRegex(lines[1], r"kvcomm\(ratio=0.5\) +G +4 +1.000 +\[1.000, 1.000\] +\[1.000, 1.000\] +-$")
        self.assertRegex(lines[2], r"P against deranged +4 +0.000 +\[0.000, 0.000\] +\[0.000, 0.000\] +yes$")
        self.assertRegex(lines[3], r"P against noise 3 +4 +1.000")
        markdown = self.call("--format", "markdown").stdout.splitlines()
        self.assertEqual((len(markdown), {line.count("|") for line in markdown}), (7, {8}))

    def test_csv_has_the_columns_of_the_frame(self):
        rows = list(csv.DictReader(io.StringIO(self.call("--format", "csv", "--margin", "0.05").stdout)))
        self.assertEqual(list(rows[0]), list(gains(read(self.path), margin=0.05).columns))
        self.assertEqual((rows[1]["kind"], rows[1]["control"], rows[1]["equivalent"]), ("P", "deranged", "True"))

    def test_nothing_gained_is_a_table_without_rows(self):
        self.write((matched(), [1, 1]))
        self.assertEqual(len(self.call("--margin", "1").stdout.splitlines()), 1)

    def test_margins_that_mean_nothing_are_refused(self):
        self.assertIn("--margin must be above 0, not 0.", self.call("--margin", "0").stderr)
        done = subprocess.run([sys.executable, f"{ANALYSIS}/table.py", self.path, "--margin", "1"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--margin needs --gains.", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
