"""`kvcomm status`: what a folder is to hold, how far it is and who works on it, while sweeps run and after."""

import json
import os
import re
import signal
import socket
import time

from support import SystemTest, call, children, demo_records, finished, main, method_table, pair_table

USAGE, SOME_FAILED, STOPPED = 2, 3, 75
METHODS = method_table("skyline") + method_table("kvcomm", ratio=[0.5, 1.0])
SAMPLES = 150
ANSWERS = SAMPLES * 3


class Status(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work = cls().sweep("work", METHODS, demo_records(SAMPLES), run="batch = 2")

    def status(self, output, *more):
        outcome = self.check(call(["status", self.folder / output, *more]))
        self.assertEqual(outcome.log, "")
        return outcome.out

    def told(self, output, *more):
        return json.loads(self.status(output, "--json", *more))

    def start(self, output, ranks=1, rows=20, **options):
        process = self.work.start(output, ranks, **options)
        self.wait_for(lambda: self.work.samples_stored(output) >= rows, process, f"{rows} rows")
        return process

    def frozen(self, process):
        """All of a run's processes stand still until they are let go: what is stored does not change meanwhile."""
        for pid in children(process.pid).values():
            os.kill(pid, signal.SIGSTOP)

    def let_go(self, process):
        for pid in children(process.pid).values():
            os.kill(pid, signal.SIGCONT)

    def test_a_finished_sweep(self):
        self.check(self.work.run("whole", more=["--limit", "5"]))
        text = self.status("whole")
        self.assertEqual(text.splitlines()[0], "finished: 15 of 15 answers are there, 0 failed, 0 are left")
        self.assertRegex(text, r"\ntiny +demo +15 +15 +0 +0\n")
        self.assertIn("\n1 run has ended.\n", text)
        self.assertRegex(self.status("whole", "--cells"), r"\ntiny +demo +kvcomm\(ratio=0.5\) +5 +5 +0 +0\n")
        told = self.told("whole")
        self.assertEqual([cell["method"] for cell in told["cells"]], ["skyline", "kvcomm(ratio=0.5)", "kvcomm(ratio=1)"])
        self.assertEqual([(cell["answers"], cell["done"]) for cell in told["cells"]], [(5, 5)] * 3)
        self.assertEqual((told["runs"], told["ended_runs"], told["faults"], told["answers_per_s"], told["left_s"]),
                         ([], 1, [], None, None))
        self.assertEqual(self.status(self.work.results("whole")), text)  # or a file in it

    def test_a_wider_run_wants_more(self):
        self.check(self.work.run("wider", more=["--limit", "2"]))
        process = self.start("wider", rows=10)
        process.send_signal(signal.SIGUSR1)
        self.check(finished(process), STOPPED)
        told = self.told("wider")
        self.assertEqual((told["stage"], told["answers"], told["ended_runs"]), ("stopped", ANSWERS, 2))
        self.assertEqual(told["done"], self.work.samples_stored("wider"))
        self.assertEqual(told["done"] + told["left"], ANSWERS)

    def test_a_live_run(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                output = f"live{ranks}"
                before_s = time.time()
                process = self.start(output, ranks)
                self.frozen(process)
                try:
                    told = self.told(output)
                    most_s = time.time() - before_s
                    text = self.status(output)
                finally:
                    self.let_go(process)
                    self.check(finished(process))
                run, = told["runs"]
                self.assertEqual((told["stage"], told["answers"]), ("answering", ANSWERS))
                self.assertEqual(told["done"] + told["left"], ANSWERS)
                self.assertEqual(told["done"], run["rows"])
                self.assertGreaterEqual(run["rows"], 20)
                self.assertEqual((run["state"], run["pairs"]), ("lives", ["tiny"]))
                self.assertRegex(run["owner"], rf"^host {re.escape(socket.gethostname())}, process \d+$")
                self.assertRegex(run["run_id"], r"^\d{8}T\d{6}\.\d{3}Z-")
                self.assertLess(run["untouched_s"], 30)
                self.assertGreaterEqual(told["answers_per_s"], run["rows"] / most_s)
                self.assertLess(told["answers_per_s"], 100 * run["rows"] / most_s)
                self.assertAlmostEqual(told["left_s"], told["left"] / told["answers_per_s"])
                self.assertRegex(text, r"\n\S+ answers a \w+ since the runs that live began: about \S+ \w+.* left\n")
                self.assertRegex(text, r"tiny +lives +\d+ s ago")
                self.assertEqual(self.told(output)["stage"], "finished")

    def test_the_rate_of_the_last_seconds(self):
        process = self.start("rate")
        told = self.told("rate", "--over", "1")
        self.frozen(process)
        try:
            still = self.status("rate", "--over", "0.2")
        finally:
            self.let_go(process)
            self.check(finished(process))
        self.assertTrue(0 < told["answers_per_s"] * told["over_s"] < ANSWERS, told)
        self.assertTrue(1 <= told["over_s"] < 10, told["over_s"])
        self.assertRegex(still, r"\nno answer came over the last \d+ s\n")

    def test_half_a_line_is_no_fault_while_its_run_lives(self):
        process = self.start("half")
        self.frozen(process)
        try:
            journal, = (self.folder / "half/journal").glob("*.jsonl")
            with journal.open("a") as file:
                file.write('{"t":"sample","key":')
            self.assertEqual(self.told("half")["faults"], [])
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            finished(process)
        fault, = self.told("half")["faults"]
        self.assertRegex(fault, rf"{journal.name}:\d+ is skipped: its last part is missing\.")
        self.assertIn(fault, self.status("half"))

    def test_a_killed_run(self):
        process = self.start("killed")
        os.kill(process.pid, signal.SIGKILL)
        finished(process)
        told = self.told("killed")
        run, = told["runs"]
        self.assertEqual((told["stage"], run["state"], told["answers_per_s"]), ("stopped", "gone", None))
        self.assertEqual(told["done"], self.work.samples_stored("killed"))
        self.check(self.work.run("killed"))
        told = self.told("killed")
        self.assertEqual((told["stage"], told["runs"], told["ended_runs"]), ("finished", [], 2))

    def test_runs_of_other_hosts(self):
        """Whether these end cannot be seen from here: their locks' age tells."""
        self.check(self.work.run("hosts", more=["--limit", "2"]))
        lock = self.folder / "hosts/locks/tiny"
        lock.write_text('{"host":"node7","place":"x","pid":77,"start":"1","job":"88","since":""}')
        told = self.told("hosts")["runs"][0]
        self.assertEqual((told["owner"], told["state"], told["run_id"]), ("host node7, process 77, job 88", "lives", ""))
        os.utime(lock, (time.time() - 300, time.time() - 300))
        told = self.told("hosts")["runs"][0]
        self.assertEqual(told["state"], "silent")
        self.assertAlmostEqual(told["untouched_s"], 300, delta=30)
        self.assertRegex(self.status("hosts"), r"node7, process 77, job 88 +tiny +silent +5 min ago")

    def test_an_array_is_wanted_whole(self):
        pairs = "".join(pair_table("org/tiny", name=name, alpha=alpha) for name, alpha in (("a", 1.0), ("b", 0.5)))
        sweep = self.sweep("array", method_table("kvcomm", ratio=0.5), demo_records(SAMPLES), pairs, run="batch = 2")
        first = sweep.start("array", more=["--pair", "a"])
        self.wait_for(lambda: sweep.samples_stored("array") > 10, first, "rows")
        self.frozen(first)
        try:
            self.check(sweep.run("array", more=["--pair", "b"]))
            told = self.told("array")
        finally:
            self.let_go(first)
            self.check(finished(first))
        by_pair = {pair["pair"]: pair for pair in told["pairs"]}
        self.assertEqual((by_pair["b"]["done"], by_pair["b"]["left"]), (SAMPLES, 0))
        self.assertEqual(by_pair["a"]["done"], told["runs"][0]["rows"])
        self.assertEqual((told["stage"], told["answers"], told["left"]),
                         ("answering", 2 * SAMPLES, by_pair["a"]["left"]))
        self.assertGreater(by_pair["a"]["left"], 0)
        after = self.told("array")
        self.assertEqual((after["stage"], after["done"], after["answers"]), ("finished", 2 * SAMPLES, 2 * SAMPLES))

    def test_failed_samples_and_a_calibration_that_is_missing(self):
        records = demo_records(4)
        records[0]["context"] = "the ship " * 500
        sweep = self.sweep("fails", METHODS, records, run="max_input_tokens = 800")
        self.check(sweep.run("fails"), SOME_FAILED)
        told = self.told("fails")
        self.assertEqual((told["stage"], told["done"], told["failed"], told["left"]), ("finished", 3, 9, 0))
        self.assertEqual([cell["calibration_missing"] for cell in told["cells"]], [False, True, True])

    def test_a_folder_in_which_a_run_only_begins(self):
        (self.folder / "begins/locks").mkdir(parents=True)
        self.assertEqual(self.status("begins"), "nothing yet\n")

    def test_no_output_folder(self):
        for place in (self.folder, self.folder / "nowhere"):
            outcome = self.check(call(["status", place]), USAGE)
            self.assertIn(f"'{place}' holds neither journals nor locks", outcome.log)

    def test_nothing_is_written(self):
        self.check(self.work.run("untouched", more=["--limit", "2"]))
        folder = self.folder / "untouched"
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        self.status("untouched")
        self.assertEqual({path: path.stat().st_mtime_ns for path in folder.rglob("*")}, before)


if __name__ == "__main__":
    main()
