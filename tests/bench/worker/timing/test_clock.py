"""Clocks on virtual time: a host whose readings cost, and a device that works behind it."""

import itertools
from types import SimpleNamespace

import pytest

from bench.worker.timing import clock, sampling
from bench.worker.timing.clock import AcceleratorClock, EnqueueClock, HostClock, clock_for
from suites.case import Budget
from tests.support.devices import MS, Device


@pytest.fixture
def host(monkeypatch):
    """The host's time; each reading of it takes `reading` seconds."""
    host = SimpleNamespace(time=0.0, reading=0.0)

    def perf_counter():
        host.time += host.reading
        return host.time - host.reading

    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=perf_counter))
    return host


def check(clock_class, host, launch, kernel):
    """All that a clock for a queue has to get right, on a device that is still busy with something else."""
    device = Device(host, launch, [kernel])
    timer = clock_class(device.event, device.synchronise)
    for steps in (1, 3):
        device.step()
        assert timer.samples(device.step, steps, 4) == [max(launch, kernel)] * 4
        assert host.time >= device.free
        device.step()
        assert timer.synchronised(device.step, 2) == [launch + kernel] * 2
    device.step()
    assert timer.now() == device.free


@pytest.mark.parametrize(("launch", "kernel"), [(1 * MS, 8 * MS), (MS, MS), (8 * MS, 1 * MS)])
def test_a_sample_is_the_devices_own_time_or_the_hosts_where_that_is_slower(host, launch, kernel):
    check(AcceleratorClock, host, launch, kernel)


class NeverSynchronises(AcceleratorClock):
    def __init__(self, new_event, synchronise):
        super().__init__(new_event, lambda: None)


class ReadsTooEarly(AcceleratorClock):
    def samples(self, step, steps_per_sample, count):
        events = [self._new_event() for _ in range(count + 1)]
        step()
        events[0].record()
        seconds = []
        for first, second in itertools.pairwise(events):
            for _ in range(steps_per_sample):
                step()
            second.record()
            seconds.append(first.elapsed_time(second) / 1e3 / steps_per_sample)
        self._synchronise()
        return seconds


class ReadsTheHost(AcceleratorClock):
    def samples(self, step, steps_per_sample, count):
        return HostClock().samples(step, steps_per_sample, count)


class LetsTheQueueRunDry(AcceleratorClock):
    def samples(self, step, steps_per_sample, count):
        seconds = []
        for _ in range(count):
            first, second = self._new_event(), self._new_event()
            self._synchronise()
            first.record()
            for _ in range(steps_per_sample):
                step()
            second.record()
            self._synchronise()
            seconds.append(first.elapsed_time(second) / 1e3 / steps_per_sample)
        return seconds


class CountsTheStepAhead(AcceleratorClock):
    def samples(self, step, steps_per_sample, count):
        events = [self._new_event() for _ in range(count + 1)]
        self._synchronise()
        events[0].record()
        step()
        for event in events[1:]:
            for _ in range(steps_per_sample):
                step()
            event.record()
        self._synchronise()
        return [a.elapsed_time(b) / 1e3 / steps_per_sample for a, b in itertools.pairwise(events)]


class LatencyWithoutAnEnd(AcceleratorClock):
    def synchronised(self, step, count):
        self._synchronise()
        return HostClock().samples(step, 1, count)


class LatencyOfWhatWasThereBefore(AcceleratorClock):
    def synchronised(self, step, count):
        def waited_for():
            step()
            self._synchronise()

        return HostClock().samples(waited_for, 1, count)


class NowWithoutWaiting(AcceleratorClock):
    def now(self):
        return clock.time.perf_counter()


@pytest.mark.parametrize(
    "broken",
    [
        NeverSynchronises, ReadsTooEarly, ReadsTheHost, LetsTheQueueRunDry, CountsTheStepAhead, LatencyWithoutAnEnd,
        LatencyOfWhatWasThereBefore, NowWithoutWaiting,
    ],
)  # fmt: skip
def test_a_broken_clock_would_be_caught(host, broken):
    with pytest.raises(AssertionError):
        check(broken, host, MS, 8 * MS)


def test_samples_are_in_the_order_of_time_and_leave_the_step_ahead_out(host):
    device = Device(host, MS, [32 * MS, 4 * MS, 8 * MS, 16 * MS])
    timer = AcceleratorClock(device.event, device.synchronise)
    assert timer.samples(device.step, 1, 3) == [4 * MS, 8 * MS, 16 * MS]
    assert timer.samples(device.step, 2, 2) == [6 * MS, 24 * MS]


def test_sampling_on_a_device(host):
    device = Device(host, MS, [8 * MS])
    found = sampling.sample(device.step, AcceleratorClock(device.event, device.synchronise), Budget())
    assert set(found.seconds) == {8 * MS}
    assert found.warm_up.step_seconds == 8 * MS
    assert found.stop_reason == "precision"
    assert found.synchronised_seconds == (9 * MS,) * min(50, len(found.seconds))


def test_what_asking_costs_is_timed_from_an_empty_queue(host):
    device = Device(host, MS, [8 * MS])
    timer = EnqueueClock(device.synchronise)
    device.step()
    assert timer.samples(device.step, 3, 4) == [MS] * 4
    assert host.time == device.free
    assert timer.synchronised(device.step, 2) == []
    device.step()
    assert timer.now() == device.free


def test_one_step_a_sample_is_enough_where_several_would_fill_the_queue(host):
    assert sampling.calibrate(1e-6, EnqueueClock(lambda: None, alone=True).overhead_seconds) == 1
    assert sampling.calibrate(1e-6, EnqueueClock(lambda: None).overhead_seconds) > 1


@pytest.mark.parametrize(
    "make",
    [
        lambda device: HostClock(),
        lambda device: AcceleratorClock(device.event, device.synchronise),
        lambda device: EnqueueClock(device.synchronise),
    ],
    ids=["host", "accelerator", "enqueue"],
)
def test_a_clock_tells_beforehand_how_many_steps_it_takes(host, make):
    device, steps = Device(host, MS, [MS]), []
    timer = make(device)
    assert len(timer.samples(lambda: steps.append(device.step()), 3, 4)) == 4
    assert len(steps) == 3 * 4 + timer.steps_ahead


def test_the_host_clock_gives_the_mean_of_a_samples_steps(host):
    durations = iter([MS, 3 * MS, 2 * MS, 8 * MS])

    def step():
        host.time += next(durations)

    assert HostClock().samples(step, 2, 2) == [2 * MS, 5 * MS]
    assert HostClock().synchronised(step, 3) == []


def test_the_host_clock_knows_what_its_readings_add(host):
    host.reading = MS
    timer = HostClock()
    (seconds,) = timer.samples(lambda: None, 1, 1)
    assert seconds == MS
    assert timer.overhead_seconds == pytest.approx(MS, rel=0.01)


def test_each_kind_of_device_has_its_clock():
    assert isinstance(clock_for("cpu"), HostClock)
    assert isinstance(clock_for("cuda:0"), AcceleratorClock)
