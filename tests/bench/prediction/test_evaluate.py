"""On a real grid: how far off predictions are, and how often their intervals hold."""

import numpy as np
import pytest

from bench.prediction import evaluate
from bench.prediction.evaluate import cheapest_choice, our_choice, ours, random_choice, score
from bench.prediction.facts import KnownWork
from suites.case import Case
from tests.support import grid


@pytest.fixture(scope="module")
def known():
    return evaluate.measured_of(grid.records(), "cpu")


def test_a_seventh_of_the_grid_tells_the_rest(known):
    chosen, random, cheapest, flops = evaluate.curve(known, [0.15], repeats=5)
    assert chosen.measured == 67
    assert chosen.hidden == 448 - 67
    assert chosen.median_error < 0.095
    assert chosen.median_error < random.median_error < 0.5 * flops.median_error
    assert flops.coverage is None
    for each in (chosen, random, cheapest):  # whatever the order, intervals hold
        assert 0.86 <= each.coverage <= 0.94, each.method
    assert chosen.half_width < random.half_width < cheapest.half_width


@pytest.mark.parametrize("choice", [our_choice, random_choice, cheapest_choice])
def test_intervals_of_a_third_hold_whatever_the_order_was(known, choice):
    found = score(known, "30%", "ours", [choice(known, 134, seed) for seed in range(5)], ours)
    assert 0.86 <= found.coverage <= 0.94


def test_more_of_the_grid_tells_more(known):
    errors = [next(evaluate.curve(known, [share], repeats=3)).median_error for share in (0.08, 0.15, 0.4)]
    assert errors == sorted(errors, reverse=True)


def test_a_net_that_was_never_measured_is_told_from_the_others(known):
    found = list(evaluate.left_out(known))
    model = [each.median_error for each in found if each.method == "left out, our model"]
    plain = [each.median_error for each in found if each.method == "left out, FLOPs alone"]
    assert len(model) == 7
    assert np.mean(model) < 0.2 < np.mean(plain)


def test_hidden_times_play_no_part(known):
    measured, drawn = our_choice(known, 60, seed=1)
    hidden = known.but(measured)
    before = ours(known.only(measured), range(20), hidden)
    after = ours(known.only(measured), range(20), type(hidden)(hidden.facts, hidden.seconds * 7, hidden.variances))
    assert drawn == measured[:20]
    np.testing.assert_array_equal(before.centre, after.centre)
    np.testing.assert_array_equal(before.half, after.half)


def test_too_few_measured_cases_give_errors_and_no_coverage(known):
    found = score(known, "few", "ours", [(range(19), range(19))], ours)
    assert found.median_error > 0
    assert found.coverage is None
    assert found.half_width is None


def test_work_at_other_batches_is_what_was_counted():
    """Two batch sizes of a net tell FLOPs, bytes and operators of all, exactly; one comes close."""
    nets = [record for record in grid.records() if record.seconds]
    ends = [record for record in nets if record.case["batch_size"] in {2, 4}]
    line, alone = KnownWork(ends), KnownWork([each for each in ends if each.case["batch_size"] == 2])
    exact = KnownWork(nets)
    for record in nets:
        case = Case.from_json(record.case)
        assert line.of(case) == exact.of(case)
        assert alone.of(case).flops == exact.of(case).flops
        assert alone.of(case).bytes == pytest.approx(exact.of(case).bytes, rel=0.03)
