"""A folder as large as the paper's grid: 436,000 stored answers, and a run that finds them."""

import json
import subprocess
import time

from support import BUILD, SystemTest, demo_records, finished, main, method_table, tables

SAMPLES, CELLS = 4360, 100
# Seconds on an idle machine of two cores; tests run beside others.
WITHIN_S, LOADED = 4, 3


class ResumeLarge(SystemTest):
    def test_a_finished_grid_reports_and_an_unfinished_one_begins_within_seconds(self):
        records = demo_records(10) * (SAMPLES // 10)
        records = [record | {"id": str(i)} for i, record in enumerate(records)]
        sweep = self.sweep("large", method_table("random", ratio=0.5, seed=list(range(CELLS))), records)
        self.check(sweep.run("large", more=["--limit", "1"]))  # tells what lines look like, and the keys
        lines = sweep.journal_lines("large")
        journal, = (self.folder / "large/journal").glob("*.jsonl")
        kinds = {kind: [line for line in lines if line["t"] == kind] for kind in {line["t"] for line in lines}}
        whole = kinds["run"] + [cell | {"n_planned": SAMPLES} for cell in kinds["cell"]]
        for sample, record in enumerate(records):
            asked = kinds["question"][0] | {"sample": sample, "sample_id": record["id"]}
            whole.append(asked)
        for row in kinds["sample"]:
            whole += [row | {"sample": sample, "sample_id": str(sample)} for sample in range(SAMPLES)]
        self.write(journal, whole)

        first = self.check(sweep.run("large", timeout_s=120))
        self.assertIn("nothing is left to do", first.log)
        samples = tables(sweep.results("large"))["samples"]
        self.assertEqual(len(samples), SAMPLES * CELLS)
        written = sweep.results("large").stat().st_mtime_ns
        again = self.check(sweep.run("large", timeout_s=120))
        print(f"nothing left: {first.seconds:.2f} s with results.h5 to write, then {again.seconds:.2f} s")
        self.assertLess(again.seconds, LOADED * WITHIN_S)
        self.assertEqual(sweep.results("large").stat().st_mtime_ns, written, "it was right already")

        self.write(journal, whole[:-50])
        begin = time.monotonic()
        process = sweep.start("large", 2)
        self.wait_for(lambda: len(list((self.folder / "large/journal").glob("*.jsonl"))) == 2, process, "a journal", 60)
        begun_s = time.monotonic() - begin
        print(f"50 left: the run's journal is there after {begun_s:.2f} s")
        self.assertLess(begun_s, LOADED * WITHIN_S)
        self.check(finished(process, timeout_s=120))
        self.assertEqual(len(tables(sweep.results("large"))["samples"]), SAMPLES * CELLS)

    def write(self, journal, lines):
        for line in lines:
            line.pop("xxh3", None)
        with open(journal, "w") as out:
            subprocess.run([BUILD / "tests/store/store_seal_lines"], text=True, stdout=out, check=True,
                           input="".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"
                                         for line in lines))


if __name__ == "__main__":
    main()
