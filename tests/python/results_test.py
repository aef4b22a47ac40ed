"""results.h5, as the program writes it, in the hands of Python users.

Run by ctest as: results_test.py <store_example> <analysis folder> <kvcomm>
"""

import csv
import dataclasses
import io
import json
import math
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

EXAMPLE, ANALYSIS, PROGRAM = sys.argv[1:4]
sys.path.insert(0, ANALYSIS)
from kvcomm_results import read, summarise  # noqa: E402

TABLES = ["cells", "failures", "layers", "questions", "ranks", "recalibrations", "runs", "samples", "scores", "senders",
          "studies"]
KINDS = {"sample": "uint32", "score": "float64", "failed": "uint8", "payload_bytes": "uint64",
         "context_tokens": "uint64", "layers_sent": "uint64", "decode_s": "float64"}
LONG = {"answer", "answers", "question", "context"}  # texts of variable length


def table_py(*arguments):
    return subprocess.run([sys.executable, f"{ANALYSIS}/table.py", *map(str, arguments)],
                          capture_output=True, text=True)


class WithExample(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run([EXAMPLE, cls.folder.name], check=True)
        cls.path = Path(cls.folder.name) / "results.h5"
        cls.empty = Path(cls.folder.name) / "empty" / "results.h5"


class PlainH5py(WithExample):
    def test_each_table_is_a_data_frame(self):
        for path, rows in ((self.path, [5, 1, 16, 4, 2, 0, 1, 20, 0, 0, 0]),
                           (self.empty, [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])):
            with h5py.File(path) as f:
                self.assertEqual(sorted(f), TABLES)
                frames = [pd.DataFrame(f[name][:]) for name in TABLES]
                self.assertEqual([len(frame) for frame in frames], rows)
                for name, frame in zip(TABLES, frames):
                    self.assertEqual(list(frame.columns), list(f[name].dtype.names))

    def test_types(self):
        with h5py.File(self.path) as f:
            for name, kind in KINDS.items():
                self.assertEqual(f["samples"].dtype[name], np.dtype(kind), name)
            for table in TABLES:
                for name in f[table].dtype.names:
                    self.assertEqual(f[table].dtype[name].shape, (), f"{table}.{name} is an array")
                    text = h5py.check_string_dtype(f[table].dtype[name])
                    if text:
                        self.assertEqual(text.encoding, "utf-8")
                        self.assertEqual(text.length is None, name in LONG, f"{table}.{name}")

    def test_unicode_is_whole(self):
        with h5py.File(self.path) as f:
            samples = f["samples"][:]
            self.assertEqual(samples["answer"][0].decode(), " Zürich 東京 🙂\n")
            self.assertEqual(samples["dataset"][0].decode(), "Länder")
            self.assertEqual(samples["sample_id"][0].decode(), "länder.jsonl:1")

    def test_many_rows_keep_their_own_values(self):
        with h5py.File(self.path.parent / "large" / "results.h5") as f:
            samples = f["samples"]
            self.assertLess(samples.chunks[0], len(samples))
            for i, row in enumerate(samples[:]):
                self.assertEqual((row["sample"], row["score"]), (i, i))
                self.assertEqual(row["sample_id"].decode(), f"länder.jsonl:{i + 1}")
                self.assertEqual(row["answer"].decode(), f"{i}\ufffd after NUL" + "x" * i)

    def test_each_column_has_units_and_a_long_name(self):
        with h5py.File(self.path) as f:
            for table in TABLES:
                for attribute in ("units", "long_name"):
                    self.assertEqual(len(f[table].attrs[attribute]), len(f[table].dtype.names))
            units = dict(zip(f["samples"].dtype.names, f["samples"].attrs["units"]))
            self.assertEqual((units["payload_bytes"], units["decode_s"], units["context_tokens"]),
                             ("B", "s", "tokens"))

    def test_storage(self):
        with h5py.File(self.path) as f:
            self.assertEqual((f["samples"].compression, f["samples"].compression_opts), ("gzip", 4))
            self.assertTrue(f["samples"].shuffle)

    def test_root_attributes(self):
        with h5py.File(self.path) as f:
            attributes = dict(f.attrs)
        self.assertEqual(attributes["schema"], "kvcomm-results")
        self.assertEqual(attributes["software_version"], "0.1.0 abc1234")
        self.assertEqual(json.loads(attributes["argv"]), ["kvcomm", "run", "sweep für 2.toml"])
        self.assertEqual(json.loads(attributes["environment"]), {"OMP_NUM_THREADS": "2"})
        self.assertLessEqual({"schema_version", "software", "software_dependencies", "date",
                              "machine", "config", "fingerprints"}, attributes.keys())

    def test_cell_is_the_row_of_cells(self):
        with h5py.File(self.path) as f:
            cells, samples, layers = f["cells"][:], f["samples"][:], f["layers"][:]
        for table in (samples, layers):
            for row in table:
                for name in ("pair", "dataset", "method"):
                    self.assertEqual(row[name], cells[row["cell"]][name])

    def test_bytes_add_up(self):
        with h5py.File(self.path) as f:
            cells, samples, layers = f["cells"][:], f["samples"][:], f["layers"][:]
        for i, cell in enumerate(cells):
            of_cell = samples[samples["cell"] == i]
            self.assertEqual(cell["payload_bytes"], of_cell["payload_bytes"].sum())
            self.assertEqual(cell["kv_bytes"], layers["kv_bytes"][layers["cell"] == i].sum())


class Analysis(WithExample):
    def test_reader_gives_texts(self):
        results = read(self.path)
        self.assertEqual(results.samples.answer[0], " Zürich 東京 🙂\n")
        self.assertEqual(results.ranks.host.tolist(), ["höst", "höst"])
        self.assertEqual(results.about["argv"][0], "kvcomm")
        self.assertEqual(results.cells.attrs["units"]["calibration_s"], "s")
        self.assertEqual(len(read(self.empty).samples), 0)

    def test_reader_refuses_other_files(self):
        other = Path(self.folder.name) / "other.h5"
        with h5py.File(other, "w") as f:
            f["samples"] = [1]
        with self.assertRaisesRegex(ValueError, "not a results file of kvcomm"):
            read(other)

    def test_files_of_older_versions_are_read(self):
        older = Path(self.folder.name) / "older.h5"
        with h5py.File(self.path) as f, h5py.File(older, "w") as g:
            g.attrs.update(f.attrs)
            for name in TABLES:
                if name == "questions":
                    continue
                rows = f[name][:]
                kept = [column for column in rows.dtype.names if column != "variant"]
                table = g.create_dataset(name, data=rows[kept].astype([(c, f[name].dtype[c]) for c in kept]))
                for attribute in ("units", "long_name"):
                    of = dict(zip(rows.dtype.names, f[name].attrs[attribute]))
                    table.attrs[attribute] = [of[column] for column in kept]
        self.assertEqual(len(read(older).questions), 0)
        self.assertTrue(summarise(read(older)).equals(summarise(read(self.path))))

    def test_questions_join_the_samples(self):
        results = read(self.path)
        joined = results.samples.merge(results.questions, on=["dataset", "sample"])
        self.assertEqual(len(joined), len(results.samples))
        self.assertEqual(joined.question[0], "Wo liegt Zürich 0?")
        self.assertEqual(json.loads(joined.answers[0]), ["Schweiz", 'die "Schweiz"'])

    def test_parameters_are_columns(self):
        cells = read(self.path).cells
        self.assertEqual(cells.seed.tolist(), [-1, -1, 0, 1, 2])
        self.assertEqual(cells.ratio.tolist()[1:], [0.5] * 4)
        self.assertEqual(cells.alpha[1], 0.25)
        self.assertEqual(json.loads(cells.parameters[1])["sigma"], 10)
        self.assertTrue(cells.alpha.isna()[0])

    def test_seeds_have_a_mean_row_with_the_error_over_draws(self):
        table = summarise(read(self.path))
        self.assertEqual(table.method.tolist(),
                         ["baseline", "kvcomm(ratio=0.5)", "random(ratio=0.5, seed=0)",
                          "random(ratio=0.5, seed=1)", "random(ratio=0.5, seed=2)",
                          "random(ratio=0.5), mean of 3 draws, std err over them"])
        mean = table.iloc[-1]
        scores = [0, 1 / 4, 2 / 4]  # seed s answers the first s samples
        self.assertAlmostEqual(mean.score, np.mean(scores))
        self.assertAlmostEqual(mean.standard_error, np.std(scores, ddof=1) / math.sqrt(3))
        self.assertEqual((mean.n, mean.draws, mean.payload_bytes, mean.calibration_bytes), (4, 3, 1200, 1200))

    def test_the_program_prints_the_same_mean(self):
        printed = subprocess.run([PROGRAM, "merge", self.path.parent], capture_output=True, text=True, check=True).stdout
        mean = summarise(read(self.path)).iloc[-1]
        line = next(line for line in printed.splitlines() if line.startswith(mean.method))
        self.assertEqual(re.split("  +", line)[1:],
                         [f"{mean.score:.3f}", f"{mean.standard_error:.3f}", "4", "0", "300 B"])

    def test_draws_are_averaged_only_where_nothing_but_the_seed_differs(self):
        results = read(self.path)

        def means(**changed):
            cells = results.cells.copy()
            for column, value in changed.items():
                cells.loc[4, column] = value
            table = summarise(dataclasses.replace(results, cells=cells))
            return table[table.draws > 1].draws.tolist()

        self.assertEqual(means(), [3])
        self.assertEqual(means(n=3), [2])
        self.assertEqual(means(variant="dtype=bfloat16"), [2])
        self.assertEqual(means(fidelity="release"), [2])
        self.assertEqual(means(key_json=results.cells.key_json[4].replace("float32", "bfloat16")), [2])

    def test_cells_keep_their_own_numbers(self):
        table = summarise(read(self.path)).set_index("method")
        kvcomm = table.loc["kvcomm(ratio=0.5)"]
        self.assertEqual((kvcomm.score, kvcomm.n_failed), (0.75, 1))
        self.assertAlmostEqual(kvcomm.standard_error, 0.25)
        self.assertAlmostEqual(table.loc["baseline"].standard_error, math.sqrt(0.25 / 4))

    def test_printed_tables(self):
        text = table_py(self.path)
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertEqual(len(text.stdout.splitlines()), 7)
        self.assertRegex(text.stdout, r"kvcomm\(ratio=0.5\) +4 +1 +includes +0.750 +0.250 +1,200 +300")
        markdown = table_py(self.path, "--format", "markdown").stdout.splitlines()
        self.assertEqual(len(markdown), 8)
        self.assertEqual(len({line.count("|") for line in markdown}), 1)
        rows = list(csv.DictReader(io.StringIO(table_py(self.path.parent, "--format", "csv").stdout)))
        self.assertEqual(rows[1]["payload_bytes"], "1200")
        self.assertEqual(table_py(self.empty).returncode, 0)

    def test_a_missing_file_is_a_sentence(self):
        answer = table_py("nowhere.h5")
        self.assertEqual(answer.returncode, 1)
        self.assertIn("Cannot read 'nowhere.h5'", answer.stderr)
        self.assertNotIn("Traceback", answer.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
