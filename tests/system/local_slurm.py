"""A Slurm of one's own: two nodes with two GPUs each, so it believes, on this machine, below a folder."""

import atexit
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
NODES = ("one", "two")
CPUS = 8  # of each node, whatever the machine has
GPUS = ("/dev/null", "/dev/zero")  # any devices; nothing computes on them
ENDED = ("CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "TIMEOUT")

CONFIGURATION = """
ClusterName=kvcomm
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
TmpFS={folder}/tmp-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
KillWait=10
KillOnBadExit=1
GresTypes=gpu
PartitionName=all Default=YES Nodes=ALL MaxTime=INFINITE State=UP
"""


def missing():
    """Why there can be no Slurm here; empty where there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons want root here"
    # Debian has them in /usr/sbin, which not every PATH has.
    absent = [name for name in (*DAEMONS, *COMMANDS) if not program(name)]
    return f"there is no {', '.join(absent)} (Debian's packages slurm-wlm and munge)" if absent else ""


def program(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def end_with_parent():
    """In a child: TERM when the test is gone, however it ended."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class LocalSlurm:
    """Its daemons run until stop(). `environment` leads Slurm's commands to it."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.environment = {**environment, "SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons = []

    def start(self):
        atexit.register(self.stop)  # of a test that is interrupted, too
        self._configure()
        socket_ = self.folder / "munge.socket"
        # By force: the folder's own folder may be open to its owner alone, which munged holds for a mistake.
        self._daemon("munged", "--foreground", "--force", f"--socket={socket_}", f"--key-file={self.folder}/munge.key",
                     f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log",
                     f"--seed-file={self.folder}/munged.seed")
        self._wait_for(socket_.exists, "socket of munged")
        self._daemon("slurmctld", "-D", "-c")
        for node in NODES:
            self._daemon("slurmd", "-D", "-N", node)
        self._wait_for(lambda: self.call("sinfo", "--noheader", "--format=%t%D", check=False).stdout.split() == ["idle2"],
                       "two idle nodes")

    def _configure(self):
        (self.folder / "state").mkdir(parents=True)
        for node in NODES:
            for name in ("spool", "tmp"):
                (self.folder / f"{name}-{node}").mkdir()
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        host = socket.gethostname()
        ports = free_ports(1 + len(NODES))
        nodes = "".join(f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} "
                        f"Gres=gpu:{len(GPUS)}\n" for node, port in zip(NODES, ports[1:]))
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, ports=ports, folder=self.folder) + nodes)
        (self.folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in GPUS))

    def _daemon(self, name, *arguments):
        with open(self.folder / f"{name}.out", "a") as out:
            self.daemons.append(subprocess.Popen([program(name), *arguments], stdout=out, stderr=out,
                                                 env=self.environment, preexec_fn=end_with_parent))

    def _wait_for(self, condition, what, timeout_s=20):
        end = time.monotonic() + timeout_s
        while not condition():
            if any(daemon.poll() is not None for daemon in self.daemons) or time.monotonic() > end:
                raise RuntimeError(f"no {what}: {self.said()}")
            time.sleep(0.1)

    def said(self):
        """The daemons' last words."""
        logs = [*self.folder.glob("*.out"), *self.folder.glob("*.log")]
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-800:]}" for log in sorted(logs))

    def stop(self):
        """Ends what it started: the jobs by Slurm, the daemons and any step that stays behind by their ids."""
        if not self.daemons:
            return
        try:
            self.call("scancel", "--user=root", check=False)
            self._wait_for(lambda: not self.call("squeue", "--noheader").stdout, "empty queue")
        except (RuntimeError, subprocess.SubprocessError):
            pass  # ended below
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons = []
        for pid in self._left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _left(self):
        ours = f"SLURM_CONF={self.folder}/slurm.conf".encode()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and ours in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
            except OSError:
                continue

    def call(self, command, *arguments, check=True, **options):
        """One of Slurm's commands, or a script that uses them."""
        return subprocess.run([str(command), *map(str, arguments)], text=True, capture_output=True, check=check, timeout=60,
                              env=self.environment, **options)

    def job(self, number):
        """What `scontrol show job` says of one, as a dictionary."""
        told = self.call("scontrol", "--oneliner", "show", "job", number).stdout
        return dict(item.split("=", 1) for item in told.split() if "=" in item)
