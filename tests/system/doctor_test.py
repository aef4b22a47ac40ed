"""`kvcomm doctor`: fit machines pass, and what is broken is found, named and given a cure."""

import json
import os
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from support import ENVIRONMENT, PROGRAM, SystemTest, call, main, make_model, method_table, pair_table

FAILED = 4
FIELDS = {"name", "status", "found", "cure"}
STATUSES = {"ok", "skipped", "warning", "failed"}
ALWAYS = {"mpi", "launcher", "pmix", "signals", "devices", "cores", "memory", "output folder", "file locks", "free space",
          "lemmas", "wire", "nccl"}
SKYLINE = method_table("skyline")


def as_root():
    return unittest.skipUnless(os.geteuid() == 0, "only root mounts file systems")


class Doctor(SystemTest):
    def examine(self, *arguments, code=0, **options):
        """The checks by their names."""
        outcome = self.check(call(["doctor", "--json", *arguments], **options), code)
        told = json.loads(outcome.out)
        self.assertEqual(set(told), {"exit_code", "checks"})
        self.assertEqual(told["exit_code"], code)
        for check in told["checks"]:
            self.assertEqual(set(check), FIELDS)
            self.assertIn(check["status"], STATUSES)
            self.assertTrue(check["found"], check)
            self.assertEqual(bool(check["cure"]), check["status"] in ("warning", "failed"), check)
        return {check["name"]: check for check in told["checks"]}

    def finds(self, name, *words, arguments=(), **options):
        """That check fails, with these words."""
        checks = self.examine(*arguments, code=FAILED, **options)
        self.assertIn(name, [check["name"] for check in checks.values() if check["status"] == "failed"], checks)
        for word in words:
            self.assertIn(str(word), checks[name]["found"])
        return checks

    def fit(self):
        return ["--output", self.folder / "results"]

    # ---- what is well

    def test_alone(self):
        checks = self.examine(*self.fit())
        self.assertLessEqual(ALWAYS, set(checks))
        self.assertIn("Open MPI", checks["mpi"]["found"])
        self.assertIn("one process", checks["launcher"]["found"])
        self.assertIn("locked (POSIX, flock, HDF5)", checks["file locks"]["found"])
        self.assertEqual(checks["wire"]["status"], "skipped")
        self.assertFalse((self.folder / "results").exists())
        self.assertEqual(list(self.folder.glob(".kvcomm-doctor*")), [])

    def test_two_ranks(self):
        checks = self.examine(*self.fit(), ranks=2)
        self.assertIn("mpirun, 2 processes in one world", checks["launcher"]["found"])
        self.assertIn("mpirun speaks PMIx", checks["pmix"]["found"])
        self.assertRegex(checks["wire"]["found"], r"^rank 0 on \S+ to rank 1 on \S+ [\d.]+ GB/s$")

    def test_three_ranks_are_examined_too(self):
        self.assertIn("3 processes", self.examine(*self.fit(), ranks=3)["launcher"]["found"])

    def test_text(self):
        outcome = self.check(call(["doctor", *self.fit()]))
        self.assertRegex(outcome.out, r"(?m)^mpi +ok +Open MPI")
        self.assertEqual(outcome.log, "")

    def test_a_sweep(self):
        sweep = self.sweep("fit")
        checks = self.examine(sweep.toml, *self.fit(), ranks=2)
        self.assertRegex(checks["sweep"]["found"], r"^\d+ cells, \d+ rows$")
        self.assertIn("config.json of org/tiny, the configuration, the data of demo", checks["files"]["found"])
        self.assertIn("are readable", checks["files"]["found"])
        self.assertEqual(checks["lanes"]["found"], "1 of 2 ranks")
        self.assertIn("weights and one sample take", checks["memory"]["found"])
        self.assertIn("rows take some", checks["free space"]["found"])

    def test_a_blocked_signal_is_unblocked(self):
        def block():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        checks = self.examine(*self.fit(), preexec_fn=block)
        self.assertEqual(checks["signals"]["status"], "ok")
        self.assertIn("SIGUSR1 came blocked", checks["signals"]["found"])

    # ---- what is broken

    def test_processes_that_did_not_find_each_other(self):
        environment = {"PMI_SIZE": "2", "PMI_RANK": "0"}
        checks = self.finds("launcher", "2 tasks were started", arguments=self.fit(), environment=environment)
        self.assertIn("srun --mpi=pmix", checks["launcher"]["cure"])
        second = self.check(call(["doctor", *self.fit()], environment=environment | {"PMI_RANK": "1"}), FAILED)
        self.assertEqual(second.out, "")  # the first has said it for all

    def test_an_output_folder_that_is_a_file(self):
        file = self.folder / "file"
        file.touch()
        self.finds("output folder", file, "is no folder", arguments=["--output", file])

    def test_an_output_folder_that_cannot_be_written_to(self):
        checks = self.finds("output folder", "/proc", arguments=["--output", "/proc/results"])
        self.assertIn("--output", checks["output folder"]["cure"])

    @as_root()
    def test_too_little_room(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest(f"no right to mount: {mounted.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        checks = self.finds("free space", "0.0 GB", arguments=["--output", disk])
        self.assertIn("Free 1.0 GB", checks["free space"]["cure"])

    def test_a_sweep_that_is_no_toml(self):
        sweep = self.sweep("torn")
        sweep.toml.write_text("[run\n")
        self.finds("configuration", "torn.toml:1", arguments=[sweep.toml, *self.fit()])

    def test_broken_models(self):
        for name in ("model.safetensors", "tokenizer.json", "config.json"):
            with self.subTest(name):
                model = name.split(".")[0]
                folder = self.folder / "models/org" / model
                make_model(folder)
                file = folder / name
                file.write_bytes(file.read_bytes()[:-500])
                sweep = self.sweep(model, SKYLINE, pairs=pair_table(f"org/{model}"))
                checks = self.finds("sweep", folder, arguments=[sweep.toml, *self.fit()])
                self.assertIn("kvcomm plan", checks["sweep"]["cure"])
                shutil.rmtree(folder)

    def test_a_world_that_makes_no_lanes(self):
        sweep = self.sweep("three", SKYLINE)
        self.finds("lanes", "mpirun -np 4", arguments=[sweep.toml, *self.fit()], ranks=3)

    def test_absent_models(self):
        sweep = self.sweep("absent", SKYLINE, pairs=pair_table("org/absent"))
        self.finds("sweep", self.folder / "models/org/absent", arguments=[sweep.toml, *self.fit()])

    def test_a_rank_that_sees_other_files(self):
        """Two ranks with caches and data of their own stand for two nodes."""
        sweep = self.sweep("other", SKYLINE)
        other = self.folder / "other.sh"
        other.write_text('#!/bin/sh\nif [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then WNSEARCHDIR=/nowhere; export WNSEARCHDIR; fi\n'
                         'exec "$@"\n')
        other.chmod(0o755)
        self.assertTrue(Path("/usr/share/wordnet").exists(), "the tests need Debian's wordnet-base")
        command = ["mpirun", "-np", "2", "--oversubscribe", "--bind-to", "none", other, PROGRAM, "doctor", "--json",
                   sweep.toml, *self.fit()]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
        self.assertEqual(ended.returncode, FAILED, ended)
        files = next(check for check in json.loads(ended.stdout)["checks"] if check["name"] == "files")
        self.assertEqual(files["status"], "failed")
        self.assertIn("WordNet's dictionary is another on rank 1", files["found"])


if __name__ == "__main__":
    main()
