"""Disks that fill, vanish or know no locks, files in a folder that no run wrote there, and what is changed between two
runs: nothing that was stored is lost or mixed, and the same command ends with the rows of an undisturbed run."""

import shutil
import subprocess

from support import ENVIRONMENT, PROGRAM, SystemTest, demo_records, finished, main, make_model, method_table, rows

METHODS = method_table("baseline") + method_table("kvcomm", ratio=0.5) + method_table("nld", phase1_tokens=6)
SAMPLES = 24
ROWS = 3 * SAMPLES
USAGE, BROKEN = 2, 4
# Locks of a file system that has none.
WITHOUT_LOCKS = """#include <errno.h>
int flock(int fd, int how) { errno = ENOSYS; return -1; }
int link(const char *from, const char *to) { errno = EPERM; return -1; }
"""


class Disk(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work = cls.sweep_that_ran("work", METHODS, demo_records(SAMPLES), run="batch = 4")

    def check_like_whole(self, output):
        self.check_undisturbed(self.work.results(output), self.work.results("whole"))

    def check_resumes(self, output, ranks=1):
        self.check(self.work.run(output, ranks))
        self.check_like_whole(output)

    def mounted(self, output, size):
        """The output folder as a file system of that many bytes."""
        disk = self.folder / output
        disk.mkdir()
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True, check=False)
        if mount.returncode != 0:
            self.skipTest(f"no right to mount: {mount.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        return disk

    def remount(self, disk, options):
        subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)

    def test_a_write_that_fails_leaves_whole_lines(self):
        for ranks in (1, 2):
            output = f"fails{ranks}"
            with self.subTest(ranks=ranks):
                outcome = self.work.run(output, ranks, more=["--inject", "fail:phase=writing,after=50"])
                self.assertIn("No space left on device", self.check(outcome, BROKEN).log)
                journal, = (self.folder / output / "journal").glob("*.jsonl")
                self.assertEqual(len(journal.read_bytes().splitlines()), 49)
                self.assertTrue(journal.read_bytes().endswith(b"\n"))
                self.check_resumes(output, ranks)

    def test_a_disk_that_fills(self):
        journal, = (self.folder / "whole/journal").glob("*.jsonl")
        disk = self.mounted("full", journal.stat().st_size * 3 // 4)
        outcome = self.check(self.work.run("full"), BROKEN)
        self.assertIn("No space left on device", outcome.log)
        self.assertTrue(0 < self.work.samples_stored("full") < ROWS)
        self.remount(disk, "size=50m")
        resumed = self.check(self.work.run("full"))
        self.assertNotIn("skipped", resumed.log)
        self.check_like_whole("full")

    def test_a_folder_that_may_only_be_read(self):
        disk = self.mounted("read-only", "50m")
        self.remount(disk, "ro")
        outcome = self.work.run("read-only")
        self.assertIn(outcome.code, (USAGE, BROKEN), str(outcome))
        self.assertIn(str(disk), outcome.log)
        self.assertIn("Read-only file system", outcome.log)
        self.remount(disk, "rw")
        self.check_resumes("read-only")

    def test_a_folder_that_is_removed_ends_the_run_at_once(self):
        sweep = self.sweep("removed", METHODS, demo_records(400), run="batch = 4")
        process = sweep.start("removed")
        self.wait_for(lambda: sweep.samples_stored("removed") > 20, process, "rows")
        shutil.rmtree(self.folder / "removed")
        outcome = self.check(finished(process), BROKEN)
        self.assertIn("was removed while this run wrote to it", outcome.log)
        self.check(sweep.run("removed", sets=["run.limit=24"]))

    def test_a_file_system_without_locks_and_links(self):
        compiler = shutil.which("cc")
        if compiler is None:
            self.skipTest("no C compiler")
        library = self.folder / "without_locks.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-w", "-xc", "-", "-o", library], input=WITHOUT_LOCKS.encode(), check=True)
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                self.check(self.work.run(f"unlocked{ranks}", ranks, environment={"LD_PRELOAD": str(library)}))
                self.check_like_whole(f"unlocked{ranks}")

    def test_journals_that_are_empty_torn_or_no_runs(self):
        self.work.run("foreign", more=["--inject", "kill:phase=writing,after=50"])
        journals = self.folder / "foreign/journal"
        (journals / "00000000T000000.000Z-other-1.jsonl").write_text("")
        (journals / "00000000T000000.000Z-other-2.jsonl").write_text('{"t":"sample","key":"k","sample":1}\nhello\n\0\0\0')
        (journals / "notes.txt").write_text("not a journal")
        resumed = self.check(self.work.run("foreign"))
        self.assertIn("other-2.jsonl:1 and 1 more of its lines are skipped", resumed.log)
        self.assertIn("its last part is missing", resumed.log)
        self.check_like_whole("foreign")

    def test_standard_output_that_is_closed(self):
        for ranks in (1, 2):
            output = f"closed{ranks}"
            with self.subTest(ranks=ranks):
                command = [PROGRAM, *self.work.arguments("run", output)]
                if ranks > 1:
                    command = ["mpirun", "-np", str(ranks), "--oversubscribe", "--bind-to", "none", *command]
                closed = subprocess.run(["bash", "-c", 'exec "$@" >&-', "bash", *map(str, command)], env=ENVIRONMENT,
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
                self.assertEqual(closed.returncode, 0, closed.stderr)
                self.assertNotIn("\x1b", closed.stderr)
                self.check_like_whole(output)


class Changed(SystemTest):
    """What a run before left of other weights or settings is never counted as this one's."""

    def setUp(self):
        make_model(self.folder / f"models/org/{self._testMethodName}")
        self.work = self.sweep(self._testMethodName, METHODS, demo_records(SAMPLES), run="batch = 4",
                               pairs=f'[[pair]]\nsender = "org/{self._testMethodName}"\n'
                                     f'receiver = "org/{self._testMethodName}"\n')

    def check_anew(self, output, sets=()):
        """The second run's rows are those of a run that never knew the first, and none of the first's."""
        before = rows(self.work.results(output))
        self.check(self.work.run(output, sets=sets))
        self.check(self.work.run(f"{output}-anew", sets=sets))
        self.check_undisturbed(self.work.results(output), self.work.results(f"{output}-anew"))
        self.assertNotEqual([row["answer"] for row in rows(self.work.results(output))], [row["answer"] for row in before])

    def test_weights(self):
        self.check(self.work.run("weights"))
        path = self.folder / "models/org/test_weights/model.safetensors"
        content = bytearray(path.read_bytes())
        for place in range(len(content) // 2, len(content) - 64, 64):
            content[place] ^= 0x40
        path.write_bytes(content)
        self.check_anew("weights")

    def test_settings(self):
        self.check(self.work.run("settings"))
        self.check_anew("settings", ["dataset.demo.max_new_tokens=9"])


if __name__ == "__main__":
    main()
