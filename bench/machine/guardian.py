"""A process that holds a GPU's power limit: `python -m bench.machine.guardian UUID WATTS`.

It sets the limit, tells what came of it as a line of JSON, and sets it back when its stdin ends: however the one who
asked has ended, by SIGKILL even. Signals of a terminal do not reach it.
"""

import contextlib
import json
import os
import signal
import sys
from typing import Any

from bench.machine import nvml


def main() -> None:
    """Hold the limit until stdin ends."""
    uuid, watts = sys.argv[1], float(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    found = nvml.gpu_of(uuid)
    if found.reason:
        tell(problem=found.reason)
        return
    gpu, before = found.value, found.value.power_limit()
    if problem := before.reason or _set(gpu, watts):
        tell(problem=problem)
        return
    try:
        tell(problem="", before=before.value)
        sys.stdin.read()
    finally:
        problem = restore(gpu, before.value)
    tell(problem=problem)


def _set(gpu: nvml.Gpu, watts: float) -> str:
    """Why it could not be set; empty where it was."""
    if gpu.sliced:
        return "the device is a slice, and the limit would be the whole GPU's"
    return gpu.set_power_limit(watts).reason


def restore(gpu: nvml.Gpu, watts: float) -> str:
    """Set the limit that there was before; why that is not so now, empty where it is."""
    done = gpu.set_power_limit(watts)
    now = gpu.power_limit()
    if done.reason or now.reason:
        return done.reason or now.reason
    return "" if now.value == watts else f"it is {now.value:g} W now"


def tell(**facts: Any) -> None:
    """One line for whoever asked, if there still is anyone."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{json.dumps(facts)}\n".encode())


if __name__ == "__main__":
    main()
