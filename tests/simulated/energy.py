"""What the driver's library tells of simulated devices that work: run where torch has them, and the loader the library.

Power is 50 W, and 300 W while a device works (driver.c). All time is the simulation's.
"""

import contextlib
import time
from unittest import mock

import torch

from bench.machine import nvml, sensors
from bench.machine.nvml import Gpu
from bench.worker import environment

SIZE = 512
"""Of a square product: one of them is a step, on one image."""


def by_index():
    """A mistake: the handle is asked for by torch's number, but the driver counts otherwise."""

    def gpu_of(uuid):
        ready = nvml.initialised()
        return ready if ready.reason else nvml.query("nvmlDeviceGetHandleByIndex", int(uuid[4:12], 16)).map(Gpu)

    return mock.patch.object(nvml, "gpu_of", gpu_of)


def watched(index, seconds, *, rest=0.0, fault=contextlib.nullcontext):
    """What is told of a device that makes steps for so long and then rests; and its busy seconds."""
    torch.accelerator.set_device_index(index)
    left = torch.zeros(SIZE, SIZE, device=f"sim:{index}")
    out = torch.empty_like(left)
    torch.accelerator.synchronize()
    with fault():
        watch = sensors.watch_for(environment.devices()[1 + index], time.perf_counter)
        before = torch.sim.counters(index)["seconds"]
        watch.phase("energy")
        end, steps = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            torch.mm(left, left, out=out)
            steps += 1
            watch.tick()
            torch.accelerator.synchronize()
        torch.sim.sleep(rest)
        watch.phase("reporting")
        busy = torch.sim.counters(index)["seconds"] - before
        found = watch.summary(steps, None)
        return {**found, "busy_seconds": busy, "noise": sensors.noise(found)}
