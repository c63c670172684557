"""Which is not like the others: Rosner's own example, launches with long tails, false findings counted."""

import math
import random

import numpy as np
import pytest

from reports.fleet.outliers import middle_of, outliers, unlike

ROSNER = (
    -0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65, 1.69, 1.70, 1.76,
    1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26, 2.35, 2.37, 2.40, 2.47, 2.54,
    2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30, 4.64, 5.34, 5.42, 6.01,
)  # fmt: skip
"""Rosner's own data (1983), as in the NIST/SEMATECH handbook, section 1.3.5.17.3: three outliers at 5 %."""


def test_rosners_example():
    values = {str(index): value for index, value in enumerate(ROSNER)}
    assert {values[name] for name in outliers(values, 0.05)} == {6.01, 5.42, 5.34}


def test_two_bad_ones_do_not_hide_one_another():
    values = {f"n{i}": 0.01 * math.sin(i) for i in range(14)} | {"bad": 0.10, "worse": 0.11}
    assert outliers(values, 0.05) == {"bad", "worse"}


def test_too_few_have_no_outlier():
    assert outliers({"a": 0.0, "b": 0.0, "c": 9.0}, 0.05) == set()


def test_of_sixteen_alike_one_is_named_as_seldom_as_was_asked():
    tossed = random.Random(5)
    runs = 1000
    false = sum(bool(outliers({str(i): tossed.gauss(0, 0.02) for i in range(16)}, 0.05)) for _ in range(runs))
    assert 0.03 * runs <= false <= 0.07 * runs  # 50 +- 2.9 standard deviations


def test_one_launch_that_is_off_moves_no_figure_and_an_anchor_that_is_off_is_in_its_error():
    calm = np.array([[[0.0, 0.01, 0.02], [0.0, 0.01, 0.02]]])  # a case, two anchors of three launches
    assert middle_of(calm)[0] == pytest.approx(0.01)
    assert middle_of(calm)[1] == pytest.approx(math.sqrt(4e-4 / 5 / 6))
    one = calm.copy()
    one[0, 1, 2] = 0.4
    assert middle_of(one)[0] == pytest.approx(0.01)
    half = calm + np.array([0.0, 0.1])[:, None]
    middle, error = middle_of(half)
    assert middle == pytest.approx(0.06)
    assert error == pytest.approx(0.05)
    single = middle_of(np.array([[[0.3]], [[0.5]]]))  # two cases, one launch each: no error can be known
    assert (float(single[0]), float(single[1])) == (pytest.approx(0.4), 0.0)


def test_a_node_is_named_for_all_its_launches_and_not_for_a_bad_moment():
    tossed = np.random.default_rng(3)
    fleet = {str(node): tossed.normal(0, 0.01, (4, 2, 3)) + tossed.normal(0, 0.005) for node in range(12)}
    always, once = tossed.normal(0.06, 0.01, (2, 4, 2, 3))
    once[:, 0] += 0.06
    once[:, 1] -= 0.06
    assert middle_of(once)[0] == pytest.approx(middle_of(always)[0], abs=0.02)
    assert unlike({**fleet, "always": always}, 0.05) == {"always"}
    assert unlike({**fleet, "once": once}, 0.05) == set()


def test_launches_with_long_tails_make_no_machine_unlike_the_others():
    tossed = np.random.default_rng(4)
    false = rosners = 0
    fleets = 80
    for _ in range(fleets):
        moments = tossed.standard_t(2, (12, 1, 2, 1)) * 0.01  # what a moment did to all of an anchor's launches
        launches = moments + tossed.normal(0, 0.01, (12, 2, 2, 3))
        fleet = {str(node): logs for node, logs in enumerate(launches)}
        false += bool(unlike(fleet, 0.05))
        rosners += bool(outliers({node: float(middle_of(logs)[0]) for node, logs in fleet.items()}, 0.05))
    assert false <= 0.1 * fleets  # 5 %: 4 +- 2
    assert rosners >= 0.2 * fleets  # what the same values are taken for where the noise is thought to be normal


def test_nodes_whose_last_anchor_is_not_there_yet_are_compared_by_what_there_is():
    tossed = np.random.default_rng(5)
    fleet = {str(node): tossed.normal(0, 0.01, (2, 1 + node % 2, 3 - node % 2)) for node in range(8)}
    assert unlike({**fleet, "bad": tossed.normal(0.2, 0.01, (2, 1, 3))}, 0.05) == {"bad"}
