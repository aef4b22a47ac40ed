"""Ranks that are killed or stopped in the midst of each phase of their work: the same command ends what is left, with
the rows of an undisturbed run."""

import os
import signal

from support import SystemTest, children, demo_records, finished, main, method_table

METHODS = method_table("baseline") + method_table("kvcomm", ratio=0.5) + method_table("nld", phase1_tokens=6)
SAMPLES, BATCH = 24, 4
ROWS = 3 * SAMPLES
STRIKES = "strikes process"


class Killed(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work = cls.sweep_that_ran("work", METHODS, demo_records(SAMPLES), run=f"batch = {BATCH}")

    def killed_and_resumed(self, ranks, rule):
        """The folder: with how many ranks it is resumed must not matter."""
        output = "-".join([str(ranks), *rule.replace(":", ",").split(",")])
        with self.subTest(ranks=ranks, rule=rule):
            outcome = self.work.run(output, ranks, more=["--inject", rule])
            self.assertNotEqual(outcome.code, 0)
            self.assertIn(STRIKES, outcome.log)
            self.assertLess(self.work.samples_stored(output), ROWS)
            journal, = (self.folder / output / "journal").glob("*.jsonl")
            torn = not journal.read_bytes().endswith(b"\n")
            self.assertEqual(torn, "writing" in rule, "only who is killed while it writes leaves a part of a line")
            resumed = self.check(self.work.run(output, 3 - ranks))
            self.assertEqual("is skipped: its last part is missing" in resumed.log, torn, resumed.log)
            self.check_undisturbed(self.work.results(output), self.work.results("whole"))
            done = [(line["key"], line["sample"]) for line in self.work.journal_lines(output) if line["t"] == "sample"]
            self.assertEqual(len(done), len(set(done)), "work was done twice")

    def test_the_sender_that_is_also_the_coordinator(self):
        for moment in ("prefill,after=10", "transfer,after=9", "decode,after=8", "writing,after=50"):
            self.killed_and_resumed(2, f"kill:rank=0,phase={moment}")

    def test_the_receiver(self):
        for moment in ("prefill,after=5", "transfer,after=4", "decode,after=20"):
            self.killed_and_resumed(2, f"kill:rank=1,phase={moment}")

    def test_a_process_that_plays_all_ends(self):
        for moment in ("prefill,after=10", "transfer,after=9", "decode,after=30", "writing,after=50"):
            self.killed_and_resumed(1, f"kill:phase={moment}")


class Stopped(SystemTest):
    def test_a_lane_that_is_late_gets_what_it_was_given_and_the_others_the_rest(self):
        sweep = self.sweep("late", METHODS, demo_records(60), run=f"batch = {BATCH}")
        self.check(sweep.run("late-whole"))
        process = sweep.start("late", 4, more=["--inject", "stop:rank=2,phase=prefill,times=1"])
        at_lane = 2 * 3 * BATCH  # one task under way and one in reserve
        self.wait_for(lambda: sweep.samples_stored("late") >= 3 * 60 - at_lane, process, "the other lane's rows", 60)
        self.assertLess(sweep.samples_stored("late"), 3 * 60)
        os.kill(children(process.pid)[2], signal.SIGCONT)
        outcome = self.check(finished(process))
        self.assertIn(STRIKES, outcome.log)
        self.check_undisturbed(sweep.results("late"), sweep.results("late-whole"))

    def test_a_sender_that_falls_silent_is_named(self):
        sweep = self.sweep("silent", METHODS, demo_records(SAMPLES), run=f"batch = {BATCH}\ntimeout_s = 3")
        outcome = self.check(sweep.run("silent", 2, more=["--inject", "stop:rank=0,phase=transfer,after=9"]), 4)
        self.assertRegex(outcome.log, r"[Rr]ank 0 \(sender of lane 0\)")
        self.assertIn("run.timeout_s", outcome.log)
        self.check(sweep.run("silent", 2))
        self.check(sweep.run("silent-whole"))
        self.check_undisturbed(sweep.results("silent"), sweep.results("silent-whole"))


if __name__ == "__main__":
    main()
