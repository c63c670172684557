"""Warm-up, calibration and the stop rule on a clock for which time passes only while a step runs."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.timing.sampling import WarmUp, calibrate, sample, stop_reason, warm_up
from suites.case import Budget

SECOND = 1.0
TICK = 2**-6  # 1/64 s: sums of it are exact, and one step fills a window or a block
FAST = 2**-10  # 30 steps fill a window, 20 a block
COIN = [TICK, 2 * TICK]  # never steady, never precise


class FakeClock:
    """Step number n takes `durations[n % len(durations)]` seconds."""

    name = "fake"

    def __init__(self, durations, overhead_seconds=0.0, before_seconds=0.0):
        self.overhead_seconds, self._before_seconds = overhead_seconds, before_seconds
        self.alone = before_seconds > 0
        self.time, self.steps = 0.0, 0
        self._durations = itertools.cycle(durations)

    def step(self):
        self.time += next(self._durations)
        self.steps += 1

    def now(self):
        return self.time

    def samples(self, step, steps_per_sample, count):
        seconds = []
        for _ in range(count):
            self.time += self._before_seconds
            start = self.time
            for _ in range(steps_per_sample):
                step()
            seconds.append((self.time - start) / steps_per_sample)
        return seconds

    def synchronised(self, step, count):
        return []


def cold(first, then, count=10_000):
    return [first, *[then] * count]


@pytest.mark.parametrize(
    ("durations", "limit_seconds", "expected"),
    [
        ([TICK], 1, WarmUp(2, True, TICK)),
        ([FAST], 1, WarmUp(1 + 30, True, FAST)),
        ([FAST], 0, WarmUp(1 + 30, True, FAST)),
        (cold(SECOND, FAST), 10, WarmUp(1 + 1 + 30, True, FAST)),
        (cold(SECOND, FAST), 1, WarmUp(1 + 1, False, FAST)),
        (cold(SECOND, 0.984375), 10, WarmUp(1 + 1, True, 0.984375)),
        (cold(SECOND, 0.96875), 10, WarmUp(1 + 1 + 1, True, 0.96875)),
        (cold(0.96875, SECOND), 10, WarmUp(1 + 1 + 1, True, SECOND)),
        ([TICK * 2**n for n in range(9)], 1, WarmUp(7, False, SECOND)),
        (COIN, 0, WarmUp(1 + 1, False, 2 * TICK)),
    ],
)
def test_warm_up_ends_when_two_windows_agree_or_the_time_is_up(durations, limit_seconds, expected):
    clock = FakeClock(durations)
    assert warm_up(clock.step, clock, limit_seconds) == expected
    assert clock.steps == expected.steps


@given(st.floats(1e-7, 10), st.floats(1e-9, 1e-5))
def test_a_sample_has_the_fewest_steps_that_make_the_clock_cheap(step_seconds, overhead_seconds):
    steps = calibrate(step_seconds, overhead_seconds)
    assert overhead_seconds / (steps * step_seconds) <= 1e-3 * (1 + 1e-9)
    if steps > 1:
        assert overhead_seconds / ((steps - 1) * step_seconds) > 1e-3 * (1 - 1e-9)


def test_steps_that_take_no_time_are_no_measurement():
    clock = FakeClock([0.0], overhead_seconds=1e-6)
    with pytest.raises(RuntimeError, match=r"1000 steps take no time by the clock of the device \(fake\)"):
        sample(clock.step, clock, Budget())


def test_steps_of_a_sample_are_calibrated():
    clock = FakeClock([FAST], overhead_seconds=FAST / 100)
    told = []
    found = sample(clock.step, clock, Budget(), warmed=lambda: told.append(clock.steps))
    assert told == [found.warm_up.steps]
    assert found.steps_per_sample == 10
    assert set(found.seconds) == {FAST}
    assert clock.steps == found.warm_up.steps + 10 * len(found.seconds)


@pytest.mark.parametrize(
    ("durations", "budget", "samples", "reason"),
    [
        ([TICK], Budget(min_seconds=0), 6, "precision"),
        ([TICK], Budget(min_seconds=0, min_samples=9), 9, "precision"),
        ([TICK], Budget(), 13, "precision"),  # 13/64 s are the first over 0.2 s
        ([TICK], Budget(min_seconds=9, max_seconds=0.5), 32, "precision"),
        (COIN, Budget(), 43, "max_seconds"),  # 21 pairs are 63/64 s
        (COIN, Budget(precision=0.4), 9, "precision"),  # 14/64 s are the first over 0.2 s
        ([SECOND, 2 * SECOND], Budget(), 6, "max_seconds"),
        ([TICK], Budget(min_seconds=0, min_samples=1), 6, "precision"),
        ([SECOND], Budget(min_samples=1), 1, "max_seconds"),
    ],
)
def test_sampling_ends_for_a_reason(durations, budget, samples, reason):
    clock = FakeClock(durations)
    found = sample(clock.step, clock, budget)
    assert (len(found.seconds), found.stop_reason) == (samples, reason)
    assert clock.steps == found.warm_up.steps + samples


def test_the_stop_rule_is_asked_once_a_block():
    clock = FakeClock([FAST])
    found = sample(clock.step, clock, Budget(min_seconds=0))
    assert len(found.seconds) == 20


@given(st.lists(st.sampled_from([FAST, 3 * FAST, TICK, 5 * TICK]), min_size=1, max_size=30))
def test_every_sample_is_kept_in_the_order_of_time(durations):
    clock = FakeClock(durations)
    found = sample(clock.step, clock, Budget(warmup_seconds=0.1))
    steps = itertools.islice(itertools.cycle(durations), found.warm_up.steps, clock.steps)
    assert found.seconds == tuple(steps)


def test_the_second_series_is_no_longer_than_the_first():
    class Accelerator(FakeClock):
        def synchronised(self, step, count):
            return [SECOND] * count

    few, many = Accelerator([TICK]), Accelerator([FAST])
    assert len(sample(few.step, few, Budget(min_seconds=0)).synchronised_seconds) == 6
    assert len(sample(many.step, many, Budget()).synchronised_seconds) == 50


def test_what_cannot_end_is_not_begun():
    clock = FakeClock([10 * SECOND])
    with pytest.raises(TimeoutError, match="a step takes about 10 s: 2 more would end after the time limit"):
        sample(clock.step, clock, Budget(), limit_seconds=39)
    assert clock.steps == 2


@pytest.mark.parametrize(
    ("limit_seconds", "samples", "reason"),
    [(40, 2, "time_limit"), (59, 3, "time_limit"), (79, 5, "time_limit"), (80, 6, "precision")],
)
def test_a_slow_step_has_as_many_samples_as_its_time_limit_lets_it(limit_seconds, samples, reason):
    clock = FakeClock([10 * SECOND])
    found = sample(clock.step, clock, Budget(), limit_seconds=limit_seconds)
    assert (len(found.seconds), found.stop_reason) == (samples, reason)


def test_too_few_samples_are_never_precise():
    assert stop_reason([1.0] * 5, 0.9, Budget(min_samples=1)) == ""
    assert stop_reason([1.0] * 5, 1.0, Budget(min_samples=1)) == "max_seconds"


def test_what_comes_before_each_step_is_not_waited_for_as_often_as_short_steps_fill_a_window():
    """A second before each step: a window and a block are then one step, not thirty and twenty."""
    clock = FakeClock([FAST], before_seconds=SECOND)
    found = sample(clock.step, clock, Budget(min_samples=3, min_seconds=0, max_seconds=60, warmup_seconds=0))
    assert found.warm_up == WarmUp(2, True, FAST, every_seconds=SECOND + FAST)
    assert found.seconds == (FAST,) * 6
