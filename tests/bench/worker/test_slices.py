"""One half of a pair: what a slowdown put in on purpose does, on the host and on a device that works behind it."""

import contextlib
import statistics

import pytest

from bench.worker import slices
from bench.worker.slices import Ready, _timed
from bench.worker.timing import clock
from bench.worker.timing.clock import AcceleratorClock, HostClock
from tests.support.devices import MS, Device


class Host:
    def __init__(self):
        self.time = 0.0

    def perf_counter(self):
        self.time += 2**-30  # asking takes a moment, or waiting would never end
        return self.time


@pytest.fixture
def host(monkeypatch):
    found = Host()
    monkeypatch.setattr(clock.time, "perf_counter", found.perf_counter)
    assert slices.time is clock.time
    return found


def ready(step, clock_, device, group=1):
    return Ready(step, clock_, device, contextlib.nullcontext, "x.py", group=group)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5])
def test_on_the_host_each_step_is_followed_by_waiting(host, share):
    def step():
        host.time += 4 * MS

    found = _timed(ready(step, HostClock(), "cpu"), 5, share)
    assert found == pytest.approx([4 * MS * (1 + share)] * 5, rel=1e-4)


@pytest.mark.parametrize(("share", "group"), [(0.0, 1), (0.05, 20), (0.1, 10), (0.3, 3)])
def test_a_device_gets_a_step_too_many_in_each_group(host, share, group):
    device = Device(host, launch=MS / 8, kernels=[4 * MS])
    found = _timed(
        ready(device.step, AcceleratorClock(device.event, device.synchronise), "cuda:0"), 60, share
    )  # fmt: skip
    assert statistics.median(found) == pytest.approx(4 * MS * (1 + (1 / group if share else 0)), rel=1e-6)
    assert len(found) == 60 // group


def test_very_short_steps_share_a_sample(host):
    def step():
        host.time += MS / 1024

    found = _timed(ready(step, HostClock(), "cpu", group=50), 200, 0.0)
    assert len(found) == 4
    assert found == pytest.approx([MS / 1024] * 4, rel=1e-2)
