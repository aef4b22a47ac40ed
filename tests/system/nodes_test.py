"""Sweeps on two hosts, which are network namespaces of this machine: each has a name and an address of its own, and a
pair of virtual Ethernet cards between them is a link that can be cut. What falls silent is named within its deadline,
nothing stays behind, and the same command goes on."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from support import (ENVIRONMENT, REPOSITORY, SystemTest, children, demo_records, finished, main, make_model,
                     method_table, pair_table, rows)

ENVIRONMENT_CODE, USAGE = 4, 2
TIMEOUT_S = 3
GRACE_S = 15  # that the launchers give mpirun after its ranks
BEAT_S = TIMEOUT_S / 4
SUBNET = "10.77.0"
NAME = "kvcomm"  # that all hosts begin with
NLD = method_table("nld", phase1_tokens=20000)
# In the place of ssh: as "agent HOST COMMAND".
AGENT = """#!/bin/sh
host=$1; shift
exec ip netns exec "$host" unshare --uts sh -c 'hostname "$0" && exec sh -c "$*"' "$host" "$@"
"""


def ip(*arguments):
    """Its output; what fails is an error that says why."""
    outcome = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if outcome.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {outcome.stderr.strip()}")
    return outcome.stdout


class Network:
    """Two hosts and the link between them."""

    def __init__(self, folder):
        self.hosts = [f"{NAME}{os.getpid()}{letter}" for letter in "ab"]
        self.agent = folder / "agent"
        self.agent.write_text(AGENT)
        self.agent.chmod(0o755)

    def make(self):
        self.remove()
        for host in self.hosts:
            ip("netns", "add", host)
        here, there = self.hosts
        ip("link", "add", "wire", "netns", here, "type", "veth", "peer", "name", "wire", "netns", there)
        names = "127.0.0.1 localhost\n" + "".join(f"{SUBNET}.{i} {host}\n" for i, host in enumerate(self.hosts, 1))
        for i, host in enumerate(self.hosts, 1):
            etc = Path("/etc/netns") / host
            etc.mkdir(parents=True)
            (etc / "hosts").write_text(names)
            ip("-n", host, "address", "add", f"{SUBNET}.{i}/24", "dev", "wire")
            ip("-n", host, "link", "set", "lo", "up")
        self.mend()
        subprocess.run([self.agent, here, "hostname"], check=True, capture_output=True)

    def cut(self):
        ip("-n", self.hosts[1], "link", "set", "wire", "down")

    def mend(self):
        for host in self.hosts:
            ip("-n", host, "link", "set", "wire", "up")
        time.sleep(0.5)  # until the two know each other again

    def processes(self):
        return [int(pid) for host in self.hosts for pid in ip("netns", "pids", host).split()]

    def remove(self):
        """These hosts, and those of a test that was killed."""
        for host, pid in re.findall(rf"^({NAME}(\d+)[ab])\b", ip("netns", "list"), re.MULTILINE):
            if host not in self.hosts and Path(f"/proc/{pid}").exists():
                continue
            for inside in ip("netns", "pids", host).split():
                os.kill(int(inside), signal.SIGKILL)
            ip("netns", "delete", host)
            shutil.rmtree(Path("/etc/netns") / host, ignore_errors=True)


class TwoHosts(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.network = Network(cls.folder)
        cls.addClassCleanup(cls.network.remove)
        try:
            cls.network.make()
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            raise unittest.SkipTest(f"no network namespaces can be made here: {error}") from None
        cls.host_file = cls.folder / "hosts"
        cls.host_file.write_text("# the tests'\n" + "".join(f"{host} slots=2\n" for host in cls.network.hosts))

    def start(self, sweep, output, sets=()):
        """launch/hosts.sh on the first host, its log in a file."""
        flags = (f"--mca plm_rsh_agent {self.network.agent} --mca btl tcp,self --mca mpi_yield_when_idle 1 "
                 f"--mca btl_tcp_if_include {SUBNET}.0/24 --mca oob_tcp_if_include {SUBNET}.0/24")
        _, *arguments = sweep.arguments("run", output, sets)
        command = shlex.join(map(str, [REPOSITORY / "launch/hosts.sh", self.host_file, *arguments]))
        with open(self.folder / f"{output}.log", "w") as log:
            # No pipe: what might stay behind would hold it open.
            return subprocess.Popen([self.network.agent, self.network.hosts[0], command], text=True,
                                    stdout=log, stderr=log, start_new_session=True,
                                    env={**ENVIRONMENT, "KVCOMM_MPIRUN_FLAGS": flags, "TMPDIR": str(self.folder)})

    def finish(self, process, output, code=0):
        outcome = finished(process)
        outcome.log = (self.folder / f"{output}.log").read_text()
        return self.check(outcome, code)

    def test_lanes_within_a_host_and_across_hosts_answer_as_one_process(self):
        sweep = self.sweep("equal", run=f"timeout_s = {TIMEOUT_S}")
        self.check(sweep.run("one"))
        here, there = self.network.hosts
        for placement, lane in (("pack", (here, here)), ("spread", (here, there))):
            with self.subTest(placement=placement):
                log = self.finish(self.start(sweep, placement, [f"run.placement={placement}"]), placement).log
                sender, receiver = lane
                self.assertRegex(log, rf"Lane 0: sender is rank 0 \([^)]* on {sender}\), "
                                      rf"receiver rank \d \([^)]* on {receiver}\)")
                self.assertEqual(rows(sweep.results(placement)), rows(sweep.results("one")))

    def test_a_cut_link_ends_the_job_everywhere_and_the_same_command_goes_on(self):
        sweep = self.sweep("cut", records=demo_records(50), run=f"timeout_s = {TIMEOUT_S}\nbatch = 2")
        self.check(sweep.run("alone"))
        process = self.start(sweep, "cut", ["run.placement=spread"])
        self.wait_for(lambda: sweep.samples_stored("cut") > 10, process, "rows")
        since = time.monotonic()
        self.network.cut()
        log = self.finish(process, "cut", ENVIRONMENT_CODE).log
        self.assertLess(time.monotonic() - since, TIMEOUT_S + BEAT_S + GRACE_S + 5, log)
        self.assertRegex(log, rf"[Rr]ank \d \(\w+ of lane \d\) on {self.network.hosts[1]}.* gave no sign of life for 3")
        self.assertIn("a host or the way to it is gone", log)
        while self.network.processes() and time.monotonic() - since < TIMEOUT_S + BEAT_S + GRACE_S + 10:
            time.sleep(0.2)
        self.assertEqual(self.network.processes(), [], "of ranks, mpirun or its daemon on the other host")
        self.network.mend()
        stored = sweep.samples_stored("cut")
        self.assertLess(stored, len(rows(sweep.results("alone"))))
        self.finish(self.start(sweep, "cut", ["run.placement=spread"]), "cut")
        self.assertEqual(rows(sweep.results("cut")), rows(sweep.results("alone")))

    def test_a_host_file_must_say_how_many_ranks_a_host_takes(self):
        for text, named in (("node7\n", "node7"), ("# none\n", "no host"), ("node7 slots=0\n", "node7")):
            (self.folder / "bad").write_text(text)
            refused = subprocess.run([REPOSITORY / "launch/hosts.sh", self.folder / "bad", "sweep.toml"], text=True,
                                     capture_output=True)
            self.assertEqual(refused.returncode, USAGE, refused.stderr)
            self.assertIn(named, refused.stderr)


class Stopped(SystemTest):
    """Ranks that are there and do not run."""

    def test_a_sender_that_stops_while_it_generates_is_named_before_its_samples_time_is_over(self):
        # The sender never says its last token, and whatever the receiver says is its last: it waits.
        for name, last in (("endless", [511]), ("brief", list(range(511)))):
            make_model(self.folder / "models/org" / name)
            (self.folder / "models/org" / name / "generation_config.json").write_text(json.dumps({"eos_token_id": last}))
        sweep = self.sweep("nld", NLD, demo_records(8), pair_table("org/endless", "org/brief"),
                           run=f"timeout_s = {TIMEOUT_S}\nbatch = 8")
        process = sweep.start("nld", 2)
        self.wait_for(lambda: 0 in children(process.pid) and sweep.journal_lines("nld"), process, "a journal")
        time.sleep(1.5)  # well into what the sender says
        since = time.monotonic()
        os.kill(children(process.pid)[0], signal.SIGSTOP)
        log = self.check(finished(process, timeout_s=8 * TIMEOUT_S), ENVIRONMENT_CODE).log
        self.assertLess(time.monotonic() - since, TIMEOUT_S + BEAT_S + 5, log)
        self.assertRegex(log, r"Waited .* for the header of the tokens message .* from rank 0 \(sender of lane 0\) on "
                              r".*, which gave no sign of life for 3")

    def test_a_lane_that_stops_is_named_with_what_it_had_in_hand(self):
        sweep = self.sweep("lane", NLD + method_table("skyline"), demo_records(200),
                           run=f"timeout_s = {TIMEOUT_S}\nbatch = 2\nmax_input_tokens = 40000")
        process = sweep.start("lane", 4)
        self.wait_for(lambda: sweep.samples_stored("lane") > 4, process, "rows")
        for rank in (2, 3):
            os.kill(children(process.pid)[rank], signal.SIGSTOP)
        log = self.check(finished(process), ENVIRONMENT_CODE).log
        self.assertRegex(log, r"Rank [23] \((sender|receiver) of lane 1\) on .* gave no sign of life for 3.* "
                              r"Its lane had 2 samples of demo by .* in hand")


class Launcher(unittest.TestCase):
    """What the launch scripts do with an mpirun that does not end."""

    def test_it_is_ended_after_its_ranks(self):
        script = REPOSITORY / "launch/common.sh"
        # In the place of mpirun: a rank of it ends, another child does not.
        job = "setsid bash -c 'OMPI_COMM_WORLD_RANK=0 sleep 2; sleep 300 & sleep 300' & job=$!"
        begin = time.monotonic()
        outcome = subprocess.run(["bash", "-c", f"set -euo pipefail; source '{script}'; {job}; outlived=''; "
                                  "await_job \"$job\"; echo \"$job $outlived\""], capture_output=True, text=True,
                                 timeout=3 * GRACE_S)
        pid, outlived = outcome.stdout.split()
        self.assertEqual(outlived, "yes", outcome.stderr)
        self.assertGreater(time.monotonic() - begin, GRACE_S)
        running = subprocess.run(["pgrep", "--session", pid, "--runstates", "RSDT"], capture_output=True, text=True)
        self.assertEqual(running.stdout, "", "of its session")


if __name__ == "__main__":
    main()
