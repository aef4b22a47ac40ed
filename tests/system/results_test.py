"""What a folder's results say: questions, parameters, other settings beside the newest, one sample by every method."""

import json

from support import SystemTest, call, demo_records, main, method_table, pair_table, tables

METHODS = (method_table("baseline") + method_table("kvcomm", ratio=0.5) +
           method_table("random", ratio=0.5, seed=[0, 1, 2]))
PAIRS = pair_table("org/tiny", name="plain") + pair_table("org/tiny", name="weighted", alpha=0.25, sigma=3.0)


class Folder(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        test = cls()
        cls.records = demo_records(4)
        cls.records[1]["question"] = "First line?\nSecond line?"
        cls.records[1]["answers"] = ["harbour", "the \"harbour\""]
        cls.work = test.sweep("work", METHODS, cls.records, pairs=PAIRS)
        test.check(cls.work.run("out"))
        cls.output = cls.folder / "out"
        cls.tables = tables(cls.output / "results.h5")


class Tables(Folder):
    def test_questions_are_in_the_file(self):
        questions = self.tables["questions"]
        self.assertEqual(questions.sample_id.tolist(), [record["id"] for record in self.records])
        self.assertEqual(questions.question.tolist(), [record["question"] for record in self.records])
        self.assertEqual([json.loads(text) for text in questions.answers], [record["answers"] for record in self.records])
        self.assertEqual(set(questions.context), {""})
        joined = self.tables["samples"].merge(questions, on=["dataset", "sample", "sample_id"])
        self.assertEqual(len(joined), len(self.tables["samples"]))

    def test_contexts_are_added_once_when_asked_for(self):
        self.check(self.work.run("contexts"))
        stored = len(self.questions_written("contexts"))
        self.check(self.work.run("contexts"))
        self.assertEqual(len(self.questions_written("contexts")), stored)
        for _ in range(2):
            self.check(self.work.run("contexts", sets=["run.store_contexts=true"]))
        self.assertEqual(len(self.questions_written("contexts")), 2 * stored)
        questions = tables(self.work.results("contexts"))["questions"]
        self.assertEqual(questions.context.tolist(), [record["context"] for record in self.records])

    def questions_written(self, output):
        return [line for line in self.work.journal_lines(output) if line["t"] == "question"]

    def test_what_a_pair_sets_shows(self):
        cells = self.tables["cells"]
        kvcomm = cells[cells.method == "kvcomm(ratio=0.5)"].set_index("pair")
        self.assertEqual(kvcomm.alpha.to_dict(), {"plain": 1, "weighted": 0.25})
        self.assertEqual(kvcomm.sigma.to_dict(), {"plain": 10, "weighted": 3})
        for _, cell in kvcomm.iterrows():
            self.assertEqual(json.loads(cell.parameters), json.loads(cell.key_json)["parameters"])
        self.assertEqual(cells[cells.pair == "plain"].seed.tolist(), [-1, -1, 0, 1, 2])

    def test_ranks_add_up_and_waiting_is_no_wire(self):
        for size in (1, 2):
            with self.subTest(size):
                self.check(self.work.run(f"world{size}", size))
                ranks = tables(self.work.results(f"world{size}"))["ranks"]
                self.assertEqual(len(ranks), size)
                seconds = ranks[[name for name in ranks.columns if name.endswith("_s")]]
                self.assertTrue((seconds >= 0).all(axis=None), str(seconds))
                if size == 1:
                    self.assertLess(ranks.wait_s[0], 0.01)
                else:  # each end works while the other has nothing else to do
                    self.assertTrue((ranks.wait_s > 0).all(), str(seconds))


class OtherKeys(Folder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        test = cls()
        cls.run_again = test.check(cls.work.run("out", sets=["run.dtype=bfloat16"]))
        cls.third = test.check(cls.work.run("out", sets=["run.dtype=bfloat16", "dataset.demo.max_new_tokens=7"]))

    def test_a_run_says_what_it_leaves_out(self):
        # Pairs of equal models share the keys of what their settings do not change.
        self.assertIn("24 rows of 6 other keys stay in the journals alone", self.run_again.log)
        self.assertIn("kvcomm(ratio=0.5) on demo of weighted, 4 rows: dtype was float32, is bfloat16",
                      self.run_again.log)
        self.assertIn(f"kvcomm merge --all {self.output}", self.run_again.log)
        self.assertIn("48 rows of 12 other keys stay in the journals alone", self.third.log)
        self.assertIn("dtype was float32, is bfloat16; max_new_tokens was 6, is 7", self.third.log)
        self.assertIn("and 4 more.", self.third.log)

    def test_all_keys_are_cells_of_their_own(self):
        before = (self.output / "results.h5").read_bytes()
        outcome = self.check(call(["merge", "--all", self.output]))
        self.assertEqual((self.output / "results.h5").read_bytes(), before)
        everything, newest = tables(self.output / "all.h5"), tables(self.output / "results.h5")
        cells = everything["cells"]
        variants = ["", "max_new_tokens=6", "dtype=float32, max_new_tokens=6"]
        self.assertEqual(cells.variant.tolist(), variants * 10)
        self.assertEqual(set(cells.n), {4})
        for name in ("cells", "samples", "layers"):
            self.assertEqual(set(newest[name].variant), {""})
            shown = everything[name][everything[name].variant == ""].reset_index(drop=True)
            index = [column for column in ("cell",) if column in shown]
            self.assertTrue(shown.drop(columns=index).equals(newest[name].drop(columns=index)), name)
        samples = everything["samples"]
        self.assertEqual(samples.variant.tolist(), cells.variant[samples.cell].tolist())
        for variant in variants[1:]:
            self.assertIn(f"kvcomm(ratio=0.5) [{variant}]", outcome.out)
            self.assertIn(f"random(ratio=0.5) [{variant}], mean of 3 draws", outcome.out)
        self.assertNotIn("other keys", outcome.log)

    def test_the_older_rows_are_those_of_their_run(self):
        self.check(call(["merge", "--all", self.output]))
        samples = tables(self.output / "all.h5")["samples"]
        older = samples[samples.variant == "dtype=float32, max_new_tokens=6"].reset_index(drop=True)
        columns = ["pair", "method", "sample", "answer", "score", "payload_bytes"]
        self.assertTrue(older[columns].equals(self.tables["samples"][columns]))

    def test_all_of_them_can_be_shown_and_the_newest_scored(self):
        self.check(call(["merge", "--all", self.output]))
        outcome = self.check(call(["show", self.output / "all.h5", "--sample", "0"]))
        self.assertIn("baseline [dtype=float32, max_new_tokens=6]", outcome.out)
        scored = ["--output", self.folder / "scored.h5", "--metric", "includes"]
        refused = self.check(call(["score", self.output / "all.h5", *scored]), 2)
        self.assertIn("holds cells of several settings", refused.log)
        self.check(call(["score", self.output, *scored]))
        before, after = tables(self.output / "results.h5"), tables(self.folder / "scored.h5")
        for name in ("questions", "layers", "ranks"):
            self.assertTrue(before[name].equals(after[name]), name)
        self.assertEqual(before["samples"].variant.tolist(), after["samples"].variant.tolist())


class Show(Folder):
    def show(self, *arguments, code=0):
        return self.check(call(["show", self.output, *arguments]), code)

    def test_a_sample_by_its_place_or_its_id(self):
        by_place, by_id = self.show("--sample", "1"), self.show("--dataset", "demo", "--sample", "s0001")
        self.assertEqual(by_place.out, by_id.out)
        lines = by_place.out.splitlines()
        self.assertEqual(lines[0], "demo, sample 1 (s0001)")
        self.assertIn("question  First line?", lines)
        self.assertIn("          Second line?", lines)
        self.assertIn('gold      harbour | the "harbour"', lines)
        samples = self.tables["samples"]
        for _, row in samples[samples["sample"] == 1].iterrows():
            line = next(line for line in lines if line.startswith(row.pair) and f" {row.method} " in line)
            self.assertIn(f"{row.score:.3f}", line)
            if len(row.answer) < 60:
                self.assertTrue(line.endswith(json.dumps(row.answer, ensure_ascii=False)), line)

    def test_of_one_pair_no_name_is_printed(self):
        self.check(self.work.run("one", more=["--pair", "plain"]))
        self.assertNotIn("plain", self.check(call(["show", self.folder / "one", "--sample", "0"])).out)

    def test_what_is_not_there_is_named_with_what_is(self):
        self.assertIn("'demo'", self.show("--sample", "0", "--dataset", "demos", code=2).log.replace("Did you mean", ""))
        self.assertIn("it has 4 from 0 ('s0000') to 3 ('s0003')", self.show("--sample", "9", code=2).log)
        self.check(call(["show", self.folder / "nowhere", "--sample", "0"]), 2)

    def test_a_failed_sample_says_why(self):
        self.check(self.work.run("failed", sets=["run.max_input_tokens=12"]), 3)
        self.assertIn("failed: ", self.check(call(["show", self.folder / "failed", "--sample", "0"])).out)


if __name__ == "__main__":
    main()
