"""Why a measurement is noisy."""

import random
from dataclasses import replace

import pytest

from bench.controller import noise
from bench.records.record import Launch, Sampling
from bench.records.summary import half_width
from suites.case import Budget
from tests.support.samples import LENET, measured

BUDGET = Budget(precision=0.05)
CALM = (1.0,) * 60


def sampling(*launches):
    return Sampling(launches=launches, steps_per_sample=1, stop_reason="precision")


def record(seconds=CALM, *, threads=2, **launch):
    one = Launch(**{"samples": len(seconds), "warmup_steps": 2, "steady": True, "median_seconds": 1.0} | launch)
    case = replace(LENET, threads=threads)
    return measured(case, tuple(seconds), sampling=sampling(one))


def test_an_undisturbed_measurement_has_no_reason():
    quiet = record(stolen_share=0.0, other_cores=0.1, switches_per_second=40.0)
    assert noise.disturbances(quiet, BUDGET, cores=2) == {}
    assert noise.imprecision(quiet, BUDGET) == ""
    assert noise.disturbances(record(), BUDGET, cores=2) == {}


@pytest.mark.parametrize(
    ("launch", "kind", "reason"),
    [
        ({"stolen_share": 0.051}, "steal", "steal 5%: the hypervisor gave that share of the cores' time to others"),
        ({"throttled_share": 0.12}, "quota", "the cgroup's CPU quota stopped the process for 12% of the time"),
        ({"other_cores": 0.71}, "load", "co-running processes used 0.7 cores meanwhile"),
        ({"switches_per_second": 1568.0}, "switches", "1568 involuntary context switches/s"),
        ({"seconds": [1.0] * 30 + [1.08] * 30}, "drift", "steps became 8% slower while they were measured"),
        ({"seconds": [1.0] * 30 + [0.92] * 30}, "drift", "steps became 8% faster while they were measured"),
        (
            {"seconds": [1.0, 1.0, 1.25] * 20},
            "modes",
            "two modes: 33% of the samples take 25% longer than the others",
        ),
    ],
)
def test_each_disturbance_has_its_reason(launch, kind, reason):
    assert noise.disturbances(record(**launch), BUDGET, cores=2) == {kind: reason}


@pytest.mark.parametrize(
    ("launch", "cores"),
    [
        ({"stolen_share": 0.05}, 2),
        ({"throttled_share": 0.05}, 2),
        ({"other_cores": 1.05, "threads": 1}, 2),  # others have the core that the case leaves free
        ({"other_cores": 3.0, "threads": 4}, 8),
        ({"switches_per_second": 300.0}, 2),
        ({"steady": False}, 2),  # of a slow step two windows are two steps: it is in the record, and is no alarm
        ({"seconds": [1.0] * 30 + [1.04] * 30}, 2),
        ({"seconds": [1.0, 1.0, 1.09] * 20}, 2),
        ({"seconds": [1.0] * 50 + [1.25] * 10}, 2),  # the median is firmly among the others
    ],
)
def test_what_does_not_matter_is_no_reason(launch, cores):
    assert noise.disturbances(record(**launch), BUDGET, cores=cores) == {}


@pytest.mark.parametrize(
    ("launch", "kind"),
    [
        ({"other_cores": 0.59}, None),  # three ticks of 10 ms in 50 ms are 0.6 cores
        ({"other_cores": 0.61}, "load"),
        ({"switches_per_second": 390.0}, None),  # 19 and a half in 50 ms
        ({"switches_per_second": 410.0}, "switches"),
    ],
)
def test_a_short_window_says_little_of_a_rate(launch, kind):
    short = record(seconds=(0.001,) * 25, steps_per_sample=2, **launch)
    assert set(noise.disturbances(short, BUDGET, cores=2)) == ({kind} if kind else set())


def test_processes_of_a_case_are_no_company():
    crowd = record(other_cores=1.9, switches_per_second=2000.0)
    assert noise.disturbances(crowd, BUDGET, cores=2).keys() == {"load", "switches"}
    own = replace(crowd, case={**crowd.case, "processes": 2})
    assert noise.disturbances(own, BUDGET, cores=2) == {}


def test_an_accelerator_needs_one_core():
    case = replace(LENET, threads=8, device="cuda:0")
    on_device = replace(record(other_cores=1.0), case=case.to_json())
    assert noise.disturbances(on_device, BUDGET, cores=8) == {}
    assert list(noise.disturbances(on_device, BUDGET, cores=1)) == ["load"]


def test_more_threads_than_cores_have_no_free_core():
    assert "load" in noise.disturbances(record(other_cores=0.2, threads=4), BUDGET, cores=2)


def test_the_reasons_of_launches_are_told_once_with_how_many_had_them():
    found = [{"steal": "stolen 6%"}, {}, {"load": "busy", "steal": "stolen 9%"}]
    assert noise.over_launches(found) == ("stolen 6% (in 2 of 3 launches)", "busy (in 1 of 3 launches)")
    assert noise.over_launches([{"steal": "stolen 6%"}]) == ("stolen 6%",)
    assert noise.over_launches([{}, {}]) == ()


def test_the_interval_that_counts_is_the_one_between_launches():
    launches = [Launch(samples=6, warmup_steps=1, steady=True, median_seconds=m) for m in (1.0, 1.1)]
    seconds = (1.0,) * 6 + (1.1,) * 6
    assert half_width(seconds) < 0.05
    two = measured(seconds=seconds, sampling=sampling(*launches))
    reason = noise.imprecision(two, BUDGET)
    assert reason == "the median is known to ±64.2% only between 2 launches, wanted ±5%"
    assert noise.imprecision(measured(seconds=(1, 1, 1, 1, 1, 1.5)), BUDGET) == (
        "the median is known to ±25.0% only, wanted ±5%"
    )
    assert noise.imprecision(measured(seconds=(1.0,)), BUDGET) == "1 samples are too few for an interval"


def test_drift_is_of_thirds_that_cannot_be_the_same():
    assert noise.drift([1.0] * 6 + [2.0] * 6 + [3.0] * 6) == 2.0
    assert noise.drift([3.0] * 6 + [2.0] * 6 + [1.0] * 6) == pytest.approx(-2 / 3)
    assert noise.drift([1.0] * 6 + [2.0] * 5 + [3.0] * 6) == 0.0, "17 samples are too few"
    assert noise.drift([1, 2, 3, 4, 5, 6] * 3) == 0.0


SHAPES = {
    "normal": lambda r: 1 + 0.05 * r.gauss(0, 1),
    "uniform": lambda r: r.uniform(1, 1.3),
    "exponential": lambda r: 1 + 0.1 * r.expovariate(1),
    "lognormal": lambda r: r.lognormvariate(0, 0.5),
    "spikes": lambda r: (1 + 0.02 * r.gauss(0, 1)) * (1.25 if r.random() < 0.03 else 1),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_one_mode_however_skewed_is_seldom_taken_for_two(shape):
    draw = random.Random(shape)
    found = [noise.two_modes([SHAPES[shape](draw) for _ in range(100)]) for _ in range(200)]
    assert sum(modes is not None for modes in found) <= 2


@pytest.mark.parametrize("count", [60, 1000])
def test_two_modes_are_found_where_they_are(count):
    draw = random.Random(count)
    seconds = [(1 + 0.01 * draw.gauss(0, 1)) * (1.2 if draw.random() < 0.4 else 1) for _ in range(count)]
    low, high, share = noise.two_modes(seconds)
    assert (low, high) == (pytest.approx(1, rel=0.01), pytest.approx(1.2, rel=0.01))
    assert share == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize("seconds", [[1.0, 2.0] * 29, [1.0] * 100, [0.0, 1.0] * 50, []])
def test_too_few_or_all_alike_have_no_two_modes(seconds):
    assert noise.two_modes(seconds) is None
