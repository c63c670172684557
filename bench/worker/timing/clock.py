"""Clocks: how long a step takes, by the device that does the work."""

import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol

Step = Callable[[], object]
COLD_READING_SECONDS = 1.5e-6
"""What a reading of the host's clock costs once a step has emptied the caches: many times what it costs in a loop of
readings. Measured 1.2 to 1.5 us after steps of LeNet, where a loop of readings says 0.06 us; `dlhw doctor` measures it.
"""


class Clock(Protocol):
    """Times steps. All times in seconds."""

    name: str
    overhead_seconds: float
    """What taking one sample adds to it."""
    steps_ahead: int
    """Steps that `samples` takes besides those it times."""
    alone: bool
    """Whether something comes before each step that is not timed, and may take longer than the step."""

    def now(self) -> float:
        """Host time, for budgets."""

    def samples(self, step: Step, steps_per_sample: int, count: int) -> list[float]:
        """Take `count` samples in a row; each is the mean time of one of its `steps_per_sample` steps."""

    def synchronised(self, step: Step, count: int) -> list[float]:
        """Time `count` steps, each waited for; empty where a step is done when it returns anyway."""


class HostClock:
    """For devices whose steps are done when they return: the CPU.

    Args:
        before: has to be called before each step, and is no part of it; a sample is then one step.
    """

    name = "perf_counter"
    steps_ahead = 0

    def __init__(self, before: Callable[[], None] | None = None) -> None:
        self._before = before
        self.alone = before is not None
        self.overhead_seconds = 0.0 if before else max(COLD_READING_SECONDS, _reading_cost())

    def now(self) -> float:
        """Host time."""
        return time.perf_counter()

    def samples(self, step: Step, steps_per_sample: int, count: int) -> list[float]:
        """Take samples with one reading between two: where one ends the next begins."""
        if self._before:
            return [_alone(step, self._before) for _ in range(count)]
        run = _repeated(step, steps_per_sample)
        readings = [0.0] * (count + 1)
        readings[0] = time.perf_counter()
        for index in range(1, count + 1):
            run()
            readings[index] = time.perf_counter()
        return [(end - begin) / steps_per_sample for begin, end in itertools.pairwise(readings)]

    def synchronised(self, step: Step, count: int) -> list[float]:
        """No second series: it would be the first again."""
        return []


class AcceleratorClock:
    """For devices that work through a queue: events in the queue, read after one synchronisation.

    Args:
        new_event: makes an event with `record()` and `elapsed_time(later)` in milliseconds.
        synchronise: waits until the queue is empty.
        before: has to be called before each step, and is no part of it; a sample is then one step.
    """

    name = "device events"
    steps_ahead = 1

    def __init__(
        self, new_event: Callable[[], "Event"], synchronise: Callable[[], None],
        before: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._new_event = new_event
        self._synchronise = synchronise
        self._before = before
        self.alone = before is not None
        # An event resolves about half a microsecond (cudaEventElapsedTime); two bound a sample.
        self.overhead_seconds = 0.0 if before else 1e-6

    def now(self) -> float:
        """Host time at which all queued work is done."""
        self._synchronise()
        return time.perf_counter()

    def samples(self, step: Step, steps_per_sample: int, count: int) -> list[float]:
        """Take samples with the queue kept full: nothing is waited for until the last step is queued."""
        if self._before:
            return self._each_alone(step, self._before, count)
        run = _repeated(step, steps_per_sample)
        events = [self._new_event() for _ in range(count + 1)]
        step()  # work ahead of the first event, so that the device does not idle between it and the first step
        events[0].record()
        for event in events[1:]:
            run()
            event.record()
        self._synchronise()
        pairs = itertools.pairwise(events)
        return [first.elapsed_time(second) / 1e3 / steps_per_sample for first, second in pairs]

    def _each_alone(self, step: Step, before: Callable[[], None], count: int) -> list[float]:
        pairs = [(self._new_event(), self._new_event()) for _ in range(count)]
        for first, second in pairs:
            before()
            first.record()
            step()
            second.record()
        self._synchronise()
        return [first.elapsed_time(second) / 1e3 for first, second in pairs]

    def synchronised(self, step: Step, count: int) -> list[float]:
        """Time each step from its call until the device has done it: the latency a caller sees."""
        seconds = []
        for _ in range(count):
            if self._before:
                self._before()
            self._synchronise()
            start = time.perf_counter()
            step()
            self._synchronise()
            seconds.append(time.perf_counter() - start)
        return seconds


class EnqueueClock:
    """How long the host is held up by asking a device for a step, whatever the device still has to do.

    Args:
        synchronise: waits until the queue is empty; done between samples, and no part of them.
        alone: a sample is one step, however short it is: several would fill the queue.
    """

    name = "perf_counter around the call"
    steps_ahead = 0
    alone = False

    def __init__(self, synchronise: Callable[[], None], *, alone: bool = False) -> None:
        self._synchronise = synchronise
        self.overhead_seconds = 0.0 if alone else COLD_READING_SECONDS

    def now(self) -> float:
        """Host time at which all queued work is done."""
        self._synchronise()
        return time.perf_counter()

    def samples(self, step: Step, steps_per_sample: int, count: int) -> list[float]:
        """Take samples, each from an empty queue."""
        run = _repeated(step, steps_per_sample)
        seconds = []
        for _ in range(count):
            start = self.now()
            run()
            seconds.append((time.perf_counter() - start) / steps_per_sample)
        self._synchronise()
        return seconds

    def synchronised(self, step: Step, count: int) -> list[float]:
        """No second series."""
        return []


class Event(Protocol):
    """As `torch.Event`, made with `enable_timing=True`."""

    def record(self) -> None:
        """Mark this place in the queue."""

    def elapsed_time(self, other: Any, /) -> float:
        """Milliseconds from this event to a later one; both must have been reached."""


def clock_for(device: str, before: Callable[[], None] | None = None) -> Clock:
    """The clock of torch's device `device`.

    Args:
        before: has to be called before each step, outside what is timed.
    """
    if device == "cpu":
        return HostClock(before)
    import torch

    place = torch.device(device)

    class DeviceEvent:
        """In the queue of `device`; torch's own event is recorded in that of whichever device is current."""

        def __init__(self) -> None:
            self.event = torch.Event(place, enable_timing=True)

        def record(self) -> None:
            # by a device's number its stream is found in 0.3 us, by its name in 1.4
            self.event.record(torch.accelerator.current_stream(place if place.index is None else place.index))

        def elapsed_time(self, other: "DeviceEvent", /) -> float:
            return self.event.elapsed_time(other.event)

    return AcceleratorClock(
        DeviceEvent,
        lambda: torch.accelerator.synchronize(device),
        before,
    )


def _alone(step: Step, before: Callable[[], None]) -> float:
    before()
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _repeated(step: Step, times: int) -> Step:
    """`step` so many times; itself where that is once, for a loop costs more than the reading it is to outweigh."""
    if times == 1:
        return step

    def run() -> None:
        for _ in itertools.repeat(None, times):
            step()

    return run


def _reading_cost(readings: int = 1000) -> float:
    start = time.perf_counter()
    for _ in range(readings):
        time.perf_counter()
    return (time.perf_counter() - start) / readings
