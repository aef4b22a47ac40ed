"""`kvcomm verify`: what every method stores is right by its own closed forms, and whatever is changed afterwards is
found, with its place."""

import json
import re
import shutil
import signal
import subprocess

import h5py
from support import (BUILD, METHODS, SystemTest, call, dataset_table, demo_records, finished, main, make_model,
                     method_table, pair_table)

RIGHT, USAGE, UNFINISHED, WRONG = 0, 2, 3, 5
FEW = method_table("skyline") + method_table("kvcomm", ratio=0.5) + method_table("ac", k=2, j=1)
CONTROLS = "".join([
    method_table("baseline"), method_table("kvcomm", ratio=0.5, control=["deranged", "zero", "noise"]),
    method_table("ac", k=2, j=1, control="deranged"), method_table("nld", phase1_tokens=4, control="deranged"),
    method_table("cipher", phase1_tokens=3, control="noise"), method_table("hidden_prepend", k=1, j=2, control="zero"),
])
CALIBRATIONS = "".join([
    method_table("kvcomm", ratio=0.5, recalibrate_every=3),
    method_table("kvcomm", ratio=0.5, recalibrate_every=4, control="deranged"),
    method_table("kvcomm", ratio=0.5, calibration="held_out", calibration_samples=2),
    method_table("kvcomm_s", layer_count=2, first_rank=1), method_table("kvcomm_s", ratio=0.5, calibration_samples=2),
    method_table("kvcomm", layer_counts="all"), method_table("contiguous", sweep_width=2),
    method_table("hidden_prepend", every=2), method_table("token_study", every=2, answer="text"),
])
SENDERS = "".join([
    method_table("baseline"), method_table("skyline"), method_table("kvcomm", ratio=0.5),
    method_table("kvcomm_s", layers=[1, 2]), method_table("random", ratio=0.5, seed=3),
    method_table("kvcomm", ratio=0.5, recalibrate_every=3), method_table("kvcomm", ratio=0.5, control="deranged"),
    method_table("nld", phase1_tokens=5), method_table("cipher", phase1_tokens=4),
])


def sealed(records):
    """Journal lines of records, with the hashes that belong to them."""
    lines = "".join(json.dumps({key: value for key, value in record.items() if key != "xxh3"}, ensure_ascii=False,
                               separators=(",", ":")) + "\n" for record in records)
    return subprocess.run([BUILD / "tests/store/store_seal_lines"], input=lines, capture_output=True, text=True,
                          check=True).stdout


class Verifying(SystemTest):
    def verify(self, output, code=RIGHT):
        outcome = self.check(call(["verify", self.folder / output]), code)
        self.assertEqual(outcome.log, "")
        return outcome.out

    def verdict(self, output):
        """What --json says, with its checks by name."""
        outcome = call(["verify", self.folder / output, "--json"])
        told = json.loads(outcome.out)
        return told | {"checks": {check["what"]: check for check in told["checks"]}}


class EveryMethod(Verifying):
    """Nothing that a run stores is called wrong, and nothing but failed rows is left unchecked."""

    def right(self, sweep, output, ranks=1, sets=(), code=RIGHT):
        self.check(sweep.run(output, ranks, sets=sets), code)
        self.verify(output, code)
        told = self.verdict(output)
        for name, check in told["checks"].items():
            self.assertEqual(check["wrong"], 0, (name, check))
            left = {why for why in check["unchecked"] if "failed attempt" not in why}
            self.assertEqual(left, set(), name)
        rows = sweep.samples_stored(output)
        of_bytes = told["checks"]["bytes of rows by their methods' closed forms"]
        self.assertEqual(of_bytes["checked"] + sum(of_bytes["unchecked"].values()), rows)
        return told

    def test_every_method_in_both_fidelities(self):
        for fidelity in ("paper", "release"):
            for dtype in ("float32", "bfloat16"):
                with self.subTest(fidelity=fidelity, dtype=dtype):
                    sweep = self.sweep("all", METHODS, dtype=dtype, run=f'fidelity = "{fidelity}"')
                    self.right(sweep, f"{fidelity}-{dtype}", ranks=2)

    def test_controls_and_calibrations(self):
        for fidelity in ("paper", "release"):
            for name, methods in (("controls", CONTROLS), ("calibrations", CALIBRATIONS)):
                with self.subTest(fidelity=fidelity, methods=name):
                    sweep = self.sweep(name, methods, run=f'fidelity = "{fidelity}"\nbatch = 3')
                    self.right(sweep, f"{name}-{fidelity}")

    def test_several_senders(self):
        make_model(self.folder / "models/one")
        make_model(self.folder / "models/two", "tiny-llama")
        records = [record | {"context": f"The master wrote. {record['context']}."} for record in demo_records(8)]
        for fidelity in ("paper", "release"):
            with self.subTest(fidelity=fidelity):
                sweep = self.sweep("senders", SENDERS, records, pair_table(["one", "two"], "one", name="pair"),
                                   run=f'fidelity = "{fidelity}"')
                self.right(sweep, f"senders-{fidelity}")

    def test_other_metrics_beside_the_score(self):
        data = self.folder / "own.jsonl"
        data.write_text("".join(json.dumps(record) + "\n" for record in demo_records(8)))
        datasets = dataset_table("mine", data, question="question", answers="answers", max_new_tokens=6,
                                 metric=["f1", "edit_similarity", "exact_match", "rouge_l_recall", "includes"])
        self.right(self.sweep_on("metrics", datasets, FEW), "metrics")

    def test_samples_that_fail_are_no_fault_and_not_complete(self):
        records = demo_records(6)
        records[4]["context"] = "the ship " * 500
        sweep = self.sweep("fails", FEW, records, run="max_input_tokens = 800")
        told = self.right(sweep, "fails", code=UNFINISHED)
        self.assertEqual(len(told["missing"]), 3)
        self.assertIn("kvcomm(ratio=0.5) on demo of tiny: of 6 samples 1 (4) failed whenever they were tried.",
                      told["missing"])

    def test_two_settings_in_one_folder(self):
        sweep = self.sweep("settings", FEW)
        self.check(sweep.run("settings"))
        self.check(sweep.run("settings", sets=["run.dtype=bfloat16"]))
        self.check(sweep.run("settings", sets=["run.fidelity=release"], more=["--limit", "4"]))
        self.verify("settings")

    def test_without_the_models_the_shapes_are_those_of_the_rows(self):
        folder = self.folder / "models/org/leaving"
        make_model(folder)
        sweep = self.sweep("alone", METHODS, pairs=pair_table("org/leaving"))
        self.check(sweep.run("alone"))
        shutil.rmtree(folder)
        self.verify("alone")
        row = next(i for i, fields in enumerate(sweep.journal_lines("alone")) if fields.get("kv_bytes"))
        change(self.folder / "alone", {row + 1: lambda fields: fields | {"kv_bytes": fields["kv_bytes"] + 2}})
        self.assertIn("kv_bytes is", self.verify("alone", WRONG))


def change(folder, lines):
    """Puts other lines in the place of some of a folder's only journal: by number from 1, each a function of the
    fields, or None; returns the journal."""
    journal, = (folder / "journal").glob("*.jsonl")
    text = journal.read_text().splitlines(keepends=True)
    for number, make in lines.items():
        text[number - 1] = sealed([make(json.loads(text[number - 1]))]) if make else ""
    journal.write_text("".join(text))
    return journal


class Changed(Verifying):
    """One sweep, finished and right; of each copy one thing is changed."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work = cls().sweep("work", FEW, demo_records(6))
        outcome = cls.work.run("whole")
        assert outcome.code == 0, outcome
        journal, = (cls.folder / "whole/journal").glob("*.jsonl")
        cls.lines = [json.loads(line) for line in journal.read_text().splitlines()]

    def number(self, kind, **fields):
        """The line of the first such record."""
        wanted = {"t": kind, **fields}
        return next(i for i, line in enumerate(self.lines, 1) if all(line.get(key) == value
                                                                      for key, value in wanted.items()))

    def kv_row(self):
        return next(i for i, line in enumerate(self.lines, 1) if line["t"] == "sample" and line["kv_bytes"])

    def copy(self):
        folder = self.folder / self._testMethodName
        shutil.rmtree(folder, ignore_errors=True)  # of a subtest before
        shutil.copytree(self.folder / "whole", folder)
        return folder

    def with_change(self, lines, merged=False):
        folder = self.copy()
        journal = change(folder, lines)
        if merged:  # results.h5 then says what the journal says
            self.check(call(["merge", folder]))
        return journal

    def found(self, *patterns, code=WRONG):
        """What verify prints of the test's folder; a pattern is of one line."""
        text = self.verify(self._testMethodName, code)
        for pattern in patterns:
            self.assertRegex(text, pattern)
        return text

    def test_nothing(self):
        text = self.verify("whole")
        self.assertTrue(text.endswith("\nright and complete\n"), text)
        for title in ("Wrong:", "Missing:", "Not checked:", "Beside:"):
            self.assertNotIn(title, text)
        again = self.check(call(["verify", self.work.results("whole")])).out  # or a file in it
        self.assertEqual(again.splitlines()[-1], "right and complete")

    def test_a_flipped_byte(self):
        folder = self.copy()
        journal, = (folder / "journal").glob("*.jsonl")
        data = bytearray(journal.read_bytes())
        number = self.kv_row()
        at = sum(len(line) + 1 for line in data.split(b"\n")[:number - 1]) + 40
        data[at] ^= 1
        journal.write_bytes(data)
        self.found(rf"{re.escape(str(journal))}:{number}: its checksum does not fit",
                   r"kvcomm\(ratio=0.5\) on demo of tiny: of 6 samples 1 \(\d\) have no answer yet")

    def test_changed_bytes_with_a_hash_that_fits(self):
        row = self.kv_row()
        for name, fields in (("payload_bytes", lambda f: f | {"payload_bytes": 8}),
                             ("layer_bytes", lambda f: f | {"layer_bytes": f["layer_bytes"][::-1] + [1]}),
                             ("header_bytes", lambda f: f | {"header_bytes": 0}),
                             ("token_bytes", lambda f: f | {"token_bytes": 4}),
                             ("layers_sent", lambda f: f | {"layers_sent": 9})):
            with self.subTest(name):
                journal = self.with_change({row: fields}, merged=True)
                self.found(rf"- {re.escape(str(journal))}:{row}: kvcomm\(ratio=0.5\) on demo of tiny, sample 0: .*{name}")

    def test_bytes_that_agree_with_each_other_but_not_with_the_models(self):
        """Twice the tokens' width in every row: only config.json tells."""
        def twice(fields):
            return fields | {name: 2 * fields[name] for name in ("payload_bytes", "kv_bytes")} | {
                "layer_bytes": [2 * bytes_ for bytes_ in fields["layer_bytes"]]}
        rows = {i: twice for i, line in enumerate(self.lines, 1) if line["t"] == "sample" and line["kv_bytes"]}
        self.with_change(rows, merged=True)
        self.found(r"payload_bytes is \d+, and must be \d+")

    def test_a_changed_score(self):
        row = self.number("sample")
        journal = self.with_change({row: lambda fields: fields | {"score": 0.25}}, merged=True)
        self.found(rf'{re.escape(str(journal))}:{row}: skyline .*the score is 0.25, and scoring ".*" again gives 0')

    def test_a_score_that_is_none(self):
        self.with_change({self.number("sample"): lambda fields: fields | {"score": 1.5}}, merged=True)
        self.found(r"the score 1.5 is not in \[0, 1\]")

    def test_a_failed_row_that_scores(self):
        row = self.number("sample")
        self.with_change({row: lambda fields: fields | {"failed": True, "score": 1.0}}, merged=True)
        self.found('it failed, and has the answer ".*" with score 1')

    def test_changed_accepted_answers(self):
        def accept(fields):
            answer = next(line["answer"] for line in self.lines if line["t"] == "sample"
                          and line["sample"] == fields["sample"] and line["answer"].strip())
            return fields | {"answers": [answer]}
        self.with_change({self.number("question", sample=2): accept}, merged=True)
        self.found("sample 2: the score is .*, and scoring")

    def test_changed_layers(self):
        cell = max(i for i, line in enumerate(self.lines, 1) if line["t"] == "cell" and line["layers"])

        def other_way_round(fields):
            return fields | {"layers": [layer | {"selected": not layer["selected"]} for layer in fields["layers"]]}
        journal = self.with_change({cell: other_way_round}, merged=True)
        self.found(rf"{re.escape(str(journal))}:{cell}: kvcomm.*: the layers [\d ]+ are selected, and must be [\d ]+\.")

    def test_a_changed_calibration(self):
        number = self.number("calibration")
        self.with_change({number: lambda fields: fields | {"bytes": fields["bytes"] + 4}}, merged=True)
        self.found(r"the calibration sent \d+ B, and must have sent \d+ B")

    def test_a_changed_key(self):
        number = self.number("cell")
        self.with_change({number: lambda fields: fields | {"key": "0" * 32}}, merged=True)
        self.found("the cell's key is 0+, and its key_json hashes to", "no cell of any journal has the row's key")

    def test_a_changed_value_in_the_results(self):
        for table, column in (("samples", "score"), ("samples", "answer"), ("cells", "payload_bytes"),
                              ("layers", "importance"), ("questions", "answers")):
            with self.subTest(f"{table}.{column}"):
                folder = self.copy()
                with h5py.File(folder / "results.h5", "r+") as file:
                    rows = file[table][:]
                    rows[column][2] = b"other" if rows[column].dtype.kind in "SO" else 7
                    file[table][...] = rows
                self.found(rf'/{table}, row 2, column {column} is "?(7|other)"?, and of the journals ')

    def test_results_of_an_older_program(self):
        folder = self.copy()
        with h5py.File(folder / "results.h5", "r+") as file:
            del file.attrs["machine"], file["studies"]
        self.found(f"'{folder}/results.h5' lacks what this version of the program tells: `kvcomm merge {folder}`",
                   code=UNFINISHED)

    def test_a_line_that_was_removed(self):
        rows = sum(line["t"] == "sample" for line in self.lines)
        for merged in (False, True):
            with self.subTest(merged=merged):
                self.with_change({self.number("sample", sample=3): None}, merged)
                text = self.found(r"skyline on demo of tiny: of 6 samples 1 \(3\) have no answer yet",
                                  code=UNFINISHED if merged else WRONG)
                if not merged:
                    self.assertIn(f"/samples has {rows} rows, and of the journals {rows - 1}", text)

    def test_a_question_that_was_removed(self):
        self.with_change({self.number("question", sample=3): None}, merged=True)
        self.found(r"of 6 samples 1 \(3\) have no question", "3 of questions, and scores .*: no journal has the sample's",
                   code=UNFINISHED)

    def other_run(self, folder, lines):
        """A second run's journal with these lines behind its own first one."""
        name = "29990101T000000.000Z-host-1"
        path = folder / "journal" / f"{name}.jsonl"
        path.write_text(sealed([self.lines[0] | {"run_id": name}, *lines]))
        self.check(call(["merge", folder]))
        return path

    def row(self):
        return self.lines[self.number("sample") - 1]

    def test_two_runs_that_gave_the_same_answer(self):
        self.other_run(self.copy(), [self.row()])
        told = self.verdict(self._testMethodName)
        self.assertEqual(told["verdict"], "right and complete")
        self.assertEqual(told["checks"]["samples that were answered more than once"]["checked"], 1)

    def test_two_runs_that_gave_different_answers(self):
        row = self.row()
        path = self.other_run(self.copy(), [row | {"answer": row["answer"] + " or not"}])
        self.found(rf"{re.escape(str(path))}:2: sample 0 of the key {row['key']} has the answer \".* or not\" with score 0 "
                   rf".*, and in .*:{self.number('sample')} \"")

    def test_foreign_files(self):
        folder = self.copy()
        (folder / "journal/notes.txt").write_text("nothing reads this\n")
        self.found(f"'{folder}/journal/notes.txt' is no journal", code=RIGHT)
        (folder / "journal/foreign.jsonl").write_text('{"another": "program and its own sort of lines"}\n' * 2)
        self.found(rf"{folder}/journal/foreign.jsonl:1 \(and 1 more of its lines\): it has no checksum")

    def test_a_copied_journal(self):
        folder = self.copy()
        journal, = (folder / "journal").glob("*.jsonl")
        shutil.copy(journal, folder / "journal/copy.jsonl")
        self.found(rf"copy.jsonl says that it is the journal of run '{journal.stem}'")

    def test_results_that_are_missing_or_older(self):
        folder = self.copy()
        (folder / "results.h5").unlink()
        self.found(f"There is no '{folder}/results.h5': `kvcomm merge {folder}` writes it.", code=UNFINISHED)
        self.check(call(["merge", folder]))
        written = (folder / "results.h5").read_bytes()
        self.other_run(folder, [self.row()])
        (folder / "results.h5").write_bytes(written)
        self.found(f"'{folder}/results.h5' is older than the journals: `kvcomm merge {folder}` writes it anew.",
                   code=UNFINISHED)

    def test_no_output_folder(self):
        empty = self.folder / "empty"
        empty.mkdir()
        for place in (empty, self.folder / "nowhere"):
            outcome = self.check(call(["verify", place]), USAGE)
            self.assertIn("There are no journals in", outcome.log)

    def test_nothing_is_written(self):
        before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in (self.folder / "whole").rglob("*")}
        self.verify("whole")
        self.assertEqual({path: (path.stat().st_mtime_ns, path.stat().st_size)
                          for path in (self.folder / "whole").rglob("*")}, before)


class Unfinished(Verifying):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work = cls().sweep("work", method_table("skyline") + method_table("random", ratio=0.5, seed=[0, 1]),
                               demo_records(200), run="batch = 2")

    def interrupted(self, output, number):
        process = self.work.start(output)
        self.wait_for(lambda: self.work.samples_stored(output) > 40, process, "rows")
        process.send_signal(number)
        return finished(process)

    def missing(self, output):
        """Answers that are missing, by method."""
        counts = {}
        for sentence in self.verdict(output)["missing"]:
            if told := re.match(r"(.*) on demo of tiny: of 200 samples (\d+) \(.* have no answer yet", sentence):
                counts[told[1]] = int(told[2])
        return counts

    def test_stopped_and_killed_runs(self):
        for number, name in ((signal.SIGUSR1, "stopped"), (signal.SIGKILL, "killed")):
            with self.subTest(name):
                self.assertNotEqual(self.interrupted(name, number).code, 0)
                self.verify(name, UNFINISHED)
                self.assertEqual(sum(self.missing(name).values()), 600 - self.work.samples_stored(name))
                self.check(self.work.run(name))
                self.verify(name)

    def test_half_a_line_of_a_killed_run(self):
        self.interrupted("torn", signal.SIGKILL)
        journal, = (self.folder / "torn/journal").glob("*.jsonl")
        lines = journal.read_bytes().splitlines(keepends=True)
        last = max(i for i, line in enumerate(lines) if line.endswith(b"}\n") and b'"t":"sample"' in line)
        journal.write_bytes(b"".join(lines[:last]) + lines[last][:-25])
        note = f"{journal}:{last + 1} is half a line: its run was killed in it."
        self.assertIn(note, self.verify("torn", UNFINISHED))
        self.check(self.work.run("torn"))
        self.assertIn(note, self.verify("torn"))


if __name__ == "__main__":
    main()
