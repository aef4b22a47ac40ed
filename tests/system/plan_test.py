"""What `kvcomm plan` foretells: equal to what a run then measures, and as far as it goes where things are absent."""

import json
import re
import tomllib

from support import (METHODS, REPOSITORY, Outcome, SystemTest, call, demo_records, main, make_model, method_table,
                     pair_table, tables)

COLUMNS = ["samples", "stored", "layers sent", "context tokens", "prompt tokens", "crosses the wire", "sent",
           "computed"]
KVCOMM = method_table("baseline") + method_table("kvcomm", ratio=0.5)


def bytes_text(count):
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.2f} {name}"
    return f"{count / 1e3:.1f} kB" if count >= 1e3 else f"{count:.0f} B"


def cells_of(block):
    """The lines of a table: by the first column, what stands in the others."""
    lines = [re.split(r"  +", line) for line in block.splitlines()]
    head = next(i for i, line in enumerate(lines) if line[0] in ("method", "pair"))
    return {line[0]: dict(zip(lines[head][1:], line[1:])) for line in lines[head + 2:]}


class Plan(SystemTest):
    def planned(self, outcome: Outcome):
        """The tables by their headings, the sums by pair, and the sentences on what is absent."""
        self.check(outcome)
        text, _, absent = outcome.out.partition("\nBefore `kvcomm run`:\n")
        *blocks, sums = re.split(r"\n\n(?:~: |About |Hours |Nothing )", text)[0].strip().split("\n\n")
        self.memory = next((block for block in blocks if block.startswith("memory of a rank\n")), "")
        return ({block.splitlines()[0]: cells_of(block) for block in blocks if block != self.memory},
                cells_of(sums), absent.splitlines())

    def plan(self, sweep, *arguments, sets=(), **options):
        return self.planned(call(sweep.arguments("plan", sweep.toml.stem, sets, arguments), **options))

    def test_memory_of_each_end(self):
        self.plan(self.sweep("memory", method_table("skyline")))
        ends = {line[0]: line[1:] for line in (re.split(r"  +", text) for text in self.memory.splitlines()[3:])}
        self.assertEqual(list(ends), ["tiny, sender", "tiny, receiver", "tiny, both on one rank"])
        weights = {numbers[0] for numbers in ends.values()}
        self.assertEqual(len(weights), 1, "one model, loaded once where it is both")

    def only(self, found):
        (heading, cells), = found.items()
        return heading, cells

    def with_model(self, name, missing):
        """A folder org/<name> without some of its files, and a sweep from org/tiny to it."""
        folder = self.folder / "models/org" / name
        make_model(folder)
        for file in missing:
            (folder / file).unlink()
        return folder, self.sweep(name, methods=KVCOMM, pairs=pair_table("org/tiny", f"org/{name}"))

    # ---- all is there

    def test_it_foretells_what_a_run_reads_and_sends(self):
        for fidelity in ("paper", "release"):
            with self.subTest(fidelity):
                sweep = self.sweep(fidelity, METHODS, run=f'fidelity = "{fidelity}"')
                heading, cells = self.only(self.plan(sweep)[0])
                self.assertEqual(heading, f"tiny on demo (10 samples in {self.folder}/{fidelity}.jsonl)")
                self.check(sweep.run(fidelity))
                measured = tables(sweep.results(fidelity))["cells"].set_index("method")
                self.assertEqual(set(cells), set(measured.index))
                for method, row in measured.iterrows():
                    cell = cells[method]
                    self.assertEqual(list(cell), COLUMNS)
                    self.assertEqual(cell["context tokens"], str(row.context_tokens), method)
                    debates = method.startswith(("nld", "cipher"))
                    self.assertEqual(cell["prompt tokens"], "varies" if debates else str(row.prompt_tokens), method)
                    if not cell["sent"].startswith("up to "):
                        self.assertEqual(cell["sent"], bytes_text(row.payload_bytes), method)
                        continue
                    number, unit = cell["sent"].removeprefix("up to ").split()
                    most = float(number) * {"B": 1, "kB": 1e3}[unit]
                    self.assertLessEqual(row.payload_bytes, most * 1.01, method)
                    self.assertTrue(debates or fidelity == "release", method)
                _, sums, _ = self.plan(sweep)
                self.assertEqual(sums["all"]["stored"], sums["all"]["samples"])
                self.assertEqual(sums["all"]["cells"], str(len(cells)))
                calibrations = measured[measured.calibration_bytes > 0].drop_duplicates("calibration_bytes")
                self.assertEqual(sums["all"]["sent to calibrate"], bytes_text(calibrations.calibration_bytes.sum()))

    def test_bytes_follow_the_closed_forms(self):
        methods = "".join([
            method_table("skyline"), method_table("kvcomm", layer_counts="all"),
            method_table("contiguous", sweep_width=3), method_table("ac", k=2, j=2), method_table("nld"),
            method_table("cipher")])
        _, cells = self.only(self.plan(self.sweep("listed", methods))[0])
        tokens = int(cells["ac(k=2, j=2)"]["context tokens"])
        what = {method: (cell["layers sent"], cell["crosses the wire"], cell["sent"]) for method, cell in cells.items()}
        layer = 2 * 2 * 8 * 4  # one token's keys and values in one layer, float32
        self.assertEqual(what.pop("skyline"), ("-", "nothing", "0 B"))
        for count in (1, 2, 3, 4):
            self.assertEqual(what.pop(f"kvcomm(layer_count={count})"), (
                f"{count} of 4", f"{count * layer} B a context token", bytes_text(count * layer * tokens)))
        for first in (0, 1):
            self.assertEqual(what.pop(f"contiguous(from={first}, to={first + 2})"), (
                "3 of 4", f"{3 * layer} B a context token", bytes_text(3 * layer * tokens)))
        self.assertEqual(what, {
            "ac(k=2, j=2)": ("-", "128 B a sample", bytes_text(10 * 128)),
            "nld": ("-", "4 B a token generated", "up to " + bytes_text(10 * 256 * 4)),
            "cipher": ("-", "128 B a step generated", "up to " + bytes_text(10 * 256 * 128))})

    def test_samples_that_will_fail_are_told(self):
        sweep = self.sweep("long", KVCOMM, [*demo_records(3), {**demo_records(1, words=(300, 301))[0], "id": "long"}])
        outcome = call(sweep.arguments("plan", "planned", ["run.max_input_tokens=300"]))
        self.assertIn("tiny on demo: the prompts of 1 of 4 samples are longer than run.max_input_tokens = 300", outcome.out)

    # ---- something is absent: `plan` tells it, `run` refuses it

    def test_without_weights_all_else_is_told(self):
        folder, sweep = self.with_model("unweighted", ["model.safetensors"])
        found, sums, absent = self.plan(sweep)
        self.assertEqual(absent, [f"'{folder}' has no weights: `launch/fetch/models.py org/unweighted --to "
                                  f"{self.folder}/models` fetches the model."])
        whole = self.only(self.plan(self.sweep("whole", KVCOMM))[0])[1]
        self.assertEqual(self.only(found)[1], whole)
        self.assertNotIn("?", str(sums))
        self.assertEqual(sweep.run("refused").code, 4)

    def test_without_tokenizer_tokens_are_estimated(self):
        folder, sweep = self.with_model("mute", ["model.safetensors", "tokenizer.json", "tokenizer_config.json"])
        outcome = self.check(call(sweep.arguments("plan", "planned")))
        self.assertIn("~: without a tokenizer, 4 characters of a prompt count as a token.", outcome.out)
        found, sums, absent = self.plan(sweep)
        self.assertIn("has no weights, no tokenizer.json, no chat template: ", absent[-1])
        cells = self.only(found)[1]
        records = [json.loads(line) for line in (self.folder / "mute.jsonl").read_text().splitlines()]
        wording = tomllib.loads((REPOSITORY / "src/text/prompts.toml").read_text())["demo"]["sender"]
        tokens = sum(len(wording.replace("{context}", record["context"])) // 4 for record in records)
        shared = cells["kvcomm(ratio=0.5)"]
        self.assertEqual([shared["context tokens"], shared["crosses the wire"], shared["sent"]],
                         [f"~{tokens}", "256 B a context token", "~" + bytes_text(256 * tokens)])
        self.assertRegex(cells["baseline"]["prompt tokens"], r"^~\d+$")
        self.assertEqual(cells["baseline"]["sent"], "0 B")
        self.assertEqual(sums["all"]["sent"], shared["sent"])
        self.assertEqual(sweep.run("refused").code, 4)

    def test_without_data_samples_are_the_published_ones(self):
        sweep = self.sweep("nodata", KVCOMM)
        empty = self.folder / "empty"
        empty.mkdir()
        sweep.toml.write_text(re.sub(r'name = "demo"\npath = .*', 'name = "qasper"', sweep.toml.read_text()))
        found, _, absent = self.plan(sweep, sets=[f"paths.data={empty}"])
        heading, cells = self.only(found)
        self.assertEqual(heading, "tiny on qasper (500 samples as published; the file is absent)")
        self.assertEqual(list(cells["kvcomm(ratio=0.5)"].values()),
                         ["500", "0", "2 of 4", "?", "?", "256 B a context token", "?", "?"])
        self.assertEqual(absent, [f"The data set 'qasper' is not in '{empty}': `launch/fetch/data.py qasper "
                                  f"--to {empty}` fetches it."])
        self.assertEqual(sweep.run("refused", sets=[f"paths.data={empty}"]).code, 2)

    def test_a_plan_goes_on_where_data_of_an_earlier_run_are_gone(self):
        sweep = self.sweep("gone", KVCOMM)
        text = sweep.toml.read_text()
        folder = self.folder / "gone"
        folder.mkdir()
        (self.folder / "gone.jsonl").rename(folder / "demo.jsonl")
        sweep.toml.write_text(re.sub(r'path = ".*"', f'path = "{folder}/demo.jsonl"', text))
        self.check(sweep.run("gone-results"))
        (folder / "demo.jsonl").unlink()
        sweep.toml.write_text(re.sub(r'path = ".*"\n', "", text))
        outcome = self.check(call(sweep.arguments("plan", "gone-results", [f"paths.data={folder}"])))
        self.assertIn("The data set 'demo' is not in", outcome.out)

    def test_without_config_the_other_pairs_are_planned(self):
        two = "".join(pair_table("org/tiny", f"org/{name}") for name in ("tiny", "nobody"))
        found, sums, absent = self.plan(self.sweep("two", KVCOMM, pairs=two))
        self.assertEqual([heading.split()[0] for heading in found], ["tiny"])
        self.assertEqual(sums["all"]["cells"], "2")
        self.assertEqual(absent, [f"'{self.folder}/models/org/nobody' has no config.json, and its pairs are left out of "
                                  f"this plan: `launch/fetch/models.py org/nobody --to {self.folder}/models` fetches the "
                                  "model."])
        nobody = self.sweep("nobody", KVCOMM, pairs=pair_table("org/nobody"))
        outcome = self.check(call(nobody.arguments("plan", "planned")))
        self.assertTrue(outcome.out.startswith("No cell can be planned yet.\n"), outcome.out)
        self.assertEqual(nobody.run("refused").code, 4)

    # ---- the paper's sweep

    def paper(self, *arguments, command="plan"):
        return call([command, REPOSITORY / "launch/sweeps/paper.toml", *arguments], cwd=self.folder / "paper")

    def test_the_papers_sweep(self):
        models = self.folder / "paper/models"
        models.mkdir(parents=True)
        self.assertEqual(self.paper(command="run").code, 2)  # without data
        *_, absent = self.paper().out.partition("Before `kvcomm run`:\n")
        names = re.findall(r"launch/fetch/models.py (\S+)`", absent)
        self.assertEqual(len(set(names)), 14)
        self.assertEqual(absent.count("launch/fetch/data.py"), 8)
        config = json.loads((self.folder / "models/org/tiny/config.json").read_text())
        for name in names:
            (models / name).mkdir(parents=True)
            (models / name / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 28}))
        found, sums, absent = self.planned(self.paper())
        self.assertEqual(len(absent), 14 + 8)
        self.assertEqual(len(found), 9 * 8)
        labels = {"baseline", "skyline", "nld", "cipher", "contiguous(from=7, to=20)",
                  *(f"ac(f={f})" for f in ("replace", "sum", "mean")),
                  *(f"{name}(ratio={ratio})" for name in ("kvcomm", "random", "kvcomm_s") for ratio in (0.3, 0.5, 0.7))}
        for heading, cells in found.items():
            self.assertEqual(set(cells), labels, heading)
        self.assertEqual(cells["kvcomm(ratio=0.3)"]["layers sent"], "9 of 28")
        counts = {heading.split()[2]: int(heading.split()[3][1:]) for heading in found}
        self.assertEqual(counts, {"countries": 200, "tipsheets": 500, "hotpotqa": 500, "qasper": 500, "musique": 500,
                                  "multifieldqa_en": 150, "twowikimqa": 200, "tmath": 300})
        self.assertEqual((sums["all"]["cells"], sums["all"]["samples"]), (str(9 * 8 * 17), str(9 * 17 * 2850)))

    def test_the_papers_alpha_goes_by_family(self):
        (self.folder / "paper").mkdir(exist_ok=True)
        shown = self.check(self.paper("--show-config")).out
        pairs = re.findall(r'sender = "(\S+)".*?\nreceiver = "(\S+)".*?\nalpha = (\S+)', shown, re.DOTALL)
        self.assertEqual(len(pairs), 9)
        for sender, receiver, alpha in pairs:
            qwen_or_falcon = re.search("qwen|falcon", sender.lower())
            self.assertEqual(float(alpha), 0.8 if qwen_or_falcon else 1.0, f"{sender} -> {receiver}")


if __name__ == "__main__":
    main()
