"""Where a level changes: held against trying every segmentation; spikes; how often chance alone makes a change."""

import itertools
import math

import numpy as np
import pytest

from reports.history.noise import chance, gains, scatter
from reports.history.segmentation import SHORTEST, changes, greatest_gains, steps, tamed


def cheapest(values, variances, penalty):
    """By trying all of them."""

    def cost(begin, end):
        own, weights = values[begin:end], 1 / variances[begin:end]
        return float((weights * (own - np.average(own, weights=weights)) ** 2).sum())

    found = []
    for count in range(len(values) // SHORTEST):
        for places in itertools.combinations(range(SHORTEST, len(values) - SHORTEST + 1), count):
            bounds = [0, *places, len(values)]
            if all(end - begin >= SHORTEST for begin, end in itertools.pairwise(bounds)):
                total = sum(itertools.starmap(cost, itertools.pairwise(bounds))) + penalty * count
                found.append((total, list(places)))
    return min(found)[1]


@pytest.mark.parametrize("seed", range(12))
def test_the_segmentation_is_the_cheapest_of_all(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (3, 11)) + np.cumsum(4 * (rng.random((3, 11)) < 0.25), axis=1)
    variances = rng.uniform(0.3, 3, (3, 11))
    values[2, 8:] = variances[2, 8:] = np.nan
    expected = [
        cheapest(row[:end], own[:end], 3.0) for row, own, end in zip(values, variances, (11, 11, 8), strict=True)
    ]
    assert changes(values, variances, 3.0) == expected


def test_a_run_that_is_known_better_weighs_more():
    values = np.array([[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]])
    sure, unsure = np.full((1, 8), 0.01), np.full((1, 8), 1.0)
    assert changes(values, sure, 10.0) == [[4]]
    assert changes(values, unsure, 10.0) == [[]]


def test_a_step_is_told_with_its_size_and_where_it_may_lie():
    values, variances = np.array([0.0] * 10 + [0.1] * 10), np.full(20, 0.01**2)
    (step,) = steps(values, variances, [10])
    assert (step.place, step.first, step.last) == (10, 10, 10)
    assert step.size == pytest.approx(0.1)
    assert step.error == pytest.approx(0.01 * math.sqrt(2 / 10))
    assert step.gain == pytest.approx(0.05**2 * 20 / 0.01**2)
    (unsure,) = steps(values, np.full(20, 0.08**2), [10])
    assert unsure.first < 10 < unsure.last


def test_a_spike_is_no_step():
    values = np.zeros((1, 30))
    values[0, 12] = 0.5
    calm, spike = tamed(values, np.full((1, 30), 0.01))
    assert np.flatnonzero(spike[0]).tolist() == [12]
    assert changes(calm, np.full((1, 30), 0.01**2), 20.0) == [[]]


def test_a_step_of_three_runs_at_the_end_is_no_spike():
    values = np.zeros((1, 30))
    values[0, 27:] = 0.5
    _, spike = tamed(values, np.full((1, 30), 0.01))
    assert not spike.any()


def test_scatter_is_that_of_neighbours_whatever_the_level_does():
    values = np.random.default_rng(1).normal(0, 0.02, (4, 4000)) + np.repeat(np.arange(8), 500)
    assert np.sqrt(scatter(values, np.zeros_like(values))) == pytest.approx(0.02, rel=0.06)


def test_scatter_holds_what_was_measured_of_each_point_and_what_is_usual():
    values, errors = np.zeros((1, 20)), np.full((1, 20), 0.01)
    errors[0, 5] = 0.1
    found = scatter(values, errors)[0]
    assert found[0] == pytest.approx(0.01**2)
    assert found[5] == pytest.approx((0.1**2 + 2 * 0.01**2) / 3)


def test_an_error_that_three_launches_make_out_too_small_raises_no_alarm():
    """240 series of 40 runs, the error of each from its own three launches; 3.3 alarms are asked for at most."""
    rng, alarmed = np.random.default_rng(0), 0
    for _ in range(30):
        launches = rng.normal(0, 0.004, (8, 40, 3))
        values, errors = launches.mean(axis=2), launches.std(axis=2, ddof=1) / math.sqrt(3)
        variances = scatter(values, errors)
        calm, _ = tamed(values, np.sqrt(variances))
        penalty = chance(values, errors, 40).penalty_for(1.0, 8)
        alarmed += sum(map(bool, changes(calm, variances, penalty)))
    assert alarmed <= 3


def test_the_greatest_gain_is_that_of_all_beginnings_and_ends_with_spikes_cut_as_they_are_seen_then():
    values, ones = np.random.default_rng(2).standard_t(2, (3, 15)), np.ones((3, 15))
    expected = [
        max(
            steps(tamed(row[None, :end], ones[:1, :end])[0][0], ones[0, :end], [place])[0].gain
            for end in range(9, 16) for place in range(SHORTEST, end - SHORTEST + 1)
        )
        for row in values
    ]  # fmt: skip
    assert greatest_gains(values, ones[:, 8:]) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["normal", "heavy", "correlated"])
def test_chance_alone_makes_no_more_changes_than_were_asked_for(kind):
    """5 % of series that have no change; seen in other series of the same kind than those it was learnt from."""

    def drawn(seed):
        rng = np.random.default_rng(seed)
        noise = rng.standard_t(3, (400, 80)) if kind == "heavy" else rng.normal(0, 1, (400, 80))
        if kind == "correlated":
            for run in range(1, 80):
                noise[:, run] += 0.3 * noise[:, run - 1]
        return 0.01 * noise

    learnt, fresh = drawn(1), drawn(2)
    nothing = np.zeros_like(learnt)
    penalty = chance(learnt, nothing, 80).penalty(0.05)
    alarmed = (gains(fresh) > penalty).mean()
    assert 0.01 < alarmed < 0.10
