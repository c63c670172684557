"""Transfers, launches, queue and overlap, on a device that works behind its host, in virtual time."""

import contextlib
from types import SimpleNamespace

import pytest
import torch

from bench.worker.micro import accelerator
from bench.worker.micro.prepared import Order
from bench.worker.nets.correctness import Unsuitable
from bench.worker.timing import clock
from bench.worker.timing.clock import AcceleratorClock
from suites.case import Budget
from suites.micro import Micro
from tests.support.devices import MS

BUDGET = Budget(min_samples=6, min_seconds=0, max_seconds=1.0, warmup_seconds=1.0)
LAUNCH, KERNEL, PRODUCT = MS / 64, MS / 4, 8 * MS
LATENCY, PINNED, PAGEABLE, INTERNAL = MS / 8, 2.0**33, 2.0**31, 2.0**39


class Gpu:
    """Two engines, one that computes and one that copies, each with a queue; the host may be `depth` launches ahead.

    Pinned memory is copied behind the host's back, other memory while the host waits.
    """

    def __init__(self, host, depth=1024, engines=2):
        self.host, self.depth, self.engines = host, depth, engines
        self.free = {"compute": 0.0, "copy": 0.0}
        self.ends = []  # of what was launched and is not known to be done
        self.side = False
        self.begin_side = 0.0

    def _queue(self, engine, seconds):
        self.host.time += LAUNCH
        self.ends = [end for end in self.ends if end > self.host.time]
        if len(self.ends) >= self.depth:
            self.host.time = sorted(self.ends)[len(self.ends) - self.depth]
        engine = engine if self.side and self.engines == 2 else "compute"
        begin = max(self.free[engine], self.host.time, self.begin_side if self.side else 0.0)
        self.free[engine] = begin + seconds
        self.ends.append(self.free[engine])

    def buffer(self, octets, *, on_device, pinned=False):
        return SimpleNamespace(octets=octets, place="device" if on_device else "pinned" if pinned else "pageable")

    def copy(self, target, source):
        places = {target.place, source.place}
        rate = PAGEABLE if "pageable" in places else PINNED if "pinned" in places else INTERNAL
        self._queue("copy", LATENCY + source.octets / rate)
        if "pageable" in places:
            self.synchronise()

    def kernel(self, elements):
        return lambda: self._queue("compute", KERNEL)

    def product(self, side):
        return lambda: self._queue("copy" if self.side else "compute", PRODUCT)  # the side queue is the other engine

    def synchronise(self):
        self.host.time = max(self.host.time, *self.free.values())

    @contextlib.contextmanager
    def beside(self):
        self.begin_side, self.side = self.free["compute"], True
        yield
        self.side = False

    def join(self):
        self.free["compute"] = max(self.free.values())

    def event(self):
        return Event(self)


class Event:
    """Read before the device has got there, it is as wrong as the host's time then."""

    def __init__(self, gpu):
        self.gpu = gpu

    def record(self):
        self.at = max(self.gpu.free["compute"], self.gpu.host.time)

    def elapsed_time(self, other):
        now = self.gpu.host.time
        return (min(other.at, now) - min(self.at, now)) * 1e3


@pytest.fixture
def host(monkeypatch):
    host = SimpleNamespace(time=0.0)
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: host.time))
    return host


@pytest.fixture
def figure(host, monkeypatch):
    """Measures an operation on a `Gpu`; its figure in its metric."""

    def figure(operation, variant, size, **kind):
        gpu = Gpu(host, **kind)
        monkeypatch.setattr(accelerator, "device_of", lambda order: gpu)
        monkeypatch.setattr(
            "bench.worker.micro.prepared.clock_for", lambda name: AcceleratorClock(gpu.event, gpu.synchronise)
        )
        case = Micro(
            operation=operation, variant=variant, size=(size,), precision="fp32", device="cuda:0", threads=1
        )  # fmt: skip
        ready = getattr(accelerator, operation)(Order(case, None, contextlib.ExitStack()))
        measured = ready.measure("cuda:0", BUDGET, 1e6)
        (step,) = set(measured.samples.seconds)
        return measured.amount / step if measured.metric.endswith("_per_second") else step / measured.amount

    return figure


@pytest.mark.parametrize(
    ("variant", "rate"),
    [
        ("h2d_pinned", PINNED),
        ("d2h_pinned", PINNED),
        ("h2d_pageable", PAGEABLE),
        ("d2h_pageable", PAGEABLE),
        ("d2d", INTERNAL),
    ],
)
def test_a_transfers_bandwidth_has_its_latency_in_it(figure, variant, rate):
    extra = LAUNCH if variant.endswith("pageable") else 0.0  # nothing can be queued behind it
    for octets in (2**12, 2**30):
        assert figure("transfer", variant, octets) == octets / (LATENCY + octets / rate + extra)


def test_a_launch_costs_the_host_less_than_the_wait_for_its_end(figure):
    assert figure("launch", "enqueue", 1) == LAUNCH
    assert figure("launch", "synchronise", 1) == LAUNCH + KERNEL


def test_a_launch_that_finds_the_queue_full_waits(figure):
    assert figure("queue", "", 64, depth=64) == LAUNCH
    assert figure("queue", "", 128, depth=64) > 10 * LAUNCH  # half of them wait for a product each
    assert figure("queue", "", 4096, depth=64) == pytest.approx(PRODUCT, rel=0.03)


@pytest.mark.parametrize(("engines", "together"), [(2, max), (1, lambda *parts: sum(parts))])
def test_copying_beside_computing_takes_as_long_as_the_longer_where_the_device_can(figure, engines, together):
    octets = 2**25
    parts = [figure("overlap", variant, octets, engines=engines) for variant in ("compute", "copy")]
    assert parts == [PRODUCT, LATENCY + octets / PINNED]
    both = figure("overlap", "both", octets, engines=engines)
    assert both == pytest.approx(together(*parts), abs=3 * LAUNCH)


def test_a_result_read_too_early_would_be_caught(host):
    gpu = Gpu(host)
    product = gpu.product(64)
    first, second = gpu.event(), gpu.event()
    first.record()
    product()
    second.record()
    assert first.elapsed_time(second) < PRODUCT * 1e3
    gpu.synchronise()
    assert first.elapsed_time(second) == pytest.approx((PRODUCT + LAUNCH) * 1e3)


def test_two_products_take_as_long_as_one_where_the_device_can(figure):
    one = figure("overlap", "compute", 2**25)
    assert figure("overlap", "products", 2**25) == pytest.approx(one, abs=3 * LAUNCH)  # one is on the copying engine
    assert figure("overlap", "products", 2**25, engines=1) == pytest.approx(2 * one, abs=3 * LAUNCH)


def _no_streams(name):
    raise NotImplementedError("no streams here\nmore words")


@pytest.mark.parametrize(("make", "why"), [(_no_streams, ": no streams here"), (lambda name: "the only one", "")])
def test_a_device_without_a_second_stream_says_so(monkeypatch, make, why):
    monkeypatch.setattr(torch, "Stream", make)
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda name: "the only one")
    device = accelerator.TorchDevice("mps:0")
    with pytest.raises(Unsuitable, match=f"^mps:0 has no second stream, so nothing runs beside{why}$"):
        device.beside()


def test_pages_of_the_host_are_there_before_they_are_timed():
    device = object.__new__(accelerator.TorchDevice)  # its stream needs a device; a buffer of the host does not
    buffer = device.buffer(4096, on_device=False)
    assert (buffer.device.type, buffer.numel() * buffer.element_size(), int(buffer.sum())) == ("cpu", 4096, 4096)
