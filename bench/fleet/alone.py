"""Whether this process has the machine to itself, as a measurement needs it: verified on the node, not believed.

Engines promise much and mean less: Ray's resources are logical only, its workers are nice and have one OpenMP thread;
Slurm's `--exclusive` gives the node, and an affinity by `--cpus-per-task`.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import cache, cgroup, host, nvml

LOAD_WINDOW_SECONDS = 0.5
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "TORCH_NUM_THREADS")
DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""Variables by which engines share a node among tasks; a task that has all of it needs none of them."""


@dataclass(frozen=True)
class Standing:
    """What was found on the node.

    Attributes:
        cores: that this process may use.
        online: that the machine has.
        quota: of the cgroup, in cores; None if there is none.
        other_cores: that other processes kept busy during a short window; None where the system does not tell.
        variables: those of THREADS and DEVICES that are set.
        gpus: UUID -> ids of the processes on it, where NVML tells.
    """

    cores: int
    online: int
    quota: float | None
    niceness: int
    other_cores: float | None
    variables: Mapping[str, str]
    gpus: Mapping[str, tuple[int, ...]]


def observe() -> Standing:
    """How things stand now; takes `LOAD_WINDOW_SECONDS`."""
    before = host.moment(host.CORES or None)
    time.sleep(LOAD_WINDOW_SECONDS)
    found = host.between(before, host.moment(host.CORES or None))
    return Standing(
        cores=len(host.CORES) or os.cpu_count() or 1,
        online=os.cpu_count() or 1,
        quota=cgroup.quota(),
        niceness=os.getpriority(os.PRIO_PROCESS, 0),
        other_cores=found["other_cores"],
        variables={name: os.environ[name] for name in (*THREADS, *DEVICES) if os.environ.get(name)},
        gpus=gpus(),
    )


def gpus() -> dict[str, tuple[int, ...]]:
    """UUID -> ids of the processes that compute on it; empty where there is no NVIDIA driver."""
    count = nvml.query("nvmlDeviceGetCount") if not nvml.initialised().reason else nvml.initialised()
    found = {}
    for index in range(0 if count.reason else count.value):
        handle = nvml.query("nvmlDeviceGetHandleByIndex", index)
        uuid = handle if handle.reason else nvml.query("nvmlDeviceGetUUID", handle.value)
        if not uuid.reason:
            found[str(uuid.value)] = tuple(nvml.Gpu(handle.value).processes().value or ())
    return found


def problems(
    found: Standing, wanted: Mapping[str, str], *, whole_node: bool, max_other_cores: float, own: Collection[int] = ()
) -> list[str]:
    """Why nothing is to be measured as things stand; empty where it may be.

    Args:
        wanted: variables that were asked for; any other of THREADS and DEVICES is somebody else's word.
        own: ids of the processes that may be on the GPUs.
    """
    strange = [f"{name}={value}" for name, value in found.variables.items() if wanted.get(name) != value]
    busy = {uuid: sorted({*pids} - {*own}) for uuid, pids in found.gpus.items()}
    reasons = {
        f"niceness is {found.niceness}: others go before it": found.niceness > 0,
        f"{found.cores} of {found.online} cores only": whole_node and found.cores < found.online,
        f"a cgroup's quota of {found.quota} cores": (
            whole_node and found.quota is not None and found.quota < found.cores
        ),
        f"variables that nobody asked for: {', '.join(strange)}": bool(strange),
        f"co-running processes use {found.other_cores or 0:.1f} cores": (found.other_cores or 0.0) > max_other_cores,
        **{f"process {pids[0]} is on {uuid}" if pids else uuid: bool(pids) for uuid, pids in busy.items()},
    }
    return [reason for reason, holds in reasons.items() if holds]


@contextlib.contextmanager
def hold_cores(wait_seconds: float, cores: Collection[int] | None = None) -> Iterator[str]:
    """Hold this machine's `cores` against every other task of dlhw; the value is why they could not be had, or empty.

    A lock a core, taken in ascending order: two tasks that share one core wait for one another, and two that do not
    run at the same time.
    """
    files = []
    try:
        deadline = time.monotonic() + wait_seconds
        taken = ""
        for core in sorted(host.CORES if cores is None else cores):
            files.append(_lock_file(core))
            taken = taken or (
                "" if _lock(files[-1].fileno(), deadline) else f"core {core} is measured on by another task"
            )
        yield taken
    finally:
        for file in files:
            file.close()


def _lock_file(core: int):  # type: ignore[no-untyped-def]
    return (cache.temporary_folder() / f"dlhw-core-{core}-{os.getuid()}.lock").open("a")


def _lock(file: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        else:
            return True


def await_quiet(
    wanted: Mapping[str, str], wait_seconds: float, *, whole_node: bool, max_other_cores: float
) -> tuple[Standing, list[str]]:
    """Observe until nothing is in the way or the time is over: what was found last, and what is in the way."""
    deadline = time.monotonic() + wait_seconds
    while True:
        found = observe()
        reasons = problems(found, wanted, whole_node=whole_node, max_other_cores=max_other_cores)
        if not reasons or time.monotonic() > deadline:
            return found, reasons
        time.sleep(LOAD_WINDOW_SECONDS)


def differing(wanted: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """`torch 2.14.1 here, 2.15.0 wanted`, for each version that is not as wanted."""
    return [
        f"{name} {here.get(name, 'absent')} here, {version} wanted"
        for name, version in wanted.items()
        if here.get(name) != version
    ]


def clean(variables: Mapping[str, str], wanted: Mapping[str, str], dropped: Sequence[str]) -> dict[str, str]:
    """The environment for a measuring process: without what an engine set (`dropped`), with what was asked for."""
    return {**{name: value for name, value in variables.items() if name not in dropped}, **wanted}


def scratch(name: str) -> Path:
    """A private folder for a task's own files, below the temporary ones.

    Not named by the process's id: a killed task leaves its folder, and a container or a restart gives ids anew.
    """
    return Path(tempfile.mkdtemp(prefix=f"dlhw-{name}-", dir=cache.temporary_folder()))
