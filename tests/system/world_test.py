"""What a run says of its world at the start, and worlds that are refused."""

import json
import os

import h5py
from support import SystemTest, call, main, method_table

METHODS = method_table("kvcomm", ratio=0.5)
ENVIRONMENT, USAGE = 4, 2
# As srun sets them for each of two tasks that did not find each other.
SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_NPROCS": "2", "SLURM_PROCID": "0"}


class World(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work = cls().sweep("work", METHODS)

    def run_in(self, environment, ranks=1, sets=()):
        return self.work.run(self._testMethodName, ranks, sets, environment=environment)

    def test_processes_that_did_not_find_each_other(self):
        for environment, variable, tasks in (
                ({**SLURM, "SLURM_STEP_NUM_TASKS": "2"}, "SLURM_STEP_NUM_TASKS", 2),
                ({"PMI_SIZE": "4", "PMI_RANK": "1"}, "PMI_SIZE", 4),
                ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE", 2),
                ({"PMI_SIZE": "3", "SLURM_STEP_NUM_TASKS": "1"}, "PMI_SIZE", 3)):
            with self.subTest(variable=variable):
                refused = self.check(self.run_in(environment), ENVIRONMENT)
                self.assertIn(f"{variable} says that {tasks} tasks were started, but this one is in a world of 1",
                              refused.log)
                self.assertIn("srun --mpi=pmix", refused.log)
                self.assertIn("openmpi@", refused.log)
        self.assertFalse((self.folder / self._testMethodName).exists())

    def test_what_says_nothing_of_this_world(self):
        for environment in ({**SLURM, "SLURM_STEP_NUM_TASKS": "1"}, SLURM, {"PMI_SIZE": "1", "SLURM_STEP_NUM_TASKS": "9"},
                            {"OMPI_COMM_WORLD_SIZE": "many", "PMI_SIZE": "-2", "SLURM_STEP_NUM_TASKS": "2x"}):
            with self.subTest(environment=environment):
                self.check(self.run_in(environment))

    def test_a_step_of_another_size_around_mpirun(self):
        self.check(self.run_in({**SLURM, "SLURM_STEP_NUM_TASKS": "8"}, ranks=2))

    def test_the_configuration_is_shown_anywhere(self):
        self.check(call(self.work.arguments("run", "shown", more=["--show-config"]), environment={"PMI_SIZE": "4"}))

    def test_mpi_needs_a_peer(self):
        refused = self.check(self.run_in({}, sets=["run.transport=mpi"]), USAGE)
        self.assertIn("world of 1", refused.log)
        self.check(self.run_in({}, ranks=2, sets=["run.transport=mpi"]))

    def test_threads_spin_as_long_as_the_user_says_and_briefly_if_he_does_not(self):
        for given, expected in (({}, {"GOMP_SPINCOUNT"}), ({"OMP_WAIT_POLICY": "passive"}, {"OMP_WAIT_POLICY"}),
                                ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT"})):
            with self.subTest(given=given):
                output = f"spin-{''.join(given)}"
                self.check(self.work.run(output, environment=given))
                with h5py.File(self.work.results(output)) as file:
                    environment = json.loads(file.attrs["environment"])
                self.assertEqual({name for name in environment if name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}, expected)
                self.assertEqual({name: environment[name] for name in given}, given)

    def test_what_runs_where_comes_first(self):
        one = self.check(self.run_in({}))
        self.assertRegex(one.log.splitlines()[0], r"Sweep 'work': 1 pair, 1 data set and 1 method; results go to '.*'")
        self.assertIn(f"Lane 0: one process plays both ends (cpu, 1 thread on {os.uname().nodename}).", one.log)
        self.assertRegex(one.log, rf"Lane 0 loads '{self.folder}/models/org/tiny' \(\d+\.\d MB\)\.")
        four = self.check(self.work.run("four", 4))
        self.assertRegex(four.log, r"Lane 1: sender is rank 2 \(cpu, 1 thread on .*\), receiver rank 3 \(.*\), by mpi\.")
        self.assertLessEqual(four.log.count(" loads "), 2, "one end speaks for both")
        self.assertNotIn("about 0 s left", one.log + four.log)


if __name__ == "__main__":
    main()
