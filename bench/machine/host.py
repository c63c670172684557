"""What else the host did while something ran, by the kernel's counters; and how not to outlive a parent."""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.machine import cgroup

CORES = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset[int]()
"""Cores that this process was given; empty where the system has no affinities.

Read before anything imports torch: where OMP_PROC_BIND is set, its OpenMP binds the thread that loads it to one place.
"""
_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Moment:
    """Counters at one time, in seconds; the cores' are None where the kernel does not tell them.

    Attributes:
        busy_seconds: of all cores and all processes.
        stolen_seconds: in which the hypervisor ran other machines though this one had work.
        all_seconds: busy, idle and stolen.
        own_seconds: of this process.
        own_switches: involuntary context switches of this process's threads.
        own_faults: page faults of this process that needed no disk: memory that the kernel mapped anew.
        own_system_seconds: of `own_seconds`, in which the kernel worked for this process.
        throttled_seconds: in which a quota stopped this process's group, added up over cores.
    """

    at_seconds: float
    own_seconds: float
    own_switches: int
    busy_seconds: float | None = None
    stolen_seconds: float | None = None
    all_seconds: float | None = None
    throttled_seconds: float | None = None
    own_faults: int = 0
    own_system_seconds: float = 0.0


def moment(of_cores: Collection[int] | None = None) -> Moment:
    """The counters now; of these cores, where they are named, else of all that the kernel has.

    A container that may use some cores sees the load of all the host's: what disturbs it is on its own.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    own = usage.ru_utime + usage.ru_stime
    cores = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        cores = _cores(_STAT.read_text(), of_cores)
    return Moment(
        time.perf_counter(), own, usage.ru_nivcsw, **cores, throttled_seconds=cgroup.throttled_seconds(),
        own_faults=usage.ru_minflt, own_system_seconds=usage.ru_stime,
    )  # fmt: skip


def between(before: Moment, after: Moment) -> dict[str, float | None]:
    """What happened meanwhile, by the names that `bench.records.record.Launch` has for it."""
    seconds = after.at_seconds - before.at_seconds
    if seconds <= 0:
        return dict.fromkeys(("stolen_share", "other_cores", "switches_per_second", "throttled_share"))
    every, stolen = _growth(before.all_seconds, after.all_seconds), _growth(before.stolen_seconds, after.stolen_seconds)
    busy, own = _growth(before.busy_seconds, after.busy_seconds), after.own_seconds - before.own_seconds
    return {
        "stolen_share": stolen / every if stolen is not None and every else None,
        "other_cores": None if busy is None else max(0.0, busy - own) / seconds,
        "switches_per_second": (after.own_switches - before.own_switches) / seconds,
        "throttled_share": _share(_growth(before.throttled_seconds, after.throttled_seconds), own, seconds),
    }


def kernel_between(before: Moment, after: Moment) -> dict[str, float | None]:
    """What the kernel did for this process meanwhile, by `bench.records.record.Launch`'s names."""
    seconds = after.at_seconds - before.at_seconds
    if seconds <= 0:
        return dict.fromkeys(("page_faults_per_second", "system_cores"))
    return {
        "page_faults_per_second": (after.own_faults - before.own_faults) / seconds,
        "system_cores": (after.own_system_seconds - before.own_system_seconds) / seconds,
    }


def _share(throttled: float | None, own: float, seconds: float) -> float | None:
    """Of the window; of several threads at once, of the time in which they ran or would have."""
    return None if throttled is None else throttled / max(seconds, own + throttled)


def _cores(stat: str, of_cores: Collection[int] | None) -> dict[str, float]:
    """Lines of /proc/stat (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal."""
    names = {"cpu"} if of_cores is None else {f"cpu{core}" for core in of_cores}
    ticks = [line.split()[1:9] for line in stat.splitlines() if line.partition(" ")[0] in names]
    if len(ticks) != len(names) or not ticks:
        return {}
    tick_seconds = 1 / os.sysconf("SC_CLK_TCK")
    user, nice, system, idle, iowait, irq, softirq, steal = (
        sum(map(int, counts)) * tick_seconds for counts in zip(*ticks, strict=True)
    )
    busy = user + nice + system + irq + softirq
    return {"busy_seconds": busy, "stolen_seconds": steal, "all_seconds": busy + idle + iowait + steal}


def _growth(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def end_with_parent(parent: int) -> None:
    """Ask the kernel for SIGKILL at the parent's death, which may have come already (prctl(2)); Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def fastest_cores() -> tuple[int, ...]:
    """Cores that this process may use, without those of a processor's slower kind; empty where none can be chosen."""
    hertz = {core: _highest_hertz(core) for core in sorted(CORES)}
    return tuple(core for core in hertz if hertz[core] == max(hertz.values()))


def _highest_hertz(core: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(Path(f"/sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq").read_text())
    return 0


def stay_on(cores: Collection[int]) -> None:
    """Bind all threads of this process to `cores`; nothing where there are none to choose from."""
    if cores and hasattr(os, "sched_setaffinity"):
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # a thread may have ended since
                os.sched_setaffinity(int(task.name), cores)


@contextlib.contextmanager
def all_cores() -> Iterator[None]:
    """Let this thread, and so what it starts, use all cores that the process was given: OpenMP may have bound it."""
    if not CORES:
        yield
        return
    bound = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):  # some may have been taken away since
        os.sched_setaffinity(0, CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, bound)
