"""Paired statistics: against published tables, against scipy, and by simulation with fixed seeds."""

import math

import numpy as np
import pytest
from scipy import stats

from reports.gate import paired as module
from reports.gate.paired import (
    confirmation_level,
    confirms,
    is_candidate,
    minimum_detectable_confirmed,
    moderated,
    paired,
    pairs_needed,
    planned,
    shared,
)
from reports.gate.statistics import Difference, upper_p


def test_one_case_is_a_t_test_on_its_pairs():
    ratios = list(np.random.default_rng(1).normal(0.03, 0.01, 6))
    found = paired(ratios)
    theirs = stats.ttest_1samp(ratios, math.log(1.02), alternative="greater")
    assert upper_p(found, math.log(1.02)) == pytest.approx(theirs.pvalue)
    assert (found.freedom, found.launches) == (5, (6, 6))


@pytest.mark.parametrize(
    ("alpha", "row"),
    [
        (0.05, {5: 1.36, 6: 1.19, 8: 0.98, 10: 0.85, 15: 0.68, 20: 0.58, 30: 0.46}),
        (0.01, {5: 2.18, 6: 1.80, 8: 1.40, 10: 1.19, 15: 0.91, 20: 0.76, 30: 0.61}),
        (0.05 / 40, {5: 3.78, 6: 2.86, 8: 2.03, 10: 1.64, 15: 1.20, 20: 0.98, 30: 0.77}),
    ],
)
def test_the_power_of_one_stage(alpha, row):
    """Shifts in standard deviations of a pair that are seen with 80 % power, by an independent calculation."""
    powers = [
        module._power([shift], count, count - 1, module._critical(count - 1, alpha))[0] for count, shift in row.items()
    ]
    assert powers == pytest.approx([0.8] * len(row), abs=0.01)


def test_power_stays_where_the_distribution_runs_out_of_digits():
    assert module._power([1e3, 1e6], 6, 5, module._critical(5, 0.05)) == [1.0, 1.0]


def test_both_stages_together_have_the_power_that_is_said():
    shift = (math.log(planned(6, 0.012, 0.02, 8)) - math.log(1.02)) / 0.012
    assert module._power([shift], 6, 5, module._critical(5, 0.05))[0] ** 2 == pytest.approx(0.8)


def test_what_is_known_roughly_is_said_to_be_seen_less():
    rough = Difference(0.0, 0.012 / math.sqrt(6), 5, (6, 6))
    known = Difference(0.0, 0.012 / math.sqrt(6), 500, (6, 6))
    assert (
        minimum_detectable_confirmed(rough, 6, 0.02, 8)
        > planned(6, 0.012, 0.02, 8)
        > minimum_detectable_confirmed(known, 6, 0.02, 8)
    )
    assert minimum_detectable_confirmed(Difference(0.0, 0.0, 5, (6, 6)), 6, 0.02, 8) == 1.02


def test_as_many_pairs_as_are_needed():
    needed = pairs_needed(0.012, 0.02, 0.05, 40)
    assert planned(needed, 0.012, 0.02, 40) <= 1.05 < planned(needed - 1, 0.012, 0.02, 40)
    assert pairs_needed(0.5, 0.02, 0.03, 40) is None
    assert pairs_needed(0.01, 0.05, 0.05, 40) is None


@pytest.mark.parametrize(("cases", "level"), [(1, 0.05), (8, 0.05), (20, 0.05), (40, 0.025), (200, 0.005)])
def test_the_level_of_the_second_stage(cases, level):
    assert confirmation_level(cases) == pytest.approx(level)


def of(variances, count=6):
    return [Difference(0.0, math.sqrt(variance / count), count - 1, (count, count)) for variance in variances]


def variances(found):
    return [each.error**2 * each.launches[0] for each in found]


def test_a_shared_variance_is_borrowed_and_a_spread_one_less():
    rng = np.random.default_rng(3)
    same = of(1e-4 * rng.chisquare(5, 40) / 5)
    drawn = moderated(same, shared(same))
    assert drawn[0].freedom == pytest.approx(5 + module.MOST_BORROWED)
    assert np.std(np.log(variances(drawn))) < np.std(np.log(variances(same))) / 2
    assert np.mean(np.log(variances(drawn))) == pytest.approx(math.log(1e-4), abs=0.1)
    spread = of(1e-4 * np.exp(rng.normal(0, 2, 40)) * rng.chisquare(5, 40) / 5)
    assert 5 < moderated(spread, shared(spread))[0].freedom < 6.5


def test_the_order_of_the_variances_stays():
    found = of([1e-4, 2e-4, 4e-4, 8e-4])
    drawn = variances(moderated(found, shared(found)))
    assert drawn == sorted(drawn)
    assert drawn[0] > 1e-4
    assert drawn[-1] < 8e-4


def test_few_cases_and_still_ones_borrow_nothing():
    two = of([1e-4, 2e-4])
    assert shared(two) is None
    assert moderated(two, None) == two
    still = [*of([1e-4, 2e-4, 3e-4]), Difference(0.0, 0.0, 5, (6, 6))]
    assert moderated(still, shared(still))[-1] == still[-1]


def gate(rng, effects, spread, count=6):
    """Which cases the two stages call regressed."""

    def measured():
        return [paired(list(rng.normal(math.log1p(effect), spread, count))) for effect in effects]

    raw = measured()
    prior = shared(raw)  # of the first stage, for both
    both = zip(moderated(raw, prior), moderated(measured(), prior), strict=True)
    return [
        index
        for index, (first, second) in enumerate(both)
        if is_candidate(first, 0.02) and confirms(second, 0.02, len(effects))
    ]


@pytest.mark.parametrize(("cases", "effect"), [(8, 0.0), (40, 0.0), (8, 0.02), (40, 0.02)])
def test_the_suites_error_is_held(cases, effect):
    rng = np.random.default_rng(cases)
    alarms = sum(bool(gate(rng, [effect] * cases, 0.015)) for _ in range(300))
    if effect == 0.0:
        assert alarms == 0
    assert stats.binomtest(alarms, 300, 0.05, alternative="greater").pvalue > 0.01


def test_five_percent_on_one_case_of_eight_is_caught():
    rng = np.random.default_rng(5)
    caught = sum(0 in gate(rng, [0.05] + [0.0] * 7, 0.012) for _ in range(300))
    assert caught >= 270
