"""A GPU's power limit, set for a case and restored on every way out; `bench.machine.guardian` holds it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import guardian, nvml
from suites.errors import DlhwError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Limit:
    """A limit that is held.

    Attributes:
        watts: what it should be; None: nothing was asked for.
        problem: why it is not held.
    """

    device: Mapping[str, Any]
    watts: float | None = None
    problem: str = ""

    def read_back(self) -> str:
        """Why the limit is not what it should be, now that a case has ended; empty where it is."""
        if self.watts is None:
            return ""
        gpu = nvml.gpu_of(self.device["uuid"])
        now = gpu if gpu.reason else gpu.value.power_limit()
        if now.reason:
            return f"its power limit could not be read back: {now.reason}"
        return "" if now.value == self.watts else f"its power limit is {now.value:g} W, not {self.watts:g} W"


def ranges(devices: Iterable[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Device -> the least and the most watts that it can be limited to; none where the driver does not say."""
    found = {device["name"]: (device.get("nvml") or {}).get("power_limit_range_watts") for device in devices}
    return {name: (limits[0], limits[1]) for name, limits in found.items() if limits}


@contextmanager
def limited(device: Mapping[str, Any], watts: float | None) -> Iterator[Limit]:
    """Hold the device's power limit inside; with None do nothing.

    Raises:
        DlhwError: the limit that there was before could not be set again.
    """
    if watts is None:
        yield Limit(device)
        return
    if not device.get("uuid"):
        yield Limit(device, watts, f"the power limit of {device['name']} is not to be had: no driver is known for it")
        return
    answer: dict[str, Any] = {}
    process = _start(device["uuid"], watts)
    try:
        answer = _line(process)
        problem = answer.get("problem", "the process that holds it has ended")
        yield Limit(device, watts, f"the power limit cannot be set: {problem}" if problem else "")
    finally:
        _release(process, device, answer.get("before"))


def _start(uuid: str, watts: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "bench.machine.guardian", uuid, str(watts)], start_new_session=True, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))},
    )  # fmt: skip


def _line(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    return dict(json.loads(line)) if line else {}


def _release(process: "subprocess.Popen[str]", device: Mapping[str, Any], before: float | None) -> None:
    """Have the limit restored; do it here where the one who held it was killed."""
    assert process.stdin is not None
    process.stdin.close()
    told = _line(process) if before is not None else {}
    process.wait()
    if before is None:
        return
    problem = told.get("problem")
    if problem is None:
        gpu = nvml.gpu_of(device["uuid"])
        problem = gpu.reason or guardian.restore(gpu.value, before)
    if problem:
        raise DlhwError(
            f"the power limit of {device['name']} could not be set back to {before:g} W ({problem}): "
            f"nvidia-smi -pl {before:g} as root does"
        )
