"""Mistakes put in on purpose, and which of the selftest's lines they fail; run where torch has a simulated device."""

import contextlib
import os
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import torch

from bench.records.record import Outcome, Status
from bench.selftest import judge
from bench.worker import memory, selftest
from bench.worker.events import Events
from bench.worker.nets import building
from bench.worker.outcomes import outcome_of
from bench.worker.timing.clock import AcceleratorClock
from suites.case import Case
from tests.simulated import faults

DEVICE = "sim:0"
MEMORY_BYTES = 2**28
PRECISIONS = ("fp32", "bf16", "fp16", "amp_bf16", "amp_fp16")
CASE = Case.parse(f"resnet18-inference-b1-fp32-channels_last-eager-{DEVICE}-t1")
_samples, _peak = AcceleratorClock.samples, memory.accelerator_peak


def a_label_that_is_not_true():
    """bf16 is asked for, and fp32 computes."""
    types = {"fp16": torch.float16}
    return mock.patch.multiple(
        selftest.workload, cast_dtype=lambda name: types.get(name, torch.float32),
        autocast=lambda name, device: torch.autocast("sim", torch.float16, enabled=name == "amp_fp16"),
    )  # fmt: skip


def a_slow_clock():
    return mock.patch.object(
        AcceleratorClock, "samples", lambda *arguments: [1.05 * each for each in _samples(*arguments)]
    )


def a_byte_too_many():
    return mock.patch.object(memory, "accelerator_peak", lambda device: (_peak(device)[0] + 1, None))


def layouts_are_left():
    return mock.patch.object(building, "laid_out", lambda tensor, memory_format: tensor)


@contextlib.contextmanager
def no_synchronising():
    """No product lasts then on a host whose time is the device's: the search for one is to end with a small one."""
    with faults.no_synchronising(), mock.patch.object(selftest, "LARGEST_PRODUCT", 256):
        yield


def another_error():
    def empty(*sizes, **options):
        raise RuntimeError("the driver has given up")

    return mock.patch.object(torch, "empty", empty)


FAULTS = {
    "none": contextlib.nullcontext, "no synchronising": no_synchronising,
    "an event read too early": faults.an_event_read_too_early, "a clock that is 5 % off": a_slow_clock,
    "the peak is not reset": faults.the_peak_is_not_reset, "a byte too many": a_byte_too_many,
    "TF32 left on": faults.tf32_left_on, "bf16 is computed in fp32": a_label_that_is_not_true,
    "channels_last is not taken": layouts_are_left, "out of memory by another name": another_error,
}  # fmt: skip
CHECKS = {
    "none": ("agreement", "channels_last"), "channels_last is not taken": ("channels_last",),
    "no synchronising": ("agreement",), "an event read too early": ("agreement",),
    "a clock that is 5 % off": ("agreement",),
}  # fmt: skip
"""Checks that take seconds are made for the faults that they are about; a fault may also be one of a net's."""


def found():
    """Fault -> name of each check -> verdict and text; each in a process of its own, that nothing is left behind."""
    reference = asdict(faults.prepared_in_a_child(CASE.id))
    return {
        fault: faults.told_by_a_child(lambda fault=fault: lines(fault, CHECKS.get(fault, ()), reference))
        for fault in FAULTS
    }


def lines(fault, wanted, reference):
    """Name of each check -> verdict and text."""
    with Path(os.devnull).open("w") as events, FAULTS[fault]():
        found = list(checks(Events(events.fileno()), wanted, reference))
    return {check.name: (check.verdict, check.text) for check in found}


def checks(events, wanted, reference):
    """Those that need no process of their own; each as `bench.selftest.steps` makes it."""
    case = CASE.to_json()
    yield judged("memory", judge.memory, lambda: selftest.memory_peaks(events, DEVICE))
    if "agreement" in wanted:
        yield judged("agreement", judge.agreement, lambda: selftest.agreement(events, DEVICE, 6))
    errors = selftest.precisions(events, DEVICE, PRECISIONS)
    for name in PRECISIONS:
        yield judge.precision(name, DEVICE, errors[name])
    if "channels_last" in wanted:
        yield judged("channels_last", judge.channels_last, lambda: selftest.channels_last(events, case, reference))
    held = selftest.hold(events, DEVICE, 2**20, 0.0)
    yield judge.mapping(DEVICE, {**held, "grown_bytes": {DEVICE: 2**20}})
    yield judged("out of memory", judge.out_of_memory, lambda: selftest.out_of_memory(events, DEVICE, MEMORY_BYTES))


def judged(name, judgement, facts):
    """As the server tells an exception, and the selftest takes it."""
    try:
        return judgement(DEVICE, facts())
    except Exception as error:  # noqa: BLE001 - whatever the mistake leads to
        outcome = outcome_of(error)
        return judge.without_facts(name, DEVICE, Outcome(Status(outcome.status), outcome.reason))
