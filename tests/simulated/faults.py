"""Mistakes put into dlhw on purpose, and what a case then seems to take; run where torch has a simulated device."""

import contextlib
import functools
import itertools
import json
import os
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import torch
import torch._dynamo  # each child would import it: a dispatch mode does

from bench.worker import memory
from bench.worker.events import Events
from bench.worker.nets import workload
from bench.worker.nets.measure import Measurer
from bench.worker.nets.reference import Reference
from bench.worker.nets.workload import Workload
from bench.worker.timing import sampling
from bench.worker.timing.clock import AcceleratorClock
from suites.case import Budget, Case
from tests.simulated.predict import prepared

BUDGET = Budget(precision=0.5, min_samples=3, min_seconds=0.01, max_seconds=0.05, warmup_seconds=0.05)
_infer, _set_precision = Workload._infer, workload.set_precision


def no_synchronising():
    """The clock does not wait for the device."""
    return mock.patch.object(torch.accelerator, "synchronize")


def an_event_read_too_early():
    """The clock reads events whose place in the queue has not been reached."""

    def samples(self, step, steps_per_sample, count):
        events = [self._new_event() for _ in range(count + 1)]
        for event in events:
            event.record()
            step()
        return [first.elapsed_time(last) / 1e3 for first, last in itertools.pairwise(events)]

    return mock.patch.object(AcceleratorClock, "samples", samples)


def the_peak_is_not_reset():
    """Peak memory is that of whatever came before, too."""
    return mock.patch.object(memory, "reset_accelerator")


def short_windows():
    """A clock that tells nonsense makes for very many steps: fewer of them."""
    return mock.patch.multiple(sampling, WINDOW_SECONDS=1e-4, BLOCK_SECONDS=1e-6, OVERHEAD=0.1)


@contextlib.contextmanager
def another_devices_events():
    """The case's device is not made the current one, and events are in the current device's queue."""

    def clock_for(device, before=None):
        new_event = lambda: torch.Event(device.partition(":")[0], enable_timing=True)  # noqa: E731
        return AcceleratorClock(new_event, lambda: torch.accelerator.synchronize(device), before)

    with (
        mock.patch.object(torch.accelerator, "set_device_index"),
        mock.patch("bench.worker.nets.measure.clock_for", clock_for),
    ):
        yield


def copies_within_the_step():
    """The inputs come from the host in each step."""

    def infer(self, inputs):
        return _infer(self, inputs.map(lambda tensor: tensor.cpu().to(self.case.device)))

    return mock.patch.object(Workload, "_infer", infer)


def no_work():
    """A step that does nothing."""
    return mock.patch.object(Workload, "step")


def tf32_left_on():
    """Whatever the label, the switches are on."""
    return mock.patch.object(workload, "set_precision", side_effect=lambda _: _set_precision("tf32"))


def switches_untouched():
    """They are as torch has them, who lets cuDNN's convolutions round."""
    return mock.patch.object(workload, "set_precision", return_value={})


FAULTS = {
    "none": contextlib.nullcontext, "no synchronising": no_synchronising,
    "an event read too early": an_event_read_too_early, "the peak is not reset": the_peak_is_not_reset,
    "another device's events": another_devices_events, "copies within the step": copies_within_the_step,
    "a step without its work": no_work, "TF32 left on": tf32_left_on, "TF32 as torch has it": switches_untouched,
}  # fmt: skip


def measured(case_id, fault, reference):
    """Median seconds and peak bytes of a case; or why there are none."""
    case = Case.parse(case_id)
    with short_windows(), Path(os.devnull).open("w") as events, FAULTS[fault]():
        try:
            record = Measurer(Events(events.fileno()), case, BUDGET, reference).run(once=False)
        except Exception as error:  # noqa: BLE001 - whatever the mistake leads to
            return {"reason": f"{type(error).__name__}: {error}"}
    if record.seconds is None or not record.seconds:
        return {"reason": record.outcome.reason}
    return {"seconds": sorted(record.seconds)[len(record.seconds) // 2], "peak": record.memory.peak_allocated_bytes}


def in_a_child(case_id, fault):
    """The same in a process of its own: nothing that a mistake leaves behind is there for the next."""
    reference = prepared_in_a_child(case_id)
    return told_by_a_child(lambda: measured(case_id, fault, reference))


@functools.cache
def prepared_in_a_child(case_id):
    """No fork is to follow what starts threads."""
    return Reference(**told_by_a_child(lambda: asdict(prepared(Case.parse(case_id)))))


def told_by_a_child(find):
    """What `find` returns in a process of its own, as JSON gives it back."""
    receive, send = os.pipe()
    if os.fork() == 0:
        try:
            os.write(send, json.dumps(find()).encode())
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        told = pipe.read()
    os.wait()
    return json.loads(told)
