"""The scripts for Slurm, under a Slurm of the test's own: what is stopped goes on by itself, what fails does not."""

import json
import os
import re
import signal
import time
import unittest
from pathlib import Path

import h5py
from local_slurm import ENDED, LocalSlurm, missing
from submit_test import Scripts
from support import PROGRAM, demo_records, main, make_model, method_table, pair_table, rows, tables

SEEDS = 24
CELLS = method_table("random", ratio=0.5, seed=list(range(SEEDS)))
SAMPLES = 4
# After a resume samples share batches with others; that decides how many header bytes each bears.
BATCHING = ("header_bytes",)
SAVED = "is finished if it ends within"


class Jobs(Scripts):
    @classmethod
    def setUpClass(cls):
        if reason := missing():
            raise unittest.SkipTest(f"Slurm's jobs are not tested: {reason}")
        super().setUpClass()
        cls.slurm = LocalSlurm(cls.folder / "slurm", cls.environment)
        cls.addClassCleanup(cls.slurm.stop)
        try:
            cls.slurm.start()
        except RuntimeError as error:
            raise unittest.SkipTest(f"Slurm's jobs are not tested, it does not start here: {error}") from None
        cls.environment = cls.slurm.environment
        cls.site.write_text("cpus_per_rank=1\n")
        test = cls()
        run = f"batch = {SAMPLES}"
        cls.many = test.sweep("many", CELLS, demo_records(SAMPLES), run=run, max_new_tokens=150)
        test.check(cls.many.run("whole"))
        cls.undisturbed = rows(cls.many.results("whole"), BATCHING)
        make_model(cls.folder / "models/org/endless")
        (cls.folder / "models/org/endless/generation_config.json").write_text('{"eos_token_id": 511}')  # never said
        cls.long = test.sweep("long", method_table("skyline"), demo_records(SAMPLES), pair_table("org/endless"), run=run,
                              max_new_tokens=20000)

    def sbatch(self, sweep, output, *options, sets=()):
        outcome = self.slurm.call("sbatch", "--parsable", "--cpus-per-task=1", *options, self.clone / "slurm/sweep.sbatch",
                                  *sweep.arguments("run", output, sets)[1:], cwd=self.folder)
        return outcome.stdout.strip()

    def log(self, job):
        path = self.folder / f"kvcomm-{job}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def until(self, condition, job, what, timeout_s=60):
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                self.fail(f"no {what} within {timeout_s} s:\n{self.slurm.job(job)}\n{self.log(job)}\n{self.slurm.said()}")
            time.sleep(0.05)

    def until_rows(self, sweep, output, job):
        self.until(lambda: sweep.samples_stored(output) > 0, job, "rows")

    def ended(self, job, state, code):
        self.until(lambda: self.slurm.job(job)["JobState"] in ENDED, job, "end")
        told = self.slurm.job(job)
        self.assertEqual((told["JobState"], told["ExitCode"]), (state, f"{code}:0"), self.log(job))
        return told

    def requeued(self, job):
        """Waits until Slurm holds the job for another start, which is to be in two seconds in the place of two minutes:
        a node does not take what was ended in the same second."""
        def waits():
            told = self.slurm.job(job)
            return (told["Restarts"], told["JobState"]) == ("1", "PENDING")

        self.until(waits, job, "requeued job")
        self.slurm.call("scontrol", "update", f"JobId={job}", "StartTime=now+2")

    def assert_complete(self, sweep, output):
        self.assertEqual(rows(sweep.results(output), BATCHING), self.undisturbed)
        done = [(line["key"], line["sample"]) for line in sweep.journal_lines(output) if line["t"] == "sample"]
        self.assertEqual(len(done), len(set(done)), "work was done twice")

    def assert_unfinished(self, output):
        self.assertLess(self.many.samples_stored(output), SEEDS * SAMPLES, "the signal came too late to show anything")
        for journal in (self.folder / output / "journal").glob("*.jsonl"):
            self.assertTrue(journal.read_bytes().endswith(b"\n"), journal)

    def next_submission_finishes(self, output):
        self.ended(self.sbatch(self.many, output), "COMPLETED", 0)
        self.assert_complete(self.many, output)

    def ranks(self, job):
        """The program's processes of a job, by rank."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if not entry.name.isdigit() or Path(os.readlink(entry / "exe")) != PROGRAM.resolve():
                    continue
                environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if f"SLURM_JOB_ID={job}" in environment:
                rank = next(item for item in environment if item.startswith("SLURM_PROCID="))
                found[int(rank.partition("=")[2])] = int(entry.name)
        return found

    def test_two_ranks_give_the_rows_of_one_process(self):
        jobs = {"one-node": self.sbatch(self.many, "one-node", "--gpus-per-node=2"),
                "two-nodes": self.sbatch(self.many, "two-nodes", "--nodes=2", "--ntasks-per-node=1")}
        for output, job in jobs.items():
            with self.subTest(output):
                self.ended(job, "COMPLETED", 0)
                self.assert_complete(self.many, output)
                self.assertIn("r000", self.log(job))
                self.assertNotIn("r001", self.log(job))
                self.assertIn("r001", (self.folder / output / f"logs/{job}-1.log").read_text())
        with h5py.File(self.many.results("one-node")) as file:
            self.assertEqual(json.loads(file.attrs["environment"])["CUDA_VISIBLE_DEVICES"], "0,1",
                             "a rank must see all GPUs of its node")

    def test_stopped_by_a_signal_it_is_requeued_and_goes_on(self):
        job = self.sbatch(self.many, "requeued")
        self.until_rows(self.many, "requeued", job)
        self.slurm.call("scancel", "--signal=USR1", "--batch", job)
        self.requeued(job)
        self.assert_unfinished("requeued")
        self.ended(job, "COMPLETED", 0)
        self.assert_complete(self.many, "requeued")
        self.assertEqual(re.findall(r"start (\d)", self.log(job)), ["1", "2"], "the log of the first start is kept")
        self.assertEqual((self.folder / f"requeued/logs/{job}-1.log").read_text().count("Lane 0 loads"), 2)

    def test_the_time_limit_stops_it_too(self):
        job = self.sbatch(self.long, "limited", "--time=3", sets=["run.grace_s=0.5"])  # the script's three minutes ahead
        self.requeued(job)
        self.assertIn("ends with 75", self.log(job))
        self.slurm.call("scancel", job)

    def test_a_signal_before_the_ranks_listen_is_no_failure(self):
        job = self.sbatch(self.long, "early")
        self.until(lambda: "start 1" in self.log(job), job, "start")
        self.slurm.call("scancel", "--signal=USR1", "--batch", job)
        self.requeued(job)
        self.slurm.call("scancel", job)

    def test_a_second_signal_leaves_at_once(self):
        job = self.sbatch(self.long, "second", sets=["run.grace_s=600"])
        self.until(lambda: "Lane 0: " in self.log(job), job, "lane")
        self.slurm.call("scancel", "--signal=TERM", "--batch", job)  # as a pre-emption
        self.until(lambda: SAVED in self.log(job), job, "first signal")
        since = time.monotonic()
        self.slurm.call("scancel", "--signal=TERM", "--batch", job)
        self.requeued(job)
        self.assertLess(time.monotonic() - since, 10)
        self.slurm.call("scancel", job)

    def test_cancelled_it_stays_ended_and_the_next_submission_finishes(self):
        job = self.sbatch(self.many, "cancelled")
        self.until_rows(self.many, "cancelled", job)
        self.slurm.call("scancel", job)
        self.assertEqual(self.ended(job, "CANCELLED", 75)["Restarts"], "0")
        self.until(lambda: "ends with 75" in self.log(job), job, "last line")
        self.assertIn("it is not requeued", self.log(job))
        self.assertEqual(self.slurm.job(job)["JobState"], "CANCELLED")
        self.assert_unfinished("cancelled")
        self.next_submission_finishes("cancelled")

    def test_a_killed_rank_ends_the_job_and_the_next_submission_finishes(self):
        job = self.sbatch(self.many, "killed")
        self.until_rows(self.many, "killed", job)
        os.kill(self.ranks(job)[1], signal.SIGKILL)
        self.assertEqual(self.ended(job, "FAILED", 137)["Restarts"], "0")
        self.assert_unfinished("killed")
        self.next_submission_finishes("killed")

    def test_what_would_fail_again_is_not_requeued(self):
        short = self.sweep("short", method_table("baseline"), demo_records(2))
        jobs = {3: self.sbatch(short, "some-fail", sets=["run.max_input_tokens=20"]),
                2: self.sbatch(short, "no-lanes", "--ntasks-per-node=3")}
        for code, job in jobs.items():
            with self.subTest(code=code):
                self.assertEqual(self.ended(job, "FAILED", code)["Restarts"], "0")

    def test_an_array_s_pairs_fill_one_folder(self):
        pairs = "".join(pair_table("org/tiny", name=name) for name in "ab")
        both = self.sweep("both", CELLS, demo_records(SAMPLES), pairs, run=f"batch = {SAMPLES}", max_new_tokens=150)
        submitted = self.submit(both, "array", "--array", "--time", "10")
        array = re.search(r"batch job (\d+)", submitted.stdout)[1]
        tasks = {n: f"{array}_{n}" for n in range(2)}
        self.until(lambda: both.samples_stored("array") > 0, array, "rows")
        # The task whose own id is the array's: by that id both would be requeued.
        last = next(n for n, task in tasks.items() if self.slurm.job(task)["JobId"] == array)
        self.until((self.folder / f"array/logs/{tasks[last]}-1.log").exists, array, "start of that task")
        self.slurm.call("scancel", "--signal=USR1", "--batch", tasks[last])
        self.requeued(tasks[last])
        for n, task in tasks.items():
            self.assertEqual(self.ended(task, "COMPLETED", 0)["Restarts"], str(int(n == last)))
            self.assertIn("Sweep 'both': 1 pair,", (self.folder / f"array/logs/{task}.log").read_text())
        frame = tables(both.results("array"))["samples"]
        self.assertEqual(dict(frame["pair"].value_counts()), {"a": SEEDS * SAMPLES, "b": SEEDS * SAMPLES})


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a test that is ended ends its Slurm
    main()
