"""What a device draws when it has nothing to do, and the energy above that."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench.machine import nvml
from bench.machine.nvml import Gpu, Reading
from bench.machine.sensors import PERIOD_SECONDS
from suites import units

WINDOW_SECONDS = 3.0
SETTLING_SECONDS = 1.0
"""Most GPUs tell the mean of the last second."""
BUSY = 0.05


def idle_power(device: Mapping[str, Any], sleep: Callable[[float], None] = time.sleep) -> dict[str, Any]:
    """Of a device that `bench.worker.environment` described; None with its reason where it cannot be told.

    The median of the driver's readings over a window in which nobody computes on it. A GPU that a process holds ready
    draws more: that share counts as the work's.
    """
    gpu = nvml.gpu_of(device["uuid"]) if device.get("uuid") else Reading(reason=f"no sensors for {device['name']}")
    found = gpu if gpu.reason else _watched(gpu.value, sleep)
    return {
        "idle_power_watts": found.value, "idle_window_seconds": None if found.reason else WINDOW_SECONDS,
        "idle_source": None if found.reason else "NVML, median of readings", "idle_reason": found.reason,
    }  # fmt: skip


def _watched(gpu: Gpu, sleep: Callable[[float], None]) -> Reading:
    sleep(SETTLING_SECONDS)
    watts = []
    for _ in range(round(WINDOW_SECONDS / PERIOD_SECONDS)):
        state = gpu.state()
        if state["power_watts"].reason:
            return state["power_watts"]
        if not state["utilisation"].reason and state["utilisation"].value > BUSY:
            return Reading(reason=f"somebody used {100 * state['utilisation'].value:.0f}% of it")
        watts.append(state["power_watts"].value)
        sleep(PERIOD_SECONDS)
    others = gpu.processes()
    if not others.reason and others.value:
        return Reading(reason=f"{units.count(len(others.value), 'process')} computed on it")
    return Reading(statistics.median(watts))


def above_idle(sensors: Mapping[str, Any], idle: Mapping[str, Any]) -> dict[str, Any]:
    """What `sensors` gains by `idle`: the window's energy less what it would have drawn anyway."""
    joules, watts = sensors.get("energy_joules"), idle.get("idle_power_watts")
    if joules is None or watts is None:
        reason = (sensors.get("reason") or "no energy was counted") if joules is None else idle.get("idle_reason")
        return {**idle, "energy_above_idle_joules": None, "above_idle_reason": reason}
    above = joules - watts * sensors["window_seconds"]
    if above <= 0:
        reason = f"it drew no more than the {watts:.0f} W of the idle device"
        return {**idle, "energy_above_idle_joules": None, "above_idle_reason": reason}
    return {**idle, "energy_above_idle_joules": above, "above_idle_reason": ""}
