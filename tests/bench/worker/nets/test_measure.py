"""A case's whole way on an accelerator, with everything ours and the device a fake one on virtual time."""

import contextlib
import json
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from bench.records.record import Check, Compile, Outcome, Status
from bench.worker import events, memory
from bench.worker.events import Events
from bench.worker.nets import correctness, measure
from bench.worker.nets.reference import Reference
from bench.worker.timing import clock
from bench.worker.timing.clock import AcceleratorClock
from suites.case import Budget
from tests.support.devices import MS, Allocator, Device
from tests.support.samples import LENET

CASE = replace(LENET, device="cuda:0", threads=torch.get_num_threads())
BUDGET = Budget(min_seconds=0.0, max_seconds=1.0, energy_seconds=6.0)
WEIGHTS, CHECKING, ACTIVATIONS = 1000, 9000, 500


class Work:
    """A net whose step is a kernel of 8 ms that needs memory meanwhile; its check needs more."""

    parameter_bytes = WEIGHTS
    refresh = None
    notes: dict = {}  # noqa: RUF012

    def __init__(self, device, allocator, error=0.0):
        self.device, self.allocator, self.error = device, allocator, error
        allocator.allocate(WEIGHTS)

    @contextlib.contextmanager
    def context(self):
        yield

    def step(self):
        self.allocator.allocate(ACTIVATIONS)
        self.device.step()
        self.allocator.free(ACTIVATIONS)

    def compare(self, tensors):
        self.allocator.allocate(CHECKING)
        self.device.step()
        self.allocator.free(CHECKING)
        return Check(relative_error=self.error, tolerance=1e-5, reference="outputs of fp64 eager, 4 images")


@pytest.fixture
def run(monkeypatch):
    """Measures with a fake device below; returns the record and the phases that were told."""
    host = SimpleNamespace(time=0.0)
    device, allocator = Device(host, MS, [8 * MS]), Allocator()

    def run(*, once=False, error=0.0, case=CASE):
        now = SimpleNamespace(perf_counter=lambda: host.time)
        for module in (clock, events, measure):
            monkeypatch.setattr(module, "time", now)
        for name in ("empty_cache", "reset_peak_memory_stats", "max_memory_allocated", "max_memory_reserved"):
            monkeypatch.setattr(torch.accelerator, name, getattr(allocator, name))
        monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: None)
        monkeypatch.setattr(
            measure, "clock_for", lambda name, before: AcceleratorClock(device.event, device.synchronise)
        )
        monkeypatch.setattr(correctness, "load", lambda path: {"state": {}})
        monkeypatch.setattr(measure.workload, "workload", lambda case, tensors: Work(device, allocator, error))
        reference = Reference(
            path="", parameters=61706, convolutions=True, forward_flops_per_image=833_040, step_flops_per_image=833_040
        )
        read, write = os.pipe()
        record = measure.Measurer(Events(write), case, BUDGET, reference).run(once)
        os.close(write)
        with os.fdopen(read) as lines:
            told = [json.loads(line) for line in lines if line.strip()]
        return record, [event["name"] for event in told]

    return run


def test_samples_are_the_devices_and_latency_is_what_a_caller_waits(run):
    record, _ = run()
    assert record.outcome == Outcome(Status.MEASURED)
    assert set(record.seconds) == {8 * MS}
    assert set(record.sampling.synchronised_seconds) == {9 * MS}
    assert record.sampling.clock == "device events"
    assert record.sampling.launches[0].samples == len(record.seconds) == len(record.sampling.synchronised_seconds)
    assert record.flops.step == 8 * 833_040
    assert record.traffic.operators == 11
    assert record.counts.dispatched == 16
    assert record.counts.flops == record.flops.step
    assert (record.counts.graphs, record.counts.kernels) == (None, None)


def test_memory_is_of_stepping_and_not_of_the_check_before(run):
    record, _ = run()
    assert record.memory.peak_allocated_bytes == WEIGHTS + ACTIVATIONS
    assert record.memory.peak_reserved_bytes == WEIGHTS + ACTIVATIONS
    assert record.memory.parameter_bytes == WEIGHTS
    assert record.sampling.launches[0].peak_bytes == WEIGHTS + ACTIVATIONS


@pytest.mark.parametrize("forgotten", ["empty_cache", "reset_peak_memory_stats"])
def test_a_forgotten_reset_would_be_caught(run, forgotten, monkeypatch):
    def reset(device):
        for name in {"empty_cache", "reset_peak_memory_stats"} - {forgotten}:
            getattr(torch.accelerator, name)(*([device] if name.startswith("reset") else []))

    monkeypatch.setattr(memory, "reset_accelerator", reset)
    record, _ = run()
    wanted = WEIGHTS + ACTIVATIONS
    assert (record.memory.peak_allocated_bytes, record.memory.peak_reserved_bytes) != (wanted, wanted)


def test_the_energy_window_holds_steps_and_nothing_else(run):
    record, phases = run()
    assert phases == ["building", "checking", "sampling", "energy", "reporting", "counting work"]
    assert record.sensors["window_steps"] == 768
    assert record.cost["energy"] == 6.0 + MS, "768 kernels of 8/1024 s, and one launch ahead of the first"


def test_a_wrong_result_is_not_timed(run):
    record, phases = run(error=1e-3)
    assert record.outcome.status == Status.WRONG_RESULT
    assert record.seconds == ()
    assert "sampling" not in phases


@pytest.mark.parametrize("search", ["on", "off"])
def test_the_search_for_algorithms_is_as_the_label_says_and_recorded_as_read_back(run, monkeypatch, search):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", search == "off")  # it was the other way before
    record, _ = run(case=replace(CASE, cudnn_benchmark=search))
    assert record.backends["cudnn.benchmark"] is (search == "on")


def test_a_search_that_something_switches_back_fails_the_case(run, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    step = Work.step

    def switching(self):
        torch.backends.cudnn.benchmark = False
        step(self)

    monkeypatch.setattr(Work, "step", switching)
    record, _ = run(case=replace(CASE, cudnn_benchmark="on"))
    assert record.outcome.status == Status.FAILED
    assert "cudnn.benchmark is False, not True" in record.outcome.reason


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_a_recorded_steps_memory_is_that_of_recording(run, monkeypatch, mode):
    """Replays allocate nothing: what they showed would be no step's memory."""
    net = SimpleNamespace(load_state_dict=lambda state: None)

    def record_step(work, clock):
        work.step()
        monkeypatch.setattr(Work, "step", lambda self: self.device.step())
        return Compile(seconds=0.5, graph_breaks=0, cached=False, graphs=1)

    monkeypatch.setattr(Work, "net", net, raising=False)
    monkeypatch.setattr(measure.compilation, "recorded", record_step)
    record, phases = run(case=replace(CASE, compile_mode="cuda-graph", mode=mode))
    assert record.outcome == Outcome(Status.MEASURED)
    assert "recording" in phases
    assert record.memory.peak_allocated_bytes == WEIGHTS + ACTIVATIONS
    assert record.notes["memory"] == "peak memory is that of recording the graph: replays allocate nothing"
    assert record.compile.graphs == 1


def test_once_stops_before_sampling(run):
    record, phases = run(once=True)
    assert record.outcome.status == Status.SKIPPED
    assert phases == ["building", "checking"]
