"""What the cgroups of this process let it have of the cores, and for how long they stopped it: versions 1 and 2.

A quota holds for a group and all below it, so the own group and every parent that can be seen is read. Paths are
arguments, so that a tree of files can stand for a kernel's.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc/self")


@dataclass(frozen=True)
class Mount:
    """Where a hierarchy of groups can be seen.

    Attributes:
        root: the group that lies at `folder`; another than `/` in a container, or by a bind mount.
    """

    version: int
    root: str
    folder: Path


@cache
def groups(proc: Path = PROC) -> tuple[tuple[int, Path], ...]:
    """(version, folder) of each group that may limit this process: its own and their parents, of both versions."""
    try:
        own, mounts = _own_groups((proc / "cgroup").read_text()), _mounts((proc / "mountinfo").read_text())
    except OSError:
        return ()
    found = [
        (mount.version, folder)
        for mount in mounts
        if mount.version in own
        for folder in _upwards(mount, own[mount.version])
    ]
    return tuple(dict.fromkeys(found))


def quota(proc: Path = PROC) -> float | None:
    """The cores that this process may keep busy at a time, by the smallest quota over it; None if there is none."""
    found = (_quota(version, folder) for version, folder in groups(proc))
    return min((cores for cores in found if cores is not None), default=None)


def throttled_seconds(proc: Path = PROC) -> float | None:
    """For how long quotas have stopped cores that had work, added up over cores and groups; None if none tells."""
    found = [seconds for _, folder in groups(proc) if (seconds := _throttled(folder)) is not None]
    return sum(found) if found else None


def _own_groups(text: str) -> dict[int, str]:
    """Version -> the group that this process is in; of version 1 in the hierarchy of the CPU (cgroups(7))."""
    found = {}
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            found[2] = path
        elif "cpu" in controllers.split(","):
            found[1] = path
    return found


def _mounts(text: str) -> Iterator[Mount]:
    """The hierarchies that can limit the CPU, of the lines of mountinfo (proc(5))."""
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        _, _, _, root, folder, *_ = fields.split()
        kind, _, *options = rest.split()
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in ",".join(options).split(",")):
            yield Mount(2 if kind == "cgroup2" else 1, _unescaped(root), Path(_unescaped(folder)))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _upwards(mount: Mount, group: str) -> Iterator[Path]:
    """The folder of `group` and those of its parents, as far as the mount shows them.

    A group that does not lie below what is mounted cannot be seen; what can is the best that there is.
    """
    root = mount.root.rstrip("/")
    inside = group.removeprefix(root) if group == root or group.startswith(f"{root}/") else ""
    if ".." in inside.split("/"):  # seen from a namespace that it is not in
        inside = ""
    folder = mount.folder / inside.lstrip("/")
    while folder != mount.folder:
        yield folder
        folder = folder.parent
    yield mount.folder


def _quota(version: int, folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        if version == 2:
            amount, period = (folder / "cpu.max").read_text().split()
        else:
            amount, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return int(amount) / int(period) if amount != "max" and int(amount) > 0 else None
    return None


def _throttled(folder: Path) -> float | None:
    """Version 2 counts microseconds, version 1 nanoseconds."""
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "cpu.stat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name in {"throttled_usec", "throttled_time"}:
                return int(count) * (1e-6 if name == "throttled_usec" else 1e-9)
    return None
