"""What the hardware says of itself while a case is measured: watched from the controller, outside the measured process.

The measuring process tells its phases; `sampling` is watched for slowdowns, `energy` is the window in which it does
nothing but step, long enough for the counters. `watch_for` gives the watcher of a device.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from bench.machine import nvml, rapl
from bench.machine.nvml import Gpu, Reading
from bench.records.record import Record
from suites import units

PERIOD_SECONDS = 0.1
"""NVML's counters move every 10 to 100 ms; asking more often tells nothing new."""
SHORTEST_WINDOW_SECONDS = 5.0
"""Below it a counter's step and a power reading's lag are too large a share (arXiv 2312.02741)."""
DISAGREEMENT = 0.1
"""Counter and integrated power further apart than this are told as the energy's `reason`."""
SLOWED = 0.01
"""A slowdown for a smaller share of the time does not make a measurement noisy."""
WATCHED = frozenset({"sampling", "energy"})


class Watch(Protocol):
    """Follows one case.

    `period_seconds` is None where there is nothing to ask between the phases' ends.
    """

    period_seconds: float | None

    def phase(self, name: str) -> None:
        """The measuring process has begun the phase `name`."""

    def tick(self) -> None:
        """A period has passed."""

    def summary(self, steps: int | None, pid: int | None) -> dict[str, Any]:
        """What was found, as the record's `sensors`; `steps` were made in the energy window."""


def watch_for(device: Mapping[str, Any], now: Callable[[], float] = time.monotonic) -> Watch:
    """The watcher of a device that `bench.worker.environment` described.

    Whether NVML knows an accelerator is for NVML to say, by the UUID that torch has for it: no other kind's is its.
    """
    if device["name"] == "cpu":
        zones = rapl.zones()
        return Nothing(zones.reason) if zones.reason else RaplWatch(zones.value, now)
    if not device.get("uuid"):
        return Nothing(f"no sensors are known for {device['name']}")
    gpu = nvml.gpu_of(device["uuid"])
    return Nothing(gpu.reason) if gpu.reason else GpuWatch(gpu.value, now)


def facts_of(device: Mapping[str, Any]) -> dict[str, Any]:
    """What the driver adds to a device that `bench.worker.environment` described: nothing without one."""
    if not device.get("uuid"):
        return {}
    gpu = nvml.gpu_of(device["uuid"])
    values, reasons = nvml.split(gpu.value.facts() if not gpu.reason else {"gpu": gpu})
    return {"driver": values.get("driver"), "nvml": values, "nvml_reasons": reasons}


class Nothing:
    """There is nothing to watch, for a reason."""

    period_seconds: float | None = None

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def phase(self, name: str) -> None:
        """Nothing to do."""

    def tick(self) -> None:
        """Nothing to do."""

    def summary(self, steps: int | None, pid: int | None) -> dict[str, Any]:
        """The reason alone."""
        return {"source": None, "energy_joules": None, "reason": self._reason}


class RaplWatch:
    """The packages' energy: the whole processor's, whoever uses it."""

    period_seconds: float | None = None

    def __init__(self, zones: tuple[rapl.Zone, ...], now: Callable[[], float]) -> None:
        self._zones = zones
        self._now = now
        self._begin: tuple[float, Mapping[rapl.Zone, float]] | None = None
        self._energy = Reading(reason="no energy window was measured")
        self._seconds = 0.0

    def phase(self, name: str) -> None:
        """Read the counters where the energy window begins and ends."""
        try:
            if name == "energy":
                self._begin = self._now(), rapl.read(self._zones)
            elif self._begin is not None:
                start, before = self._begin
                self._begin = None
                self._energy = Reading(rapl.joules_between(before, rapl.read(self._zones)))
                self._seconds = self._now() - start
        except (OSError, ValueError) as error:
            self._begin, self._energy = None, Reading(reason=f"RAPL: {error}")

    def tick(self) -> None:
        """Nothing to do."""

    def summary(self, steps: int | None, pid: int | None) -> dict[str, Any]:
        """Energy of the window and its mean power."""
        return {"source": "RAPL, whole packages", **_window(self._energy, self._seconds, steps)}


class GpuWatch:
    """Power, energy, clocks, slowdowns and other processes of one GPU."""

    period_seconds: float | None = PERIOD_SECONDS

    def __init__(self, gpu: Gpu, now: Callable[[], float]) -> None:
        self._gpu = gpu
        self._now = now
        self._phase = ""
        self._states: list[tuple[str, float, dict[str, Any]]] = []
        self._reasons: dict[str, str] = {}
        self._counters: dict[str, tuple[float, dict[str, Any], float, dict[str, Any]]] = {}
        self._begin: tuple[float, dict[str, Any]] = (0.0, {})
        self._pids: set[int] | None = None

    def phase(self, name: str) -> None:
        """Read the counters where a watched phase begins and ends."""
        if self._phase in WATCHED:
            self.tick()
            self._counters[self._phase] = (*self._begin, self._now(), self._read(self._gpu.counters()))
        self._phase = name
        if name in WATCHED:
            self._begin = self._now(), self._read(self._gpu.counters())
            self.tick()

    def tick(self) -> None:
        """Take down the state of the moment."""
        if self._phase in WATCHED:
            self._states.append((self._phase, self._now(), self._read(self._gpu.state())))
            pids = self._read({"processes": self._gpu.processes()}).get("processes")
            if pids is not None:
                self._pids = (self._pids or set()) | set(pids)

    def summary(self, steps: int | None, pid: int | None) -> dict[str, Any]:
        """Medians over what was watched, and the energy of its window."""
        begin, before, end, after = self._counters.get("energy", (0.0, {}, 0.0, {}))
        window = _window(_growth(before, after, "energy_joules", self._reasons), end - begin, steps)
        integrated = self._integrated(window["energy_joules"])
        return {
            "source": "NVML, the whole GPU of a slice" if self._gpu.sliced else "NVML",
            **window,
            **integrated,
            "reason": window["reason"] or _disagreeing(integrated["disagreement"]),
            **self._medians(),
            "temperature_celsius": max(self._values("temperature_celsius"), default=None),
            "throttle_reasons": self._throttled(),
            "other_processes": self._others(pid),
            "power_limit_watts": self._read({"power_limit_watts": self._gpu.power_limit()}).get("power_limit_watts"),
            "reasons": dict(sorted(self._reasons.items())),
        }

    def _read(self, readings: Mapping[str, Reading]) -> dict[str, Any]:
        values, reasons = nvml.split(readings)
        self._reasons |= reasons
        return values

    def _values(self, name: str, phase: str | None = None) -> list[Any]:
        return [values[name] for where, _, values in self._states if name in values and phase in (None, where)]

    def _medians(self) -> dict[str, float | None]:
        names = (
            "sm_clock_hertz",
            "memory_clock_hertz",
            "utilisation",
            "memory_used_bytes",
            "pcie_generation",
            "pcie_width",
        )
        medians = {name: _median(self._values(name)) for name in names}
        return {**medians, "lowest_sm_clock_hertz": min(self._values("sm_clock_hertz"), default=None)}

    def _integrated(self, counted_joules: float | None) -> dict[str, Any]:
        """Energy by power over time, and how far the counter is from it."""
        points = [(at, values["power_watts"]) for where, at, values in self._states
                  if where == "energy" and "power_watts" in values]  # fmt: skip
        if counted_joules is None or len(points) < 2:
            return {"integrated_joules": None, "disagreement": None}
        pairs = list(itertools.pairwise(points))
        joules = sum((later - at) * (watts + next_watts) / 2 for (at, watts), (later, next_watts) in pairs)
        return {"integrated_joules": joules, "disagreement": abs(counted_joules - joules) / counted_joules}

    def _throttled(self) -> dict[str, float]:
        """Slowdown -> share of the watched moments, or of the watched time where the driver counts more."""
        found = self._values("slowdowns")
        shares = {name: sum(name in moment for moment in found) / len(found) for moment in found for name in moment}
        for begin, before, end, after in self._counters.values():
            for name in nvml.SLOWDOWN_COUNTERS.values():
                grown = after.get(name, 0.0) - before.get(name, math.inf)
                if grown > 0 and end > begin:
                    shares[name] = max(shares.get(name, 0.0), grown / (end - begin))
        return shares

    def _others(self, pid: int | None) -> int | None:
        """Processes beside ours; inside a container ours has another id on the host, so one is taken to be it."""
        if self._pids is None:
            return None
        return len(self._pids - {pid}) if pid in self._pids else max(0, len(self._pids) - 1)


def join(record: Record, watch: Watch, pid: int | None) -> Record:
    """`record` with what `watch` saw.

    Args:
        pid: of the process that measured.
    """
    if record.sampling is None:
        return record
    return replace(record, sensors=watch.summary((record.sensors or {}).get("window_steps"), pid))


def noise(sensors: Mapping[str, Any] | None) -> dict[str, str]:
    """Why what the sensors say makes a measurement noisy: kind -> reason in plain words."""
    sensors = sensors or {}
    found = {
        f"throttle {name}": f"the GPU was slowed down for {100 * share:.0f}% of the time ({name})"
        for name, share in sorted((sensors.get("throttle_reasons") or {}).items())
        if share >= SLOWED
    }
    if sensors.get("other_processes"):
        found["company"] = f"{units.count(sensors['other_processes'], 'other process')} computed on the GPU"
    return found


def _window(energy: Reading, seconds: float, steps: int | None) -> dict[str, Any]:
    """What is known of the energy window; energy only where the window was long enough to tell."""
    if not energy.reason and seconds < SHORTEST_WINDOW_SECONDS:
        energy = Reading(reason=f"a window of {seconds:.2g} s is too short; {SHORTEST_WINDOW_SECONDS:g} s is the least")
    if not energy.reason and not energy.value:
        energy = Reading(reason="the energy counter did not move")
    return {
        "energy_joules": energy.value,
        "window_seconds": seconds,
        "window_steps": steps,
        "mean_power_watts": None if energy.reason else energy.value / seconds,
        "reason": energy.reason,
    }


def _disagreeing(share: float | None) -> str:
    if share is None or share <= DISAGREEMENT:
        return ""
    return f"the counter and the integrated power differ by {100 * share:.0f}%"


def _growth(before: Mapping[str, Any], after: Mapping[str, Any], name: str, reasons: Mapping[str, str]) -> Reading:
    if name not in before or name not in after:
        return Reading(reason=reasons.get(name, "no energy window was measured"))
    if after[name] < before[name]:
        return Reading(reason="the counter was reset in the middle of the window")
    return Reading(after[name] - before[name])


def _median(values: list[Any]) -> float | None:
    return statistics.median(values) if values else None
