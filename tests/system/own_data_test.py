"""Data sets, metrics and prompts of one's own: from the configuration to the scores, without C++."""

import csv
import json

import h5py
import numpy as np

from support import SystemTest, call, dataset_table, demo_records, main, method_table, tables

METHODS = method_table("skyline") + method_table("kvcomm", ratio=0.5)
FIELDS = 'context = "text"\nquestion = "q"\nanswers = "a"\n'


def renamed(records):
    return [{"n": r["id"], "text": r["context"], "q": r["question"], "a": r["answers"][0]} for r in records]


class OwnData(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.records = renamed(demo_records(6))

    def write(self, name, content):
        path = self.folder / name
        if name.endswith(".csv"):
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(content[0]))
                writer.writeheader()
                writer.writerows(content)
        elif name.endswith(".json"):
            path.write_text(json.dumps(content, indent=1))
        else:
            path.write_text("".join(json.dumps(record) + "\n" for record in content))
        return path

    def own(self, name, data, lines=FIELDS, methods=METHODS, paths=""):
        """A sweep on the file `data`, whose [[dataset]] `mine` has these lines."""
        return self.sweep_on(name, dataset_table("mine", data, max_new_tokens=6) + lines, methods, paths=paths)

    def ran(self, name, *arguments, **options):
        sweep = self.own(name, *arguments, **options)
        self.check(sweep.run(name))
        return tables(sweep.results(name))

    def answers(self, frames):
        return [tuple(row) for row in frames["samples"][["method", "sample", "answer"]].itertuples(index=False)]

    def test_every_kind_of_file_gives_the_same_answers_as_the_demos_form(self):
        self.check(self.sweep("demo", methods=METHODS, records=demo_records(6)).run("demo"))
        expected = self.answers(tables(self.folder / "demo/results.h5"))
        # The demo's data have prompts of their own, which any data set may take.
        lines = FIELDS + 'id = "n"\nprompts = "demo"\n'
        for name in ("lines.jsonl", "array.json", "table.csv"):
            frames = self.ran(name.split(".")[0], self.write(name, self.records), lines)
            self.assertEqual(self.answers(frames), expected, name)
            self.assertEqual(list(frames["samples"].sample_id[:6]), [r["n"] for r in self.records])
            self.assertEqual(set(frames["cells"].dataset), {"mine"})
            self.assertEqual(set(frames["cells"].metric), {"f1"})

    def test_nested_fields_and_several_contexts(self):
        plain = [{"text": f"{r['text']}\nMore.\nLast.", "q": r["q"], "a": r["a"]} for r in self.records]
        nested = [{"docs": {"main": [r["text"], "More."]}, "end": "Last.", "meta": {"q": r["q"]}, "a": [r["a"], "x"]}
                  for r in self.records]
        lines = 'context = ["docs.main", "end"]\nquestion = "meta.q"\nanswers = "a"\n'
        frames = self.ran("nested", self.write("nested.jsonl", nested), lines)
        self.assertEqual(self.answers(frames), self.answers(self.ran("plain", self.write("plain.jsonl", plain))))
        self.assertEqual(list(frames["samples"].sample_id[:2]), ["nested.jsonl:1", "nested.jsonl:2"])

    def test_the_order_is_the_files_or_numpys(self):
        data = self.write("order.jsonl", self.records)
        frames = self.ran("shuffled", data, FIELDS + 'id = "n"\nshuffle = true\nlimit = 4\n')
        order = np.random.default_rng(42).permutation(len(self.records))[:4]
        self.assertEqual(list(frames["samples"].sample_id[:4]), [self.records[i]["n"] for i in order])

    def test_further_metrics_have_a_table(self):
        data = self.write("metrics.jsonl", self.records)
        sweep = self.own("metrics", data, FIELDS + 'metric = "includes"\n')
        self.check(sweep.run("metrics"))
        answers = tables(sweep.results("metrics"))["samples"].answer
        self.assertEqual(len(tables(sweep.results("metrics"))["scores"]), 0)
        # Answers that hit: the tiny model's say nothing about the records.
        self.write("metrics.jsonl", [{**record, "a": [answer.strip() or "x", "another"]}
                                     for record, answer in zip(self.records, answers)])
        sweep = self.own("metrics", data, FIELDS + 'metric = ["includes", "f1", "exact_match"]\nlimit = 4\n')
        self.check(sweep.run("listed"))
        frames = tables(sweep.results("listed"))
        scores, samples = frames["scores"], frames["samples"]
        self.assertEqual(list(scores.columns), ["cell", "pair", "dataset", "method", "variant", "sample", "sample_id",
                                                "metric", "score"])
        self.assertEqual(set(frames["cells"].metric), {"includes"})
        self.assertEqual(len(scores), 2 * len(samples))
        self.assertEqual(list(scores.metric[:2]), ["exact_match", "f1"])
        skyline = scores[(scores.method == "skyline") & (scores.metric == "f1")]
        self.assertEqual(list(skyline.score), [1.0] * 4)
        self.assertEqual(list(skyline.sample_id), ["metrics.jsonl:1", "metrics.jsonl:2", "metrics.jsonl:3", "metrics.jsonl:4"])
        # Two ranks write the same; what is stored is not done again for another list of metrics.
        self.check(sweep.run("two", 2))
        self.assertTrue(tables(sweep.results("two"))["scores"].equals(scores))
        sweep = self.own("metrics", data, FIELDS + 'metric = ["includes", "rouge_l_recall"]\n')
        self.check(sweep.run("listed"))
        self.assertEqual(sweep.samples_stored("listed"), 12)
        again = tables(sweep.results("listed"))["scores"]
        self.assertEqual(set(again[again["sample"] < 4].metric), {"f1", "exact_match"})
        self.assertEqual(set(again[again["sample"] >= 4].metric), {"rouge_l_recall"})
        # `score` gives every row those of the newest configuration.
        new = self.folder / "new.h5"
        self.check(call(["score", sweep.results("listed"), "--output", new]))
        rescored = tables(new)["scores"]
        self.assertEqual(set(rescored.metric), {"rouge_l_recall"})
        self.assertEqual(len(rescored), 12)
        self.check(call(["score", sweep.results("listed"), "--output", new, "--metric", "f1"]))
        self.assertEqual(set(tables(new)["scores"].metric), {"includes", "rouge_l_recall"})
        self.assertEqual(list(tables(new)["samples"].score[:4]), [1.0] * 4)
        with h5py.File(new) as file, h5py.File(sweep.results("listed")) as run:
            for attribute in ("units", "long_name"):
                self.assertEqual(list(file["scores"].attrs[attribute]), list(run["scores"].attrs[attribute]))

    def test_a_known_data_set_takes_metrics_too(self):
        sweep = self.sweep("known", methods=METHODS, records=demo_records(3))
        text = sweep.toml.read_text().replace('name = "demo"', 'name = "demo"\nmetric = ["f1", "includes"]')
        sweep.toml.write_text(text)
        self.check(sweep.run("known"))
        frames = tables(sweep.results("known"))
        self.assertEqual(set(frames["cells"].metric), {"f1"})
        self.assertEqual(set(frames["scores"].metric), {"includes"})

    def test_failed_rows_score_nothing_by_any_metric(self):
        data = self.write("failed.jsonl", self.records)
        sweep = self.own("failed", data, FIELDS + 'metric = ["includes", "f1"]\n')
        self.check(sweep.run("failed", sets=["run.max_input_tokens=20"]), 3)
        frames = tables(sweep.results("failed"))
        self.assertEqual(len(frames["scores"]), len(frames["samples"]))
        failed = frames["samples"].set_index(["cell", "sample"]).failed
        scores = frames["scores"].set_index(["cell", "sample"]).score
        self.assertGreater(failed.sum(), 0)
        self.assertEqual(set(scores[failed == 1]), {0.0})

    def test_resumed_and_scored_again_by_the_fields_that_were_read(self):
        data = self.write("resumed.jsonl", self.records)
        sweep = self.own("resumed", data)
        self.check(sweep.run("resumed", sets=["dataset.mine.limit=2"]))
        self.check(sweep.run("resumed"))
        self.assertEqual(sweep.samples_stored("resumed"), 12)
        before = tables(sweep.results("resumed"))
        # A run that takes other fields as answers is of other keys; the rows stored stay what they are.
        self.check(sweep.run("resumed", sets=["dataset.mine.answers=n"]))
        self.assertEqual(sweep.samples_stored("resumed"), 24)
        new = self.folder / "resumed.h5"
        self.check(call(["score", sweep.results("resumed"), "--output", new]))
        self.assertTrue(tables(new)["samples"].equals(tables(sweep.results("resumed"))["samples"]))
        self.check(sweep.run("resumed"))
        self.assertTrue(tables(sweep.results("resumed"))["samples"].equals(before["samples"]))
        # In a folder with another data set run last, its place is that of the run that had it.
        other = self.sweep("other", methods=METHODS, records=demo_records(2))
        self.check(other.run("resumed"))
        self.check(call(["score", sweep.results("resumed"), "--output", new]))
        scored = tables(new)["samples"]
        self.assertEqual(list(scored[scored.dataset == "mine"].score), list(before["samples"].score))

    def test_plan_and_show_config(self):
        data = self.write("planned.jsonl", self.records)
        sweep = self.own("planned", data)
        outcome = self.check(call(sweep.arguments("plan", "planned")))
        self.assertIn(f"on mine (6 samples in {data})", outcome.out)
        shown = self.check(call(sweep.arguments("run", "planned", more=["--show-config"]))).out
        for line in ('name = "mine"', 'context = "text"', 'metric = "f1"', 'prompts = "qa"', "shuffle = false"):
            self.assertIn(line, shown)
        again = self.folder / "again.toml"
        again.write_text(shown)
        self.assertEqual(self.check(call(["plan", again])).out, outcome.out)

    def test_two_names_may_share_a_file_and_have_prompts_of_their_own(self):
        data = self.write("shared.jsonl", self.records)
        prompts = self.folder / "prompts.toml"
        prompts.write_text('[plain]\nskyline = "{context} {question}"\nsender = "{context}"\nreceiver = "{question}"\n'
                           '[second]\nskyline = "{question} {context}"\n')
        second = dataset_table("second", data, max_new_tokens=6, prompts="plain") + FIELDS
        sweep = self.own("shared", data, FIELDS + 'prompts = "plain"\n', second + METHODS, f'prompts = "{prompts}"\n')
        self.check(sweep.run("shared"))
        samples = tables(sweep.results("shared"))["samples"]
        answers = {name: list(rows.answer) for name, rows in samples.groupby(["dataset", "method"])}
        self.assertNotEqual(answers["mine", "skyline"], answers["second", "skyline"])
        self.assertEqual(answers["mine", "kvcomm(ratio=0.5)"], answers["second", "kvcomm(ratio=0.5)"])

    def refused(self, name, content, lines=FIELDS, code=2):
        outcome = self.own("refused", self.write(name, content), lines).run("refused")
        self.check(outcome, code)
        self.assertFalse((self.folder / "refused").exists())
        return outcome.log

    def test_bad_data_and_settings_are_refused_with_a_sentence(self):
        self.assertIn("mine.jsonl:1 has no 'context', the context of [[dataset]] 'mine': set context there to one of "
                      "its fields, a, n, q, text.",
                      self.refused("mine.jsonl", self.records, 'question = "q"\nanswers = "a"\n'))
        self.assertIn("mine.jsonl:2: 'q' is null, a text is needed.",
                      self.refused("mine.jsonl", [self.records[0], {**self.records[1], "q": None}]))
        self.assertIn("mine.jsonl:1 holds NaN, which is no JSON: write null or leave the field out.",
                      self.refused("mine.jsonl", [{**self.records[0], "x": float("nan")}]))
        self.assertIn("mine.jsonl:1: 'a' is 0.5, a text, a whole number or a list of these is needed.",
                      self.refused("mine.jsonl", [{**self.records[0], "a": 0.5}]))
        self.assertIn("[[dataset]] 'mine' has no answers; data of your own need path",
                      self.refused("mine.jsonl", self.records, 'question = "q"\n'))
        self.assertIn("add it to table [mine] or [qaa]. Did you mean 'qa'?",
                      self.refused("mine.jsonl", self.records, FIELDS + 'prompts = "qaa"\n'))
        self.assertIn("there is no metric 'f2'. Did you mean 'f1'?",
                      self.refused("mine.jsonl", self.records, FIELDS + 'metric = ["includes", "f2"]\n'))
        gone = self.own("gone", self.folder / "gone.jsonl").run("gone")
        self.assertIn("No file of the data set 'mine' at", self.check(gone, 2).log)

    def test_answers_that_no_metric_can_find_are_named(self):
        records = [{**record, "a": "A"} for record in self.records]
        sweep = self.own("unscored", self.write("unscored.jsonl", records), FIELDS + 'metric = "exact_match"\n')
        outcome = self.check(call(sweep.arguments("plan", "unscored")))
        self.assertIn("The metric exact_match gives every answer 0 in 6 of 6 samples of 'mine'", outcome.log)
        outcome = self.check(call(sweep.arguments("plan", "unscored", sets=["dataset.mine.metric=accuracy"])))
        self.assertNotIn("gives every answer 0", outcome.log)


if __name__ == "__main__":
    main()
