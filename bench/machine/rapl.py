"""Energy of CPU packages, by the kernel's powercap interface (RAPL): readable by root alone since CVE-2020-8694."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.machine.nvml import Reading

ROOT = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Zone:
    """One package's counter, which starts again from 0 after `range_joules`."""

    path: Path
    range_joules: float


def zones(root: Path = ROOT) -> Reading:
    """The packages' zones; cores and memory are parts of them, and not counted again."""
    paths = sorted(path for path in root.glob("intel-rapl:*") if path.name.count(":") == 1)
    if not paths:
        return Reading(reason="this machine shows no RAPL counters (virtual machines usually do not)")
    try:
        found = tuple(Zone(path, int((path / "max_energy_range_uj").read_text()) / 1e6) for path in paths)
        for zone in found:
            int((zone.path / "energy_uj").read_text())
    except PermissionError:
        return Reading(reason=f"{paths[0]}/energy_uj is readable by root alone")
    except (OSError, ValueError) as error:
        return Reading(reason=f"{paths[0]}: {error}")
    return Reading(found)


def read(found: tuple[Zone, ...]) -> Mapping[Zone, float]:
    """Joules on each counter now.

    Raises:
        OSError, ValueError: a counter cannot be read any more.
    """
    return {zone: int((zone.path / "energy_uj").read_text()) / 1e6 for zone in found}


def joules_between(before: Mapping[Zone, float], after: Mapping[Zone, float]) -> float:
    """Energy from `before` to `after`, no more than one turn of any counter apart."""
    return sum((after[zone] - joules) % zone.range_joules if after[zone] < joules else after[zone] - joules
               for zone, joules in before.items())  # fmt: skip
