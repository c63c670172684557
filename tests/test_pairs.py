"""Paired statistics: against published tables, against scipy, and by simulation with fixed seeds."""

import math

import numpy as np
import pytest
from scipy import stats

from reports import pairs
from reports.judging import Difference, upper_p
from reports.pairs import candidates, confirmation_level, confirms, moderated, paired, pairs_needed, reach, seen_by


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
def test_how_far_so_many_pairs_reach(alpha, row):
    assert {count: round(reach(count, alpha), 2) for count in row} == pytest.approx(row, abs=0.011)


def test_what_so_many_pairs_see():
    assert seen_by(10, 0.012, 0.02, 0.01) - 1 == pytest.approx(0.0346, abs=2e-4)


def test_as_many_pairs_as_are_needed():
    needed = pairs_needed(0.012, 0.02, 0.05, 0.01)
    assert seen_by(needed, 0.012, 0.02, 0.01) <= 1.05 < seen_by(needed - 1, 0.012, 0.02, 0.01)
    assert pairs_needed(0.5, 0.02, 0.03, 0.01) is None
    assert pairs_needed(0.01, 0.05, 0.05, 0.01) is None


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
    drawn = moderated(same)
    assert drawn[0].freedom == pytest.approx(5 + pairs.MOST_BORROWED)
    assert np.std(np.log(variances(drawn))) < np.std(np.log(variances(same))) / 2
    assert np.mean(np.log(variances(drawn))) == pytest.approx(math.log(1e-4), abs=0.1)
    spread = of(1e-4 * np.exp(rng.normal(0, 2, 40)) * rng.chisquare(5, 40) / 5)
    assert 5 < moderated(spread)[0].freedom < 6.5


def test_the_order_of_the_variances_stays():
    found = of([1e-4, 2e-4, 4e-4, 8e-4])
    drawn = variances(moderated(found))
    assert drawn == sorted(drawn)
    assert drawn[0] > 1e-4
    assert drawn[-1] < 8e-4


def test_few_cases_and_still_ones_borrow_nothing():
    two = of([1e-4, 2e-4])
    assert moderated(two) == two
    still = [*of([1e-4, 2e-4, 3e-4]), Difference(0.0, 0.0, 5, (6, 6))]
    assert moderated(still)[-1] == still[-1]


def gate(rng, effects, spread, count=6):
    """Which cases the two stages call regressed."""

    def measured():
        return [paired(list(rng.normal(math.log1p(effect), spread, count))) for effect in effects]

    first, second = moderated(measured()), moderated(measured())
    return [index for index in candidates(first, 0.02) if confirms(second[index], 0.02, len(effects))]


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
