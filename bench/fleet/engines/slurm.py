"""Slurm as an engine, through submitit; `dlhw[slurm]`. The fleet's folder is shared by all nodes.

`--exclusive` and `--mem=0` give a job the node; that they did is verified by the node's process. Slurm restarts nothing
by itself here (`--no-requeue`). What a job says is in a file of the shared folder; the jobs that a killed controller
left are ended by the one that resumes.
"""

import contextlib
import io
import json
import shlex
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.fleet.node import PARENT
from bench.fleet.task import ROOT, Node, Run, Task
from suites.errors import DlhwError

POLL_SECONDS = 1.0
GRACE_SECONDS = 3.0
"""Shared folders show late what another machine has written."""
USABLE = ("idle", "alloc", "mix", "comp", "plan", "resv")
DROPPED_PREFIXES = ("SLURM_", "SBATCH_", "SRUN_")


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise DlhwError(
            '--engine slurm: submitit is not installed here; pip install "dlhw[slurm]", or pip install submitit'
        ) from error
    return submitit


def _ask(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    except FileNotFoundError as error:
        raise DlhwError(f"--engine slurm: there is no {command[0]} on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise DlhwError(f"--engine slurm: {command[0]} did not answer within a minute") from error
    except subprocess.CalledProcessError as error:
        raise DlhwError(f"--engine slurm: {command[0]}: {error.stderr.strip()}") from error


class SlurmRun:
    """A job, and the file that it writes to."""

    def __init__(self, job: str, out: Path) -> None:
        self.job = job
        self._out, self._place = out, 0
        self._asked = 0.0
        self._gone_since: float | None = None
        self._state = "PENDING"

    def lines(self) -> list[str]:
        """As `Run` says."""
        if not self._out.is_file():
            return []
        with self._out.open("rb") as file:
            file.seek(self._place)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._place += len(whole) + len(newline)
        return [line for line in whole.decode(errors="replace").split("\n") if line]

    def ended(self) -> str | None:
        """As `Run` says."""
        now = time.monotonic()
        if now - self._asked >= POLL_SECONDS:
            self._asked = now
            self._state = _state(self.job)
        if self._state in {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED"}:
            self._gone_since = None
            return None
        self._gone_since = self._gone_since or now
        if now - self._gone_since < GRACE_SECONDS:
            return None
        return "" if self._state == "COMPLETED" else f"job {self.job} ended: {self._state.lower().replace('_', ' ')}"

    def cancel(self) -> None:
        """As `Run` says."""
        cancel([self.job])
        deadline = time.monotonic() + 30
        while _state(self.job) in {"RUNNING", "COMPLETING"} and time.monotonic() < deadline:
            time.sleep(0.5)


def _state(job: str) -> str:
    """Slurm's word; `GONE` where it has forgotten the job."""
    try:
        found = _ask("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}").split()
    except DlhwError:
        return "GONE"
    return found[0] if found else "GONE"


def cancel(jobs: Sequence[str]) -> None:
    """End jobs that may have ended already."""
    if jobs:
        with contextlib.suppress(DlhwError):
            _ask("scancel", *jobs)


class Slurm:
    """The nodes of a partition.

    Args:
        folder: of the fleet, on a file system that all nodes share.
        partition: None: Slurm's default.
        minutes: time limit of a job.
        packed: a dlhw that the nodes run in the place of their own, unpacked below `folder`; None: this one, by its
            path, which they all have.
    """

    whole_node = True

    def __init__(self, folder: Path, partition: str | None, minutes: int, packed: bytes | None = None) -> None:
        submitit = _submitit()
        self._folder = (folder / "slurm").absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._partition = partition
        self._minutes = minutes
        self._refusal = submitit.core.utils.FailedJobError
        self._executor = submitit.SlurmExecutor(folder=self._folder, python=sys.executable, max_num_timeout=0)
        self._root = ROOT
        if packed is not None:
            self._root = self._folder / "dlhw"
            zipfile.ZipFile(io.BytesIO(packed)).extractall(self._root)
        self._jobs = self._folder / "jobs.txt"
        if self._jobs.is_file():  # those that a killed controller left
            cancel(self._jobs.read_text().split())
            self._jobs.unlink()

    def nodes(self) -> list[Node]:
        """As `Engine` says."""
        chosen = ["-p", self._partition] if self._partition else []
        lines = _ask("sinfo", "--noheader", "--Node", "--format=%N|%t|%c|%m|%f|%G|%P", *chosen).split("\n")
        found = {}
        for line in filter(None, lines):
            name, state, cores, megabytes, features, gres, partition = line.split("|")
            default = self._partition or partition.endswith("*")
            if default and state.rstrip("*~#!%$@^-").startswith(USABLE) and not state.endswith("*"):
                declared = f"{cores} cores, {megabytes} MB, {features}, {gres}"
                found[name] = Node(name, name, declared, int(cores), _gpus(gres))
        return list(found.values())

    def start(self, node: Node, task: Task) -> Run:
        """As `Engine` says."""
        source, out = (self._folder / f"{task.attempt}.{end}" for end in ("task.json", "out.jsonl"))
        source.write_text(json.dumps(task.to_json()), encoding="utf-8")
        self._executor.update_parameters(
            exclusive=True, mem="0", nodes=1, ntasks_per_node=1, cpus_per_task=node.cores, time=self._minutes,
            setup=[f"export PYTHONPATH={shlex.quote(str(self._root))}${{PYTHONPATH:+:$PYTHONPATH}}"],
            job_name=f"dlhw-{task.attempt}", **({"partition": self._partition} if self._partition else {}),
            additional_parameters={
                "nodelist": node.address, "no_requeue": True, **({"gres": f"gpu:{node.gpus}"} if node.gpus else {})
            },
        )  # fmt: skip
        try:
            job = self._executor.submit(serve, str(source), str(out), str(self._root))
        except self._refusal as error:
            raise DlhwError(f"--engine slurm: sbatch: {str(error).strip()}") from error
        with self._jobs.open("a") as file:
            file.write(f"{job.job_id}\n")
        return SlurmRun(str(job.job_id), out)

    def close(self) -> None:
        """Nothing of ours is left: each run was awaited or cancelled."""
        self._jobs.unlink(missing_ok=True)


def serve(source: str, out: str, root: str) -> int:
    """In a job: the node's process, clean of what Slurm and submitit set."""
    import os

    environment = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED_PREFIXES)}
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        environment.pop(name, None)
    command = [sys.executable, "-P", "-m", "bench.fleet.node", source, out]
    environment |= {"PYTHONPATH": root, PARENT: str(os.getpid())}
    return subprocess.run(command, check=False, env=environment).returncode


def _gpus(gres: str) -> int:
    """`gpu:h100:8(S:0-1)` are 8."""
    counts = [part.partition("(")[0].rpartition(":")[2] for part in gres.split(",") if part.startswith("gpu")]
    return sum(int(count) for count in counts if count.isdigit())
