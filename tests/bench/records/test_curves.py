"""Plateaus, crossings and ratios, where the right answer is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.curves import Plateau, Ratio, crossing, plateaus, ratio
from bench.records.summary import Value

LEVELS = ((1e-9, 3), (4e-9, 5), (15e-9, 5), (150e-9, 4))


def staircase(jitter):
    """Four levels over sizes 2^10, 2^11, ...; each value off by a factor of the series `jitter`."""
    values = [level for level, count in LEVELS for _ in range(count)]
    return [
        (2.0 ** (10 + index), value * factor) for index, (value, factor) in enumerate(zip(values, jitter, strict=True))
    ]


@given(st.lists(st.floats(0.84, 1.19), min_size=17, max_size=17))
def test_levels_are_found_under_jitter(jitter):
    found = plateaus(staircase(jitter))
    assert [plateau.last for plateau in found] == [2.0**12, 2.0**17, 2.0**22, 2.0**26]
    assert [plateau.first for plateau in found] == [2.0**10, 2.0**13, 2.0**18, 2.0**23]


def test_a_plateaus_value_is_the_geometric_mean():
    assert plateaus([(1, 1.0), (2, 1.21)]) == [Plateau(1, 2, pytest.approx(1.1))]


@pytest.mark.parametrize(
    ("values", "lasts"),
    [([5.0], [0]), ([5.0] * 9, [8]), ([1.0, 8.0, 64.0], [0, 1, 2]), ([1.0, 1.0, 2.9, 2.9, 1.0], [1, 3, 4])],
)
def test_the_fewest_plateaus_that_fit(values, lasts):
    assert [plateau.last for plateau in plateaus(list(enumerate(values)))] == lasts


def test_of_as_few_plateaus_the_closest():
    assert [plateau.last for plateau in plateaus([(0, 1.0), (1, 1.3), (2, 2.2), (3, 2.3)])] == [1, 3]


def test_nothing_has_no_plateaus():
    assert plateaus([]) == []


def test_a_power_law_crosses_where_it_does():
    points = [(float(size), 3e-9 * size) for size in (1, 10, 100, 1000, 10000)]
    assert crossing(points, 3e-9 * 200) == pytest.approx(200)
    assert crossing(points, 3e-9 * 10000) == pytest.approx(10000)


def test_a_curve_that_never_gets_there_crosses_nowhere():
    assert crossing([(1, 1.0), (2, 1.5)], 2.0) is None
    assert crossing([(1, 5.0), (2, 6.0)], 2.0) is None


def test_the_last_crossing_is_the_one_for_good():
    assert crossing([(1, 1.0), (2, 4.0), (4, 1.0), (8, 4.0)], 2.0) == pytest.approx(math.sqrt(32))


def test_a_ratios_interval_is_the_widest_that_both_allow():
    found = ratio(Value("seconds", 6.0, 5.0, 8.0), Value("seconds", 3.0, 2.0, 4.0))
    assert found == Ratio(2.0, 1.25, 4.0)
    assert found.certain


@pytest.mark.parametrize(
    ("found", "certain"),
    [
        (Ratio(1.1, 1.01, 1.2), True), (Ratio(0.9, 0.8, 0.99), True), (Ratio(1.1, 1.0, 1.2), False),
        (Ratio(1.1, 0.9, 1.2), False), (Ratio(2.0, None, None), False),
    ],
)  # fmt: skip
def test_a_difference_is_certain_where_the_interval_excludes_once(found, certain):
    assert found.certain is certain


def test_without_an_interval_there_is_none():
    assert ratio(Value("seconds", 6.0, None, None), Value("seconds", 3.0, 2.0, 4.0)) == Ratio(2.0, None, None)
