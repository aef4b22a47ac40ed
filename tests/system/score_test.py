"""kvcomm score: stored answers of journals or of a file scored again, without a model, into a new file."""

import json
import math
import os
import shutil
import unittest
from pathlib import Path

import h5py
import numpy as np
from support import SystemTest, call, demo_records, main, method_table, tables

NONE = {"WNSEARCHDIR": "/none"}  # no dictionary is installed there
METHODS = method_table("baseline") + method_table("skyline", limit=1)
WITHOUT = "release-f1, words not lemmatised"
WORDNET = Path(os.environ.get("WNSEARCHDIR", "/usr/share/wordnet"))
WITH_WORDNET = unittest.skipUnless((WORDNET / "index.noun").exists(), "SKIPPED: install wordnet-base")


def set_first(path, table, column, value):
    """Changes a value in the first row of a table."""
    with h5py.File(path, "r+") as file:
        rows = file[table][:]
        rows[column][0] = value
        file[table][:] = rows


def contents(folder):
    """Every file below it with its bytes and time."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()}


class Score(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        test = cls()
        cls.records = demo_records(6)
        test.ran = test.sweep("ran", methods=METHODS, records=cls.records)
        test.check(test.ran.run("first"))
        cls.answers = dict(enumerate(tables(test.ran.results("first"))["samples"].answer))
        # Answers that hit: the tiny model's say nothing about the records.
        cls.records[0]["answers"] = [cls.answers[0]]
        cls.records[1]["answers"] = ["nothing of it", cls.answers[1].split()[0] if cls.answers[1].split() else "x"]
        cls.ran = test.sweep("ran", methods=METHODS, records=cls.records)
        test.check(cls.ran.run("out"))
        cls.input = cls.ran.results("out")

    def score(self, *arguments, code=0, output="new.h5", **options):
        outcome = call(["score", self.input, "--output", self.folder / output, *arguments], **options)
        self.check(outcome, code)
        return outcome

    def test_another_metric_changes_scores_and_what_names_them_alone(self):
        before, bytes_before = tables(self.input), self.input.read_bytes()
        outcome = self.score("--metric", "f1", "--normalisation", "without-lemmas")
        after = tables(self.folder / "new.h5")
        self.assertEqual(self.input.read_bytes(), bytes_before)
        for name in before:
            changed = {"samples": ["score"], "failures": ["key"],
                       "cells": ["score", "standard_error", "metric", "normalisation", "key", "key_json"]}.get(name, [])
            self.assertTrue(before[name].drop(columns=changed).equals(after[name].drop(columns=changed)), name)
        cells, samples = after["cells"], after["samples"]
        self.assertEqual(set(cells.metric), {"f1"})
        self.assertEqual(set(cells.normalisation), {WITHOUT})
        self.assertEqual(samples.score[0], 1)
        for index, cell in cells.iterrows():
            scores = samples[samples.cell == index].score
            self.assertAlmostEqual(cell.score, scores.mean())
            error = scores.std(ddof=1) / math.sqrt(len(scores))
            self.assertTrue(cell.standard_error == error or abs(cell.standard_error - error) < 1e-12 or
                            len(scores) == 1 and math.isnan(cell.standard_error))
            key = json.loads(cell.key_json)
            self.assertEqual((key["metric"], key["normalisation"]), ("f1", WITHOUT))
            self.assertNotEqual(cell.key, before["cells"].key[index])
            self.assertIn(f"{cell.score:.3f}", outcome.out)
        with h5py.File(self.folder / "new.h5") as new, h5py.File(self.input) as old:
            note = json.loads(new.attrs["rescored"])
            self.assertEqual((note["from"], note["argv"][1]), (str(self.input), "score"))
            self.assertEqual({name: text for name, text in new.attrs.items() if name != "rescored"}, dict(old.attrs))
            for name in old:
                self.assertEqual(list(new[name].attrs["units"]), list(old[name].attrs["units"]))
                self.assertEqual(new[name].dtype.names, old[name].dtype.names)

    def test_the_same_metric_gives_the_same_file_but_for_the_note(self):
        self.score()
        before, after = tables(self.input), tables(self.folder / "new.h5")
        for name in before:
            self.assertTrue(before[name].equals(after[name]), name)

    def test_scored_again_from_a_scored_file(self):
        self.score("--metric", "exact_match", "--normalisation", "without-lemmas")
        self.check(call(["score", self.folder / "new.h5", "--output", self.folder / "back.h5", "--metric", "includes"]))
        self.assertTrue(tables(self.input)["cells"].equals(tables(self.folder / "back.h5")["cells"]))

    def test_without_a_dictionary_words_are_plain_with_one_warning(self):
        outcome = self.score("--metric", "f1_match", environment=NONE)
        self.assertEqual(outcome.log.count("There is no WordNet dictionary in '/none'"), 1, outcome.log)
        self.assertEqual(set(tables(self.folder / "new.h5")["cells"].normalisation), {WITHOUT})
        outcome = self.score("--metric", "f1_match", "--normalisation", "with-lemmas", code=4, environment=NONE)
        self.assertIn("not in '/none': install Debian's wordnet-base", outcome.log)

    @WITH_WORDNET
    def test_lemmas_are_named(self):
        self.score("--metric", "f1_match")
        for name in tables(self.folder / "new.h5")["cells"].normalisation:
            self.assertRegex(name, r"^release-f1, WordNet \d\.\d lemmas$")

    @WITH_WORDNET
    def test_a_run_does_not_mix_rows_with_and_without_lemmas(self):
        records = [{"id": i, "prompt_A": f"Ann is at tower {i}.", "prompt_B": "Where is Ann?", "y": "Chile"} for i in range(2)]
        sweep = self.sweep("lemmas", methods=method_table("baseline"), records=records)
        sweep.toml.write_text(sweep.toml.read_text().replace('"demo"', '"countries"'))
        stored = []
        for environment in (NONE, None, None, NONE):
            self.check(sweep.run("lemmas", environment=environment))
            stored.append(sweep.samples_stored("lemmas"))
        self.assertEqual(stored, [2, 4, 4, 4])
        self.assertEqual(list(tables(sweep.results("lemmas"))["cells"].normalisation), [WITHOUT])

    def test_data_are_looked_for_where_the_run_had_them_or_in_the_folder_given(self):
        folder = self.folder / "moved"
        folder.mkdir()
        data = self.folder / "ran.jsonl"
        shutil.move(data, folder)
        try:
            self.assertIn("ran.jsonl", self.score(code=2).log)
            self.score("--data", folder)
        finally:
            shutil.move(folder / "ran.jsonl", data)

    def test_other_data_are_refused(self):
        folder = self.folder / "other"
        folder.mkdir()
        self.records[2]["answers"] = ["another"]
        (folder / "ran.jsonl").write_text("".join(json.dumps(record) + "\n" for record in self.records))
        (self.folder / "new.h5").unlink(missing_ok=True)
        outcome = self.score("--data", folder, code=2)
        self.assertIn("is not the file that was answered", outcome.log)
        self.assertFalse((self.folder / "new.h5").exists())

    def test_the_input_is_not_overwritten_and_must_be_results(self):
        before = self.input.read_bytes()
        self.assertIn("give --output another name", self.score(code=2, output="out/results.h5").log)
        self.assertEqual(self.input.read_bytes(), before)
        foreign = self.folder / "foreign.h5"
        with h5py.File(foreign, "w") as file:
            file["x"] = 1
        cut = self.folder / "cut.h5"
        cut.write_bytes(before[:len(before) // 2])
        for path in (foreign, cut, self.folder / "ran.jsonl", self.folder / "missing.h5", self.folder):
            outcome = self.check(call(["score", path, "--output", self.folder / "new.h5"]), 2)
            self.assertIn(path.name, outcome.log)

    def test_a_damaged_file_is_refused_with_what_is_wrong_in_it(self):
        def damaged(*change):
            path = self.folder / "damaged.h5"
            shutil.copy(self.input, path)
            set_first(path, *change)
            return self.check(call(["score", path, "--output", self.folder / "new.h5"]), 2).log

        self.assertIn("Row 0 of the table 'samples' is of cell -1", damaged("samples", "cell", -1))
        key = json.dumps({"dataset": {"fingerprint": 5}})
        self.assertIn("names no fingerprint", damaged("cells", "key_json", key))

    def test_a_folders_journals_are_read_whatever_its_file_says(self):
        folder, stale, lost = (self.copied(name) for name in ("whole", "stale", "lost"))
        set_first(stale / "results.h5", "samples", "answer", "of another time")
        (lost / "results.h5").unlink()
        for options in ([], ["--metric", "f1", "--normalisation", "without-lemmas"]):
            expected = self.scored(folder / "results.h5", *options)
            for given in (folder, stale, lost):
                before = contents(given)
                self.assertEqual(self.scored(given, *options), expected, given.name)
                self.assertEqual(contents(given), before)
        self.assertNotEqual(self.scored(stale / "results.h5"), self.scored(stale))
        with h5py.File(self.folder / "again.h5") as file:
            self.assertEqual(json.loads(file.attrs["rescored"])["from"], str(stale / "journal"))

    def test_rows_that_are_not_merged_yet_are_scored(self):
        folder = self.copied("more")
        file = (folder / "results.h5").read_bytes()
        self.check(self.ran.run("more", sets=["method.skyline.limit=3"]))
        expected = self.scored(folder / "results.h5")
        (folder / "results.h5").write_bytes(file)
        self.assertEqual(self.scored(folder), expected)
        self.assertNotEqual(self.scored(folder / "results.h5"), expected)

    def test_a_torn_line_of_a_journal_is_warned_of(self):
        folder = self.copied("torn")
        journal = next((folder / "journal").glob("*.jsonl"))
        lines = journal.read_bytes().splitlines(keepends=True)
        torn = max(i for i, line in enumerate(lines) if b'"t":"sample"' in line)
        lines[torn] = lines[torn][:40] + b"\n"
        journal.write_bytes(b"".join(lines))
        outcome = self.check(call(["score", folder, "--output", self.folder / "again.h5"]))
        self.assertIn(f"{journal}:{torn + 1} is skipped", outcome.log)
        self.assertEqual(len(tables(self.folder / "again.h5")["samples"]), len(tables(self.input)["samples"]) - 1)
        outcome = self.check(call(["score", folder / "results.h5", "--output", self.folder / "again.h5"]))
        self.assertNotIn("skipped", outcome.log)

    def test_a_folder_without_journals_gives_its_file(self):
        folder = self.copied("alone")
        expected = self.scored(folder)
        shutil.rmtree(folder / "journal")
        self.assertEqual(self.scored(folder), expected)
        (folder / "journal").mkdir()  # of a run that was killed before it wrote
        self.assertEqual(self.scored(folder), expected)
        with h5py.File(self.folder / "again.h5") as file:
            self.assertEqual(json.loads(file.attrs["rescored"])["from"], str(folder / "results.h5"))

    def test_a_folders_own_results_are_not_the_output_even_where_they_are_missing(self):
        folder = self.copied("own")
        (folder / "results.h5").unlink()
        (self.folder / "link").symlink_to(folder)
        for output in (folder / "results.h5", self.folder / "link/results.h5"):
            outcome = self.check(call(["score", folder, "--output", output]), 2)
            self.assertIn("give --output another name", outcome.log)
            self.assertFalse((folder / "results.h5").exists())

    def copied(self, name):
        """A folder with the run's journal and results.h5."""
        return Path(shutil.copytree(self.input.parent, self.folder / name))

    def scored(self, given, *options):
        """What the command prints, and the file it writes as bytes, but for the note of when and from where."""
        output = self.folder / "again.h5"
        outcome = self.check(call(["score", given, "--output", output, *options]))
        plain = {}
        with h5py.File(output) as file:
            plain["/"] = {name: text for name, text in file.attrs.items() if name != "rescored"}
            for name, table in file.items():
                rows = [tuple(value.tobytes() if isinstance(value, np.generic) else value for value in row)
                        for row in table[:]]
                plain[name] = (str(table.dtype), {key: list(texts) for key, texts in table.attrs.items()}, rows)
        return outcome.out, plain

    def test_an_output_that_is_a_folder_leaves_nothing_behind(self):
        (self.folder / "taken").mkdir()
        self.score(code=2, output="taken")
        self.assertEqual([path.name for path in self.folder.glob("taken*")], ["taken"])

    def test_an_unknown_metric_is_refused(self):
        self.assertIn("rouge_l_recall", self.score("--metric", "rouge", code=2).log)


if __name__ == "__main__":
    main()
