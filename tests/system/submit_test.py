"""What slurm/submit.sh fills in and refuses, and which PMI the jobs take; no Slurm is needed."""

import shutil
import subprocess

from support import BUILD, ENVIRONMENT, REPOSITORY, SystemTest, demo_records, main, method_table, pair_table


class Scripts(SystemTest):
    """A folder with the scripts and the program, as a clone is one, and sweeps beside it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.clone = cls.folder / "clone"
        shutil.copytree(REPOSITORY / "slurm", cls.clone / "slurm", ignore=shutil.ignore_patterns("site.env"))
        (cls.clone / "launch").mkdir()
        shutil.copy(REPOSITORY / "launch/common.sh", cls.clone / "launch")
        (cls.clone / "build").symlink_to(BUILD)
        cls.site = cls.clone / "slurm/site.env"
        cls.environment = {**ENVIRONMENT, "KVCOMM_ROOT": str(cls.clone), "OMPI_MCA_mpi_yield_when_idle": "1"}

    def call(self, *command, code=0, path=None):
        """A script's outcome; `path` is a folder of programs that go before the system's."""
        environment = {**self.environment, "PATH": f"{path or '/'}:{self.environment['PATH']}"}
        outcome = subprocess.run(list(map(str, command)), text=True, capture_output=True, cwd=self.folder, timeout=60,
                                 env=environment)
        self.assertEqual(outcome.returncode, code, f"{outcome.stdout}\n{outcome.stderr}")
        return outcome

    def submit(self, sweep, output, *options, code=0, more=()):
        return self.call(self.clone / "slurm/submit.sh", sweep.toml, *options, "--", "--output", self.folder / output, *more,
                         code=code)


class Submit(Scripts):
    """What is filled in, and what is refused: nothing is submitted here."""

    def setUp(self):
        self.sweep_ = self.sweep("filled", method_table("baseline"), pairs=pair_table("org/tiny", name="a") +
                                 pair_table("org/tiny", name="b"))
        self.site.write_text("")

    def command(self, *options, output="filled", more=()):
        outcome = self.submit(self.sweep_, output, "--dry-run", *options, more=more)
        self.assertFalse((self.folder / output / "logs").exists(), "a dry run leaves nothing behind")
        return outcome.stdout.split(), outcome.stderr

    def test_the_site_and_the_sweep_fill_it_in(self):
        self.site.write_text("account=physics\npartition=short\ngpus_per_node=4\ncpus_per_rank=6\nmemory=90G\nhours=7\n"
                             "sbatch_options=(--qos=long --constraint='a b')\n")
        words, said = self.command("--nodes", "3")
        self.assertEqual(words, [
            f"KVCOMM_ROOT={self.clone}", "sbatch", "--job-name=kvcomm-filled", "--nodes=3", "--ntasks-per-node=4",
            "--cpus-per-task=6", "--time=420", "--gpus-per-node=4", "--account=physics", "--partition=short", "--mem=90G",
            f"--output={self.folder}/filled/logs/%j.log", "--qos=long", "--constraint=a\\", "b",
            f"{self.clone}/slurm/sweep.sbatch", str(self.sweep_.toml), "--output", f"{self.folder}/filled"])
        self.assertIn("the plan tells no hours: asking for 7 hours", said)

    def test_what_is_not_set_is_left_to_the_site(self):
        words, _ = self.command("--array", "--time", "0:30:00", more=["--set", "run.limit=2"])
        self.assertEqual(words[2:], [
            "--job-name=kvcomm-filled", "--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=8", "--time=0:30:00",
            "--array=0-1", f"--output={self.folder}/filled/logs/%A_%a.log", f"{self.clone}/slurm/array.sbatch",
            str(self.sweep_.toml), "--output", f"{self.folder}/filled", "--set", "run.limit=2"])

    def test_the_plan_s_hours_are_asked_for(self):
        self.check(self.sweep_.run("measured", more=["--limit", "4"]))
        outcome = self.submit(self.sweep_, "measured", "--dry-run")
        self.assertIn("--time=15 ", outcome.stdout, "of seconds only the quarter of an hour to load is left")

    def test_a_sweep_that_cannot_run_is_refused(self):
        self.assertIn("`run` would stop here", self.submit(
            self.sweep("absent", pairs=pair_table("org/nowhere")), "refused", "--dry-run", code=4).stderr)
        self.assertIn("ratios", self.submit(
            self.sweep("wrong", method_table("kvcomm", ratios=0.5)), "refused", "--dry-run", code=2).stderr)
        self.assertFalse((self.folder / "refused").exists())

    def test_ranks_that_are_no_lanes_are_refused(self):
        three = self.sweep("three", method_table("baseline"), pairs=pair_table(["org/tiny", "org/tiny"], "org/tiny"),
                           records=[record | {"context": "A first text. And a second."} for record in demo_records(2)])
        self.assertIn("are 4 ranks, and a lane takes 3", self.submit(
            three, "lanes", "--ranks-per-node", "4", "--dry-run", code=2).stderr)
        for ranks, more in ((1, ()), (5, ("--set", "run.placement=colocate"))):
            with self.subTest(ranks=ranks):
                self.submit(three, "lanes", "--ranks-per-node", ranks, "--dry-run", more=more)

    def test_a_wrong_command_line_is_refused(self):
        for options, sentence in ((["--nodes", "0"], "--nodes '0' must be a whole number from 1"),
                                  (["--gpus-per-node", "two"], "--gpus-per-node 'two' must be"),
                                  (["--time"], "--time '--' |--time needs"),
                                  (["--limit", "4"], "no option '--limit'; kvcomm run's arguments go behind --"),
                                  (["other.toml"], "'other.toml' is a second sweep")):
            with self.subTest(options=options):
                outcome = self.call(self.clone / "slurm/submit.sh", self.sweep_.toml, *options, code=2)
                self.assertRegex(outcome.stderr, sentence)
        self.assertIn("use one of them", self.submit(self.sweep_, "x", "--array", more=["--pair", "0"], code=2).stderr)

    def test_modules_are_loaded_before_the_program_is_asked(self):
        self.site.write_text("module() { echo \"modules: $*\" >&2; }\nmodules='gcc/12 openmpi/4.1'\n")
        self.assertIn("modules: load gcc/12 openmpi/4.1", self.command()[1])
        self.site.write_text("module() { return 1; }\nmodules='gcc/99'\n")
        self.assertIn("cannot be loaded: gcc/99", self.submit(self.sweep_, "x", "--dry-run", code=4).stderr)


class Flavour(Scripts):
    """Which PMI is taken of those that `srun --mpi=list` names."""

    def chosen(self, listed, components="mca:pmix:ext3x:", code=0):
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        for name, text in (("srun", listed), ("ompi_info", components)):
            (programs / name).write_text(f"#!/bin/sh\ncat >&{2 if name == 'srun' else 1} <<'EOF'\n{text}\nEOF\n")
            (programs / name).chmod(0o755)
        outcome = self.call("bash", "-euo", "pipefail", "-c", 'source "$0"; pmi_flavour', self.clone / "slurm/job.sh",
                            code=code, path=programs)
        return outcome.stdout.strip() or outcome.stderr

    def test_pmix_before_its_versions_before_pmi2(self):
        self.assertEqual(self.chosen("MPI plugin types are...\n\tnone\n\tpmi2\n\tpmix\nspecific pmix plugin versions "
                                     "available: pmix_v3,pmix_v4"), "pmix")
        self.assertEqual(self.chosen("srun: MPI types are...\nsrun: none\nsrun: pmix_v10\nsrun: pmix_v2"), "pmix_v10")
        self.assertEqual(self.chosen("srun: pmi2\nsrun: none", "mca:pmix:s1:\nmca:pmix:s2:version"), "pmi2")

    def test_what_open_mpi_cannot_use_is_refused(self):
        for listed in ("srun: pmi2\nsrun: none", "srun: none"):
            with self.subTest(listed=listed):
                self.assertIn("starts no ranks that Open MPI's could find", self.chosen(listed, code=4))


if __name__ == "__main__":
    main()
