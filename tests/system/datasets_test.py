"""Data sets in their published forms: what `ls datasets` finds, and runs on them from the file to the score."""

import re
import shutil

from support import REPOSITORY, SystemTest, call, dataset_table, demo_records, main, method_table, tables

RECORDS = REPOSITORY / "tests/data/records"
FILES = {  # where each is read from, below RECORDS
    "hotpotqa": "hotpot_own.json", "hotpotqa_full": "hotpot_hub.jsonl", "musique": "musique.jsonl",
    "qasper": "qasper_scrolls.jsonl", "multifieldqa_en": "longbench_multifieldqa_en.jsonl",
    "twowikimqa": "longbench_hub_2wikimqa.jsonl", "longbench_hotpotqa": "longbench_hotpotqa.jsonl",
    "longbench_musique": "longbench_musique.jsonl", "longbench_qasper": "longbench_qasper.jsonl",
    "longbench_repobench-p": "longbench_repobench-p.jsonl", "repobench": "repobench_v1.1.jsonl",
    "samsum": "samsum.csv", "tmath": "TMATH", "mmlu_stem": "mmlu", "mmlu_humanities": "mmlu"}
METHODS = method_table("skyline") + method_table("kvcomm", ratio=0.5)


class Datasets(SystemTest):
    def listed(self, folder, *arguments):
        """The cells of each data set's line, and what stands below the table."""
        outcome = self.check(call(["ls", "datasets", "--data", folder, *arguments]))
        table, _, notes = outcome.out.partition("\n\n")
        lines = [re.split(r"  +", line) for line in table.splitlines()]
        return lines[0], {cells[0]: cells[1:] for cells in lines[2:]}, notes

    def test_ls_tells_what_is_there_and_what_fetches_the_rest(self):
        folder = self.folder / "some"
        (folder / "below").mkdir(parents=True)
        shutil.copy(RECORDS / "musique.jsonl", folder)
        shutil.copy(RECORDS / "samsum.csv", folder / "below")
        shutil.copytree(RECORDS / "TMATH", folder / "TMATH")
        head, rows, notes = self.listed(folder)
        self.assertEqual(head, ["data set", "samples", "published", "metric", "new tokens",
                                "read from, or what fetches it"])
        self.assertEqual(rows["musique"], ["2", "500 of 2417", "f1_match", "48", f"{folder}/musique.jsonl"])
        self.assertEqual(rows["samsum"], ["3", "819", "rouge_l_recall", "300", f"{folder}/below/samsum.csv"])
        self.assertEqual(rows["tmath"][-1], f"{folder}/TMATH")
        self.assertEqual(rows["hotpotqa"], ["-", "500 of 7405", "f1_match", "48",
                                            f"missing: launch/fetch/data.py hotpotqa --to {folder}"])
        self.assertIn("/musique.jsonl' has 2 records, the published 'musique' has 2417", notes)

    def test_ls_counts_tokens_in_a_models_tokenizer(self):
        folder = self.folder / "one"
        folder.mkdir()
        shutil.copy(RECORDS / "hotpot_own.json", folder)
        arguments = ("--models", self.folder / "models", "--model", "org/tiny")
        head, rows, _ = self.listed(folder, *arguments)
        self.assertEqual(head[5:7], ["context tokens", "question tokens"])
        for cell in rows["hotpotqa"][4:6]:
            median, late, largest = map(int, cell.split(" / "))
            self.assertTrue(0 < median <= late == largest, cell)
        self.assertEqual(rows["samsum"][4:6], ["-", "-"])

    def test_ls_goes_on_behind_a_file_that_is_refused(self):
        folder = self.folder / "wrong"
        folder.mkdir()
        for name in ("hotpot_own.json", "hotpot_hub.jsonl", "samsum.json"):
            shutil.copy(RECORDS / name, folder)
        (folder / "countries.jsonl").write_text('{"prompt_A": "a", "y": "b"}\n')
        _, rows, notes = self.listed(folder)
        self.assertEqual((rows["hotpotqa"][-1], rows["countries"][-1]), ("see below", "see below"))
        self.assertEqual(rows["samsum"][0], "3")
        self.assertIn(f"can be read from '{folder}/hotpot_hub.jsonl' and '{folder}/hotpot_own.json'", notes)
        self.assertIn("countries.jsonl:1 has no 'prompt_B'", notes)

    def test_every_form_runs_and_is_scored(self):
        data = "".join(dataset_table(name, RECORDS / file, max_new_tokens=4) for name, file in FILES.items())
        sweep = self.sweep_on("forms", data, METHODS, run="limit = 2")
        outcome = self.check(sweep.run("forms"))
        self.assertIn("has 2 records, the published 'hotpotqa' has 7405", outcome.log)
        found = tables(sweep.results("forms"))
        self.assertEqual(set(found["samples"].dataset), set(FILES))
        self.assertEqual(found["samples"].failed.sum(), 0)
        self.assertEqual(set(found["cells"].n), {1, 2})
        self.assertTrue(found["samples"].score.between(0, 1).all())

    def test_a_long_context_is_cut_in_its_middle_where_the_release_does_it(self):
        limits = "max_input_tokens = 120\nlimit = 1"
        data = dataset_table("hotpotqa", RECORDS / "hotpot_own.json", max_new_tokens=6)
        sweep = self.sweep_on("cut", data, METHODS, run=limits)
        self.check(sweep.run("cut"))
        samples = tables(sweep.results("cut"))["samples"].set_index("method")
        self.assertEqual(samples.prompt_tokens["skyline"], 120)
        both = samples.prompt_tokens["kvcomm(ratio=0.5)"] + samples.context_tokens["kvcomm(ratio=0.5)"]
        self.assertIn(both, (119, 120))  # halves are of equal length
        whole = self.sweep("whole", methods=METHODS, run=limits, records=demo_records(1, words=(150, 151)))
        self.assertEqual(whole.run("whole").code, 3)
        self.assertEqual(tables(whole.results("whole"))["samples"].failed.sum(), 2)


if __name__ == "__main__":
    main()
