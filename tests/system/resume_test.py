"""Runs that are killed, stopped, repeated or shared end with the rows of an undisturbed one."""

import os
import resource
import signal

from support import (SystemTest, call, children, dataset_table, demo_records, finished, main, method_table, pair_table,
                     rows, tables)

METHODS = (method_table("baseline") + method_table("baseline", model="sender") + method_table("kvcomm", ratio=0.5) +
           method_table("random", ratio=0.5, seed=[0, 1]))
SAMPLES = 48
ROWS = SAMPLES * 5
# After a resume samples share batches with others; that decides how many header bytes each bears.
BATCHING = ("header_bytes",)


class Interrupted(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work = cls.sweep_that_ran("work", METHODS, demo_records(SAMPLES), run="batch = 4")
        cls.undisturbed = rows(cls.work.results("whole"), BATCHING)

    def assert_complete(self, output):
        self.assertEqual(rows(self.work.results(output), BATCHING), self.undisturbed)
        done = [(line["key"], line["sample"]) for line in self.work.journal_lines(output) if line["t"] == "sample"]
        self.assertEqual(len(done), len(set(done)), "work was done twice")
        self.assertEqual(len([line for line in self.work.journal_lines(output) if line["t"] == "calibration"]), 1)

    def interrupted(self, output, ranks, at_rows, signals):
        """Starts a run and sends signals(processes by rank) once that many rows are stored."""
        process = self.work.start(output, ranks)
        has_locked = (self.folder / output / "locks").exists
        self.wait_for(lambda: has_locked() and self.work.samples_stored(output) >= at_rows, process,
                      f"{at_rows} rows")
        signals(process, children(process.pid))
        outcome = finished(process)
        self.assertLess(self.work.samples_stored(output), ROWS, "the signal came too late to show anything")
        return outcome

    def kill_and_resume(self, output, ranks, victim, at_rows):
        outcome = self.interrupted(output, ranks, at_rows,
                                   lambda _, processes: os.kill(processes[victim], signal.SIGKILL))
        self.assertNotEqual(outcome.code, 0)
        resumed = self.check(self.work.run(output, ranks))
        self.assertLess(resumed.seconds, 20, "a dead run's lock must not be waited for")
        self.assert_complete(output)

    def test_killed_alone(self):
        for at_rows in (0, 30, 120):
            with self.subTest(at_rows=at_rows):
                self.kill_and_resume(f"alone{at_rows}", 1, 0, at_rows)

    def test_killed_sender_and_coordinator(self):
        for at_rows in (1, 60):
            with self.subTest(at_rows=at_rows):
                self.kill_and_resume(f"sender{at_rows}", 2, 0, at_rows)

    def test_killed_receiver(self):
        for at_rows in (0, 60):
            with self.subTest(at_rows=at_rows):
                self.kill_and_resume(f"receiver{at_rows}", 2, 1, at_rows)

    def test_killed_in_the_other_lane(self):
        for victim in (2, 3):
            with self.subTest(victim=victim):
                self.kill_and_resume(f"lane{victim}", 4, victim, 40)

    def test_killed_with_its_launcher_and_resumed_otherwise(self):
        self.interrupted("launcher", 2, 40, lambda process, _: os.killpg(process.pid, signal.SIGKILL))
        self.check(self.work.run("launcher", 1, sets=["run.batch=7"]))
        self.assert_complete("launcher")

    def test_torn_line(self):
        self.interrupted("torn", 1, 100, lambda _, processes: os.kill(processes[0], signal.SIGKILL))
        journal = max((self.folder / "torn/journal").glob("*.jsonl"))
        lines = journal.read_bytes().splitlines(keepends=True)
        last = max(i for i, line in enumerate(lines) if b'"t":"sample"' in line)
        journal.write_bytes(b"".join(lines[:last]) + lines[last][:-25])
        resumed = self.check(self.work.run("torn"))
        self.assertIn(f"{journal.name}:{last + 1}", resumed.log)
        self.assert_complete("torn")

    def test_all_done(self):
        self.check(self.work.run("again", 2))
        before = self.work.samples_stored("again")
        again = self.check(self.work.run("again", 2))
        self.assertIn("random(ratio=0.5), mean of 2 draws", again.out)
        self.assertEqual(self.work.samples_stored("again"), before)
        self.assert_complete("again")
        self.assertEqual(len(tables(self.work.results("again"))["runs"]), 1)  # nothing was left to do

    def test_usr1_to_the_launcher(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                output = f"usr{ranks}"
                stopped = self.interrupted(output, ranks, 20, lambda process, _: process.send_signal(signal.SIGUSR1))
                self.check(stopped, 75)
                partial = rows(self.work.results(output), BATCHING)
                self.assertTrue(0 < len(partial) < ROWS)
                self.assertTrue(all(row in self.undisturbed for row in partial))
                self.check(self.work.run(output, ranks))
                self.assert_complete(output)

    def test_signal_to_one_receiver_alone(self):
        stopped = self.interrupted("term", 4, 20, lambda _, processes: os.kill(processes[3], signal.SIGTERM))
        self.check(stopped, 75)
        self.check(self.work.run("term", 4))
        self.assert_complete("term")

    def test_second_run_while_the_first_lives(self):
        first = self.work.start("shared")
        self.wait_for(lambda: self.work.samples_stored("shared") > 0, first, "rows")
        os.kill(first.pid, signal.SIGSTOP)  # it lives, but will not end meanwhile
        try:
            second = self.check(self.work.run("shared", timeout_s=20), 2)
            self.assertIn("'tiny' is held by another run", second.log)
            self.assertIn(f"process {first.pid}", second.log)
            self.assertIn("--output", second.log)
        finally:
            os.kill(first.pid, signal.SIGCONT)
        self.check(finished(first))
        self.assert_complete("shared")

    def test_two_pairs_shared_by_two_runs(self):
        pairs = "".join(pair_table("org/tiny", name=name) for name in "ab")
        sweep = self.sweep("both", METHODS, demo_records(SAMPLES), pairs)
        first = sweep.start("both", more=["--pair", "a"])
        self.wait_for(lambda: sweep.samples_stored("both") > 0, first, "rows")
        os.kill(first.pid, signal.SIGSTOP)
        try:
            second = self.check(sweep.run("both"))  # does what is left to it
            self.assertIn("Pair 'a' is held by another run", second.log)
        finally:
            os.kill(first.pid, signal.SIGCONT)
        self.check(finished(first))
        samples = tables(sweep.results("both"))["samples"]
        self.assertEqual(dict(samples["pair"].value_counts()), {"a": ROWS, "b": ROWS})

    def test_full_disk(self):
        """From some moment on files must not grow, which is how a full disk looks to the journal."""
        first = self.work.start("full", restore_signals=False)  # SIGXFSZ stays ignored: writes fail instead
        self.wait_for(lambda: self.work.samples_stored("full") > 20, first, "rows")
        size = max(path.stat().st_size for path in (self.folder / "full/journal").iterdir())
        resource.prlimit(first.pid, resource.RLIMIT_FSIZE, (size + 1000, size + 1000))
        stopped = self.check(finished(first), 4)
        self.assertRegex(stopped.log, r"journal/.*jsonl.*: File too large")
        self.assertLess(self.work.samples_stored("full"), ROWS)
        self.check(self.work.run("full"))
        self.assert_complete("full")


class ChangedData(SystemTest):
    """Rows of two versions of a file are never put side by side under one data set's name."""

    def setUp(self):
        self.sweep_ = self.sweep("changed", METHODS, demo_records(6))
        self.file = self.folder / "changed.jsonl"
        self.output = self._testMethodName

    def change(self):
        """One letter of one answer; returns what stood there before."""
        before = self.file.read_text()
        self.file.write_text(before.replace('"answers": ["', '"answers": ["x', 1))
        self.assertNotEqual(self.file.read_text(), before)
        return before

    def refused(self, outcome):
        self.check(outcome, 2)
        self.assertRegex(outcome.log, r"The data set 'demo' changed: its fingerprint was [0-9a-f]{12} for the run of "
                                      rf".* in '{self.folder}/{self.output}', that of '{self.file}' is [0-9a-f]{{12}}\.")
        self.assertIn("--output", outcome.log)

    def test_stops_a_resume_and_its_plan_until_the_file_is_back(self):
        self.check(self.sweep_.run(self.output, sets=["run.limit=3"]))
        before, stored = self.change(), self.sweep_.journal_lines(self.output)
        for ranks in (1, 2):
            self.refused(self.sweep_.run(self.output, ranks))
        self.refused(call(self.sweep_.arguments("plan", self.output)))
        self.assertEqual(self.sweep_.journal_lines(self.output), stored)
        self.check(self.sweep_.run(self.output + "-other"))
        self.file.write_text(before)
        self.check(self.sweep_.run(self.output))
        self.assertEqual(self.sweep_.samples_stored(self.output), 6 * 5)

    def test_another_data_set_beside_it_is_no_change(self):
        self.check(self.sweep_.run(self.output))
        first = self.sweep_.toml.read_text()
        (self.folder / "named.jsonl").write_text('{"prompt_A": "Ann is at the tower.", "prompt_B": "Where?", "y": "x"}\n')
        other = dataset_table("countries", self.folder / "named.jsonl", max_new_tokens=6)
        self.sweep_.toml.write_text(first.replace('name = "demo"', 'name = "countries"').replace("changed.jsonl", "named.jsonl"))
        self.check(self.sweep_.run(self.output))
        self.sweep_.toml.write_text(first + other)
        self.check(self.sweep_.run(self.output))
        self.assertEqual(self.sweep_.samples_stored(self.output), (6 + 1) * 5)
        self.change()
        self.refused(self.sweep_.run(self.output))


if __name__ == "__main__":
    main()
