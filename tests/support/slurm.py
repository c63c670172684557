"""A Slurm of two nodes on this machine, for tests: munged, slurmctld and two slurmd, in a folder of their own."""

import contextlib
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import psutil

from tests.support.waiting import until

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
PARTS = ("slurmctld", "slurmd", "munged", "squeue")
CONF = """
ClusterName=dlhw
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=bf_interval=1,sched_min_interval=0,batch_sched_delay=0,sched_interval=2
ReturnToService=2
SlurmdTimeout=10
KillWait=3
MinJobAge=300
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=2000 State=UNKNOWN
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=2000 State=UNKNOWN
PartitionName=ci Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """What of Slurm is not installed here."""
    return [name for name in PARTS if shutil.which(name, path=PATH) is None]


class Cluster:
    """Started by `with`; `environment` lets Slurm's commands find it."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons = {}

    def __enter__(self):
        for name in ("state", "spool-node1", "spool-node2", "munge"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o711)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        user = "root" if os.getuid() == 0 else os.environ["USER"]
        text = CONF.format(host=platform.node(), user=user, folder=self.folder, ports=free_ports(3))
        (self.folder / "slurm.conf").write_text(text)
        where = {name: f"{self.folder}/munge.{end}" for name, end in
                 (("socket", "sock"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"))}  # fmt: skip
        self._start("munged", "munged", "-F", "--force", f"--key-file={key}",
                    *(f"--{name}={path}" for name, path in where.items()))  # fmt: skip
        until((self.folder / "munge.sock").exists)
        self._start("slurmctld", "slurmctld", "-D", "-c")
        for node in ("node1", "node2"):
            self.start_node(node)
        until(lambda: self.ask("sinfo", "-h", "-o", "%T").split() == ["idle"])
        return self

    def __exit__(self, *_):
        subprocess.run(["scancel", "--user", "root"], env=self.environment, check=False, capture_output=True)
        for name in reversed(self._daemons):
            self.stop(name)

    def _start(self, name, *command):
        with (self.folder / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                command, env={**self.environment, "PATH": PATH}, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def start_node(self, node):
        """Start a node's daemon."""
        self._start(node, "slurmd", "-D", "-N", node)

    def stop(self, name, how=signal.SIGTERM):
        """End a daemon."""
        daemon = self._daemons[name]
        if daemon.poll() is None:
            daemon.send_signal(how)
            daemon.wait(30)

    def lose(self, node, job):
        """As a power cut has it: the node's daemon goes, and its job with all that it started."""
        self.stop(node, signal.SIGKILL)
        ours = f"SLURM_CONF={self.folder / 'slurm.conf'}".encode()
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                if (path / "cmdline").read_bytes().startswith(f"slurmstepd: [{job}.".encode()) and ours in (
                    path / "environ"
                ).read_bytes().split(b"\0"):
                    kill_all(psutil.Process(int(path.name)))

    def exhaust(self, job):
        """Its time limit is now: read back, for a busy controller may refuse. It looks at limits twice a minute."""

        def limited():
            self.ask("scontrol", "update", f"JobId={job}", "EndTime=now")
            return self.ask("squeue", "-h", "-j", job, "-o", "%l").strip() == "1:00"

        until(limited)

    def ask(self, *command):
        """What one of Slurm's commands prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout

    def log(self):
        """What its daemons wrote last, for the message of a test that fails."""
        return "\n".join(f"{path.name}:\n{path.read_text()[-4000:]}" for path in sorted(self.folder.glob("*.log")))


def kill_all(process):
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
