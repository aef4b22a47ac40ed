"""Signals stop a run within run.grace_s in every world: rows that are stored stay, results.h5 is written, every rank
leaves with 75, and the same command goes on to the rows of an undisturbed run."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

from support import (ENVIRONMENT, PROGRAM, REPOSITORY, SystemTest, children, demo_records, finished, main, make_model,
                     method_table, pair_table, rows, tables)

SEEDS = 24
BATCH = 4
# One task: its only batch of samples goes through all of these cells.
MANY_CELLS = method_table("random", ratio=0.5, seed=list(range(SEEDS)))
ONE_CELL = method_table("skyline")
SAVED = "is finished if it ends within"
STOPPED = 75


def to_all(number):
    return lambda process, ranks: [os.kill(pid, number) for pid in ranks.values()]


def to_rank(rank, number):
    return lambda process, ranks: os.kill(ranks[rank], number)


def to_launcher(number):
    return lambda process, ranks: process.send_signal(number)


class Stopping(SystemTest):
    """Sweeps of many short exchanges and of a long one, and how a run of them ends."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        records = demo_records(BATCH)
        cls.many = cls().sweep("many", MANY_CELLS, records, run=f"batch = {BATCH}", max_new_tokens=150)
        endless = cls.folder / "models/org/endless"
        make_model(endless)
        (endless / "generation_config.json").write_text('{"eos_token_id": 511}')  # which it never says
        cls.long = cls().sweep("long", ONE_CELL, records, pair_table("org/endless"), run=f"batch = {BATCH}",
                               max_new_tokens=20000)
        outcome = cls.many.run("whole")
        assert outcome.code == 0, outcome
        cls.undisturbed = rows(cls.many.results("whole"))

    def log_of(self, output):
        path = self.folder / f"{output}.log"
        return path.read_text() if path.exists() else ""

    def start(self, sweep, output, ranks, sets=()):
        with open(self.folder / f"{output}.log", "w") as log:
            return sweep.start(output, ranks, sets, stderr=log)

    def wait_for_log(self, output, process, text):
        self.wait_for(lambda: text in self.log_of(output), process, f"'{text}' in the log")

    def check_stopped(self, process, output, within_s, since):
        outcome = finished(process)
        seconds = time.monotonic() - since
        log = self.log_of(output)
        self.assertEqual(outcome.code, STOPPED, log)
        self.assertLess(seconds, within_s, log)
        return log

    def check_journals_whole(self, output):
        for journal in (self.folder / output / "journal").glob("*.jsonl"):
            self.assertTrue(journal.read_bytes().endswith(b"\n"), journal)

    def check_resumes(self, sweep, output, ranks):
        resumed = self.check(sweep.run(output, ranks))
        self.assertNotIn("torn", resumed.log)
        self.assertEqual(rows(sweep.results(output)), self.undisturbed)


class Signals(Stopping):
    def test_each_signal_in_each_world_while_cells_are_left(self):
        for ranks, name, who, send in (
                (1, "SIGINT", "", to_all(signal.SIGINT)),
                (1, "SIGUSR2", "", to_all(signal.SIGUSR2)),
                (2, "SIGUSR1", "", to_launcher(signal.SIGUSR1)),
                (2, "SIGINT", " at rank 1", to_rank(1, signal.SIGINT)),
                (4, "SIGTERM", "", to_rank(0, signal.SIGTERM)),
                (4, "SIGUSR2", " at rank 3", to_rank(3, signal.SIGUSR2))):
            output = f"stop-{ranks}-{name}"
            with self.subTest(output=output):
                process = self.start(self.many, output, ranks)
                self.wait_for(lambda: self.many.samples_stored(output) > 0, process, "rows")
                since = time.monotonic()
                send(process, children(process.pid))
                log = self.check_stopped(process, output, 10, since)
                self.assertEqual(log.count(f"{SAVED} 30 s"), 1, log)
                if name != "SIGUSR1":  # mpirun hands it on to all: either may be the first
                    self.assertIn(f"{name}{who}: what is in hand", log)
                self.check_journals_whole(output)
                stored = self.many.samples_stored(output)
                self.assertLess(stored, SEEDS * BATCH, "the batch went through all its cells")
                partial = rows(self.many.results(output))
                self.assertEqual(len(partial), stored)
                self.assertTrue(all(row in self.undisturbed for row in partial))
                seconds = tables(self.many.results(output))["ranks"]
                self.assertGreaterEqual(len(seconds), min(ranks, 2), "those at work said what they did so far")
                self.assertGreater(seconds["decode_s"].sum(), 0)
                if name == "SIGINT" or ranks == 4:
                    self.check_resumes(self.many, output, ranks)

    def test_what_does_not_fit_into_the_grace_is_dropped(self):
        for ranks in (1, 2):
            output = f"dropped-{ranks}"
            with self.subTest(ranks=ranks):
                process = self.start(self.long, output, ranks, ["run.grace_s=0.5"])
                self.wait_for_log(output, process, "loads")
                time.sleep(1)  # well into the answers
                since = time.monotonic()
                to_all(signal.SIGINT)(process, children(process.pid))
                log = self.check_stopped(process, output, 6, since)
                self.assertIn("did not end within run.grace_s = 0.5 s: it is dropped", log)
                self.check_journals_whole(output)
                self.assertEqual(len(rows(self.long.results(output))), 0)

    def test_a_job_whose_time_is_nearly_over_stops_as_by_a_signal(self):
        for ranks, more, slurm_s, why in ((1, ["--time-budget", "20s"], None, "The time budget of 20 s is nearly over"),
                                          (2, ["--time-budget", "1h"], 21, "The job's time in Slurm is nearly over")):
            output = f"time-{ranks}"
            with self.subTest(ranks=ranks), open(self.folder / f"{output}.log", "w") as log:
                end = {} if slurm_s is None else {"SLURM_JOB_END_TIME": str(int(time.time()) + slurm_s)}
                since = time.monotonic()
                process = self.long.start(output, ranks, ["run.grace_s=1"], more, stderr=log,
                                          environment=end)
                log = self.check_stopped(process, output, 12, since)
                self.assertIn(f"{why}: what is in hand", log)
        process = self.many.start("past", environment={"SLURM_JOB_END_TIME": "1000"})
        self.check(finished(process))  # of a job that is over long since

    def test_a_second_signal_leaves_at_once(self):
        for ranks, send in ((1, to_all(signal.SIGINT)), (2, to_launcher(signal.SIGUSR1)), (2, to_rank(1, signal.SIGTERM))):
            output = f"second-{ranks}-{send.__qualname__}"
            with self.subTest(output=output):
                process = self.start(self.long, output, ranks)
                self.wait_for_log(output, process, "loads")
                time.sleep(1)
                running = children(process.pid)
                send(process, running)
                self.wait_for_log(output, process, SAVED)
                since = time.monotonic()
                send(process, running)
                self.check_stopped(process, output, 4, since)

    def test_at_any_moment_of_the_start(self):
        for ranks in (1, 2):
            for moment in ("Sweep 'many'", "Lane 0: ", "loads"):
                output = f"early-{ranks}-{moment.split()[0]}"
                with self.subTest(ranks=ranks, moment=moment):
                    process = self.start(self.many, output, ranks)
                    self.wait_for_log(output, process, moment)
                    since = time.monotonic()
                    to_rank(ranks - 1, signal.SIGTERM)(process, children(process.pid))
                    log = self.check_stopped(process, output, 6, since)
                    self.assertRegex(log, f"{SAVED}|nothing has begun yet")
                    self.check_journals_whole(output)
        self.check_resumes(self.many, "early-2-loads", 2)


class Launcher(Stopping):
    """mpi_run of the launch scripts, between a terminal and mpirun."""

    def launched(self, output, **options):
        arguments = map(str, self.many.arguments("run", output))
        script = 'set -euo pipefail; source "$0"; mpi_run 2 "$@"'
        return subprocess.Popen(["bash", "-c", script, REPOSITORY / "launch/common.sh", PROGRAM, *arguments],
                                env={**ENVIRONMENT, "TERM": "xterm"}, start_new_session=True, **options)

    def test_signals_to_the_launcher(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            output = f"launcher-{number.name}"
            with self.subTest(output=output):
                with open(self.folder / f"{output}.log", "w") as log:
                    process = self.launched(output, stdout=subprocess.PIPE, stderr=log, text=True)
                self.wait_for(lambda: self.many.samples_stored(output) > 0, process, "rows")
                since = time.monotonic()
                process.send_signal(number)
                log = self.check_stopped(process, output, 10, since)
                self.assertIn("SIGUSR1", log)
                self.assertNotIn("\x1b", log)  # no terminal: nothing is coloured or redrawn
                self.assertEqual(len(rows(self.many.results(output))), self.many.samples_stored(output))

    def test_ctrl_c_in_a_terminal(self):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        output = "terminal"
        process = self.launched(output, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True,
                                preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0))
        os.close(theirs)
        self.addCleanup(os.close, ours)
        self.wait_for(lambda: self.many.samples_stored(output) > 0, process, "rows")
        time.sleep(0.5)  # for the line to be redrawn
        os.write(ours, b"\x03")
        finished(process)
        self.assertEqual(process.returncode, STOPPED)
        screen = os.read(ours, 1 << 16).decode()
        self.assertIn(SAVED, screen)
        progress = re.findall(r"\r\x1b\[K(\d+/\d+ answers[^\r\n]*)\r", screen)
        self.assertTrue(progress, screen)
        self.assertLess(max(map(len, progress)), 60, "a line that wraps cannot be redrawn")
        self.assertEqual(len(rows(self.many.results(output))), self.many.samples_stored(output))


if __name__ == "__main__":
    main()
