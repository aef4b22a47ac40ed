"""What a user meets before and after a sweep: help, refusals, what is never overwritten, the table of scores."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import h5py
from support import ENVIRONMENT, REPOSITORY, SystemTest, call, main, method_table, pair_table, tables

USAGE, ENVIRONMENT_CODE, SOME_FAILED = 2, 4, 3
COMMANDS = ("run", "plan", "status", "verify", "merge", "score", "ls", "bench", "doctor")
SKYLINE = method_table("skyline")
TWO = SKYLINE + method_table("kvcomm", layers=[1, 2])


def script(name, *arguments, **environment):
    return subprocess.run([REPOSITORY / "launch" / name, *arguments], capture_output=True, text=True, timeout=60,
                          env={**ENVIRONMENT, **environment}, stdin=subprocess.DEVNULL)


class Words(SystemTest):
    def test_an_unknown_command_is_named_with_the_near_miss(self):
        for word, cure in (("rnu", "Did you mean 'run'?"), ("evaluate", "The commands are run, plan")):
            outcome = self.check(call([word, "sweep.toml"]), USAGE)
            self.assertIn(f"There is no command '{word}'. {cure}", outcome.log)

    def test_help_has_examples_and_no_internals(self):
        for command in COMMANDS:
            text = self.check(call([command, "--help"])).out
            self.assertIn("Example: ", text, command)
            self.assertIn(f"kvcomm {command}", text.split("Example: ")[1], command)
            self.assertNotIn("ENUM", text)
            self.assertNotIn("->", text)
        self.assertIn("several times", call(["run", "--help"]).out)

    def test_version_names_what_the_program_stands_on(self):
        lines = self.check(call(["--version"])).out.splitlines()
        self.assertRegex(lines[0], r"^kvcomm \d+\.\d+\.\d+ \(commit \S+\)$")
        self.assertEqual([line.split()[0] for line in lines[1:]], ["libtorch", "openmpi", "hdf5", "nccl", "gcc"])

    def test_a_choice_by_another_name_is_understood(self):
        sweep = self.sweep("gpu", SKYLINE)
        for key, given, meant in (("device", "gpu", "cuda"), ("dtype", "bf16", "bfloat16")):
            outcome = self.check(sweep.run("gpu", sets=[f"run.{key}={given}"]), USAGE)
            self.assertIn(f"Did you mean '{meant}'?", outcome.log)

    def test_quiet_and_verbose(self):
        sweep = self.sweep("levels", SKYLINE)
        self.assertEqual(self.check(sweep.run("quiet", more=["--quiet"])).log, "")
        self.assertIn("Lane 0 gets task 1: ", self.check(sweep.run("verbose", more=["--verbose"])).log)
        self.assertNotIn("Lane 0 gets task", self.check(sweep.run("plain")).log)


class Launchers(SystemTest):
    def test_a_wrong_choice_of_gpu_stops_them(self):
        for name in ("setup.sh", "workstation.sh", "demo.sh"):
            outcome = script(name, "sweep.toml", KVCOMM_GPU="maybe")
            self.assertEqual((outcome.returncode, outcome.stdout), (USAGE, ""), name)
            self.assertEqual(outcome.stderr, "error: KVCOMM_GPU is 'maybe': use yes, no or auto.\n")

    def test_a_missing_mpirun_is_named_with_its_package(self):
        with tempfile.TemporaryDirectory() as folder:
            for tool in ("bash", "dirname", "hostname", "nproc", "env"):
                os.symlink(shutil.which(tool), Path(folder) / tool)
            outcome = script("workstation.sh", "--lanes", "1", "sweep.toml", PATH=folder, KVCOMM_GPU="no")
        self.assertEqual(outcome.returncode, ENVIRONMENT_CODE, outcome.stderr)
        self.assertIn("openmpi-bin", outcome.stderr)

    def test_options(self):
        self.assertEqual(script("setup.sh", "--help").returncode, 0)
        self.assertIn("Example", script("setup.sh", "--help").stdout)
        self.assertEqual(script("setup.sh", "--halp").returncode, USAGE)
        self.assertIn("senders and a receiver", script("workstation.sh", "--help").stdout)


class OthersFiles(SystemTest):
    """What is not this program's own file of the same kind is never replaced."""

    def others(self, name):
        folder = self.folder / name
        folder.mkdir()
        text, hdf5 = folder / "sweep.toml", folder / "others.h5"
        text.write_text("[run]\n")
        with h5py.File(hdf5, "w") as file:
            file["data"] = [1, 2, 3]
        (folder / "empty.h5").touch()
        return [text, hdf5, folder / "empty.h5"]

    def refuses(self, path, make):
        before = path.read_bytes()
        outcome = self.check(make(), USAGE)
        self.assertIn(f"'{path}' is there already and is no results file of this program", outcome.log)
        self.assertEqual(path.read_bytes(), before)

    def test_score(self):
        sweep = self.sweep("scored", SKYLINE)
        self.check(sweep.run("scored"))
        for path in self.others("score"):
            self.refuses(path, lambda: call(["score", sweep.results("scored"), "--output", path]))
        again = self.folder / "again.h5"
        for _ in range(2):  # its own file of the same kind is replaced
            self.check(call(["score", sweep.results("scored"), "--output", again]))

    def test_run_plan_and_merge(self):
        sweep = self.sweep("kept", SKYLINE)
        for number, path in enumerate(self.others("run")):
            output = self.folder / f"kept{number}"
            output.mkdir()
            shutil.copy(path, output / "results.h5")
            self.refuses(output / "results.h5", lambda: sweep.run(output.name))
            self.assertFalse(list(output.glob("journal/*")))  # before any work
            self.refuses(output / "results.h5", lambda: call(sweep.arguments("plan", output.name, more=["--strict"])))
        self.check(sweep.run("mine"))
        shutil.copy(self.folder / "run/others.h5", sweep.results("mine"))
        self.refuses(sweep.results("mine"), lambda: call(["merge", self.folder / "mine"]))


class Planned(SystemTest):
    def strict(self, sweep, code, *sets, more=()):
        """A plan that leaves as the run does."""
        planned = self.check(call(sweep.arguments("plan", "strict", sets, ["--strict", *more])), code)
        self.check(sweep.run("strict", sets=sets), code)
        return planned

    def test_strict_leaves_with_the_code_of_a_run(self):
        sweep = self.sweep("strict", SKYLINE)
        self.assertIn("skyline", self.strict(sweep, 0).out)
        planned = self.strict(sweep, ENVIRONMENT_CODE, 'run.transport="nccl"')
        self.assertIn('run.transport = "nccl" moves data between GPUs', planned.log)
        self.strict(sweep, SOME_FAILED, "run.max_input_tokens=8")
        (self.folder / "strict-file").touch()
        for arguments in (sweep.arguments("plan", "strict-file", more=["--strict"]),
                          sweep.arguments("run", "strict-file")):
            self.check(call(arguments), USAGE)

    def test_strict_names_what_is_absent(self):
        absent = self.sweep("absent", SKYLINE, pairs=pair_table("org/none", "org/tiny"))
        planned = self.strict(absent, ENVIRONMENT_CODE)
        self.assertIn("'" + str(self.folder / "models/org/none") + "' has no config.json", planned.log)

    def test_without_strict_a_transport_that_cannot_be_is_told(self):
        sweep = self.sweep("told", SKYLINE)
        outcome = self.check(call(sweep.arguments("plan", "told", ['run.transport="nccl"'])))
        self.assertIn('run.transport = "nccl" moves data between GPUs', outcome.out)

    def test_summary_is_the_last_table_alone(self):
        sweep = self.sweep("summary", TWO)
        whole = self.check(call(sweep.arguments("plan", "summary"))).out
        summary = self.check(call(sweep.arguments("plan", "summary", more=["--summary"]))).out
        self.assertTrue(summary.startswith("pair "), summary)
        tables, _, hours = whole.rpartition("\n\n")
        self.assertTrue((tables + "\n").endswith("\n\n" + summary), whole)
        self.assertTrue(hours.startswith("Hours are not known"), whole)


class Shown(SystemTest):
    def test_head_holds_what_rows_share_and_rows_what_differs(self):
        sweep = self.sweep("differ", TWO)
        first = self.check(sweep.run("differ"))
        self.assertIn("tiny on demo (includes, float32, paper fidelity)\nmethod ", first.out)
        sets = ["run.dtype=bfloat16"]
        skyline = self.sweep("differ", SKYLINE)
        second = self.check(skyline.run("differ", sets=sets))
        lines = second.out.splitlines()
        self.assertEqual(lines[0], "tiny on demo (includes, paper fidelity)")
        self.assertEqual(lines[1].split()[:2], ["method", "dtype"])
        self.assertRegex(second.out, r"\nskyline +bfloat16 ")
        self.assertRegex(second.out, r"\nkvcomm\(layers=\[1, ?2\]\) +float32 ")

    def test_an_unfinished_cell_shows_how_many_were_planned(self):
        sweep = self.sweep("part", SKYLINE)
        self.check(sweep.run("part", sets=["run.limit=4"]))
        journal, = (self.folder / "part/journal").iterdir()
        kept = [line for line in journal.read_text().splitlines(keepends=True) if '"sample":3,' not in line]
        journal.write_text("".join(kept))
        self.assertRegex(self.check(call(["merge", self.folder / "part"])).out, r"\nskyline .* 3 of 4 ")

    def test_a_finished_sweep_run_again_says_so_and_writes_no_journal(self):
        sweep = self.sweep("again", TWO)
        for ranks in (1, 2):
            first = self.check(sweep.run(f"again{ranks}", ranks))
            output = self.folder / f"again{ranks}"
            stored = {path: path.read_bytes() for path in (output / "journal").iterdir()}
            results = sweep.results(f"again{ranks}").read_bytes()
            again = self.check(sweep.run(f"again{ranks}", ranks))
            self.assertIn("nothing is left to do", again.log)
            self.assertEqual(again.out, first.out)
            self.assertEqual({path: path.read_bytes() for path in (output / "journal").iterdir()}, stored)
            self.assertEqual(sweep.results(f"again{ranks}").read_bytes(), results)
            # a sweep of other cells, all of them stored, is told from it: what it wants is what is shown
            fewer = self.check(self.sweep("again", SKYLINE).run(f"again{ranks}", ranks, sets=["run.limit=3"]))
            self.assertNotIn("nothing is left to do", fewer.log)
            cells = tables(sweep.results(f"again{ranks}"))["cells"].set_index("method")
            self.assertEqual(cells.loc["skyline", "n_planned"], 3)
            sweep = self.sweep("again", TWO)

    def test_merge_and_score_take_a_folder_or_a_file(self):
        sweep = self.sweep("either", SKYLINE)
        self.check(sweep.run("either"))
        folder, file = self.folder / "either", sweep.results("either")
        self.assertEqual(self.check(call(["merge", folder])).out, self.check(call(["merge", file])).out)
        self.assertEqual(self.check(call(["merge", "results.h5"], cwd=folder)).out, call(["merge", folder]).out)
        scored = [self.check(call(["score", given, "-o", self.folder / "either.h5"])).out for given in (folder, file)]
        self.assertEqual(*scored)

    def test_score_names_its_own_option_where_the_data_moved(self):
        sweep = self.sweep("moved", SKYLINE)
        self.check(sweep.run("moved"))
        data = self.folder / "moved.jsonl"
        (self.folder / "elsewhere").mkdir()
        data.rename(self.folder / "elsewhere/moved.jsonl")
        arguments = ["score", sweep.results("moved"), "-o", self.folder / "moved.h5"]
        refused = self.check(call(arguments), USAGE)
        self.assertIn("--data", refused.log)
        self.assertNotIn("paths.data", refused.log)
        self.check(call([*arguments, "--data", self.folder / "elsewhere"]))


if __name__ == "__main__":
    main()
