"""What raw samples say: intervals within and between launches, and percentiles."""

import math
import random
import statistics
from dataclasses import astuple, replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit
from scipy.stats import binom

from bench.records.record import Launch, Sampling, Work
from bench.records.summary import (
    STUDENT_975,
    PageFaults,
    Summary,
    Value,
    across_machines,
    by_launch,
    half_width,
    launch_interval,
    median_interval,
    page_faults,
    percentile,
    summarise,
    value_of,
)
from tests.support.samples import SECONDS, faulting, measured


def coverage(rank, count):
    """Probability that the median lies between the ordered samples `rank` and `count - 1 - rank`."""
    return 1 - 2 * binom.cdf(rank, count, 0.5)


@pytest.mark.parametrize("count", range(1, 61))
def test_the_interval_is_the_tightest_that_covers_the_median(count):
    samples = random.Random(count).sample(range(count), count)
    interval = median_interval(samples)
    if count < 6:
        assert interval is None
        return
    low, high = interval
    assert low + high == count - 1
    assert coverage(low, count) >= 0.95 > coverage(low + 1, count)


@pytest.mark.parametrize("count", [999, 1000, 1001, 1002, 5000, 100_000])
def test_with_many_samples_the_interval_is_a_rank_off_at_most(count):
    low, high = median_interval(range(count))
    assert low + high == count - 1
    assert coverage(low, count) >= 0.95 > coverage(low + 2, count)


@pytest.mark.parametrize(("confidence", "fewest"), [(0.5, 2), (0.9, 5), (0.95, 6), (0.99, 8)])
def test_the_fewest_samples_for_a_confidence(confidence, fewest):
    assert median_interval(range(fewest - 1), confidence) is None
    assert median_interval(range(fewest), confidence) == (0, fewest - 1)


def test_no_samples_have_no_interval():
    assert median_interval([]) is None


# Ranks of the 95 % interval of the median, from 1: David & Nagaraja, Order Statistics, section 7.1.
@pytest.mark.parametrize(
    ("count", "low", "high"), [(6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (20, 6, 15), (100, 40, 61)]
)
def test_half_width_of_the_medians_interval(count, low, high):
    seconds = [float(n) for n in range(count, 0, -1)]
    assert half_width(seconds) == (high - low) / 2 / ((count + 1) / 2)


def test_five_samples_have_no_interval():
    assert half_width([1.0] * 5) == math.inf


def launched(*series):
    """A record of one launch for each series."""
    launches = tuple(
        Launch(samples=len(seconds), warmup_steps=1, steady=True, median_seconds=max(seconds, default=1.0))
        for seconds in series
    )
    sampling = Sampling(launches=launches, steps_per_sample=1, stop_reason="precision", clock="perf_counter")
    return measured(seconds=tuple(chain.from_iterable(series)), sampling=sampling)


def test_one_launch_has_the_interval_of_its_samples():
    assert summarise(measured()) == Summary(0.004, 0.001, 0.007, 0.75, 0.75, 1)


def test_a_record_that_does_not_tell_its_launches_apart_has_one():
    assert by_launch(measured(sampling=None)) == (SECONDS,)
    assert by_launch(launched(SECONDS, ())) == (SECONDS,)


def test_six_launches_have_the_interval_of_their_medians():
    steady = [(float(n),) * 7 for n in (16, 11, 15, 12, 14, 13)]
    assert by_launch(launched(*steady)) == tuple(steady)
    assert summarise(launched(*steady)) == Summary(13.5, 11, 16, 2.5 / 13.5, 0.0, 6)


def test_a_launch_with_many_samples_counts_no_more_than_one_with_few():
    found = summarise(launched((1.0,) * 1000, (2.0,) * 6, (3.0,) * 6))
    assert (found.median_seconds, found.launches) == (2.0, 3)


def test_within_is_the_middle_launchs_own_interval():
    calm, wild = (4.0,) * 7, tuple(float(n) for n in range(1, 8))
    assert summarise(launched(calm, wild, calm)).within_half_width == 0.0
    assert summarise(launched(calm, wild, wild)).within_half_width == 0.75
    assert summarise(launched((1.0,), (1.0,))).within_half_width is None


def test_few_samples_of_one_launch_have_students_interval():
    few = (1.0, 1.1, 1.2)
    found = summarise(launched(few))
    assert (found.low_seconds, found.high_seconds) == launch_interval(few)
    assert found.within_half_width == found.half_width == pytest.approx(0.2278, abs=1e-4)


@pytest.mark.parametrize("count", sorted(STUDENT_975))
def test_few_launches_have_students_interval_on_logarithms(count):
    quantile = stdtrit(count - 1, 0.975)
    assert STUDENT_975[count] == pytest.approx(quantile, rel=1e-5)
    medians = [random.Random(count).lognormvariate(0, 0.1) for _ in range(count)]
    logs = [math.log(median) for median in medians]
    middle, half = statistics.fmean(logs), quantile * statistics.stdev(logs) / math.sqrt(count)
    low, high = middle - half, middle + half
    assert launch_interval(medians) == pytest.approx((math.exp(low), math.exp(high)), rel=1e-4)


def test_one_launch_says_nothing_of_others():
    assert launch_interval([1.0]) is None
    assert launch_interval([]) is None


@given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=12))
def test_the_interval_holds_the_median_it_is_of(medians):
    low, high = launch_interval(medians)
    middle = sorted(medians)
    assert low <= middle[len(middle) // 2] * (1 + 1e-9)
    assert high >= middle[(len(middle) - 1) // 2] * (1 - 1e-9)


@pytest.mark.parametrize(("share", "fewest"), [(0.5, 8), (0.9, 45), (0.99, 460)])
def test_a_percentile_needs_enough_samples_behind_it(share, fewest):
    assert percentile(range(fewest - 1), share) is None
    assert percentile(range(fewest), share) is not None


@pytest.mark.parametrize(
    ("count", "share", "value"), [(100, 0.9, 90), (45, 0.9, 41), (460, 0.99, 456), (1000, 0.99, 990)]
)
def test_a_percentile_is_the_sample_of_that_rank(count, share, value):
    seconds = random.Random(0).sample(range(1, count + 1), count)
    assert percentile(seconds, share) == value
    assert sum(second <= value for second in seconds) >= share * count > sum(second < value for second in seconds)


SEVEN = (0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007)


@pytest.mark.parametrize(
    ("work", "value", "low", "high"),
    [
        (None, 8 / 0.004, 8 / 0.007, 8 / 0.001),
        (Work(metric="seconds", amount=100), 0.004 / 100, 0.001 / 100, 0.007 / 100),
        (Work(metric="bytes_per_second", amount=2**20), 2**20 / 0.004, 2**20 / 0.007, 2**20 / 0.001),
        (Work(metric="steps", amount=340), 340, None, None),
    ],
)
def test_a_value_has_its_metric_and_an_interval_the_right_way_round(work, value, low, high):
    found = value_of(measured(seconds=SEVEN, work=work))
    assert found == Value(work.metric if work else "images_per_second", value, low, high)


def test_too_few_samples_give_a_value_without_interval():
    for metric in ("seconds", "flops_per_second"):
        found = value_of(measured(seconds=SEVEN[1:2], work=Work(metric=metric, amount=2)))
        assert (found.low, found.high) == (None, None)
        assert found.value == (0.001 if metric == "seconds" else 1000)


def test_how_far_a_machine_may_be_from_others_of_its_kind_is_in_the_interval():
    found = Summary(1.0, math.exp(-0.03), math.exp(0.03), 0.03, 0.01, 3)
    value = Value("images_per_second", 8.0, 8 * math.exp(-0.03), 8 * math.exp(0.03))
    wider, rate = across_machines(found, value, math.expm1(0.04))
    assert (wider.low_seconds, wider.high_seconds) == pytest.approx((math.exp(-0.05), math.exp(0.05)))  # 3, 4, 5
    assert (rate.low, rate.high) == pytest.approx((8 * math.exp(-0.05), 8 * math.exp(0.05)))
    assert wider.half_width == pytest.approx(math.sinh(0.05))
    assert wider.within_half_width == 0.01
    assert across_machines(found, value, None) == (found, value)
    unknown = Summary(1.0, None, None, None, None, 1)
    assert across_machines(unknown, Value("steps", 1.0, None, None), 0.1)[0] == unknown


@pytest.mark.parametrize(
    ("launches", "facts", "found"),
    [
        ([(250_000.0, 0.3)], {}, PageFaults(1000.0, 0.3)),
        ([(250_000.0, 0.3), (750_000.0, 0.5)], {}, PageFaults(2000.0, 0.4)),
        ([(250_000.0, 0.049)], {}, None),  # little of a step
        ([(24_000.0, 0.3)], {}, None),  # 96 a step: the kernel is busy with something else
        ([(250_000.0, 0.3)], {"samples": 24}, None),  # two ticks of the kernel's clock
        ([(250_000.0, 0.3)], {"samples": 12, "steps_per_sample": 4}, PageFaults(1000.0, 0.3)),
        ([(250_000.0, 0.3), (None, None)], {}, None),  # a launch by an earlier dlhw
    ],
)
def test_page_faults_count_where_the_kernel_is_surely_at_work_for_them(launches, facts, found):
    told = page_faults(faulting(*launches, **{"samples": 100, "median_seconds": 0.004} | facts))
    assert told is found is None or astuple(told) == pytest.approx(astuple(found))


def test_page_faults_of_an_accelerators_host_are_not_its_steps():
    record = faulting((250_000.0, 0.3), samples=100)
    elsewhere = replace(record, case={**record.case, "device": "cuda:0"})
    assert page_faults(record) is not None
    assert page_faults(elsewhere) is None
