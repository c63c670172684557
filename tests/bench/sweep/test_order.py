"""The order in which cases are measured, and what it does for the promise of the rest, on a real grid."""

from collections import Counter

import pytest

from bench.sweep.costs import Costs
from bench.sweep.order import spread
from suites import cases
from suites.case import Budget
from tests.support import grid


def rows():
    """Case -> record, as the grid was measured: one net after the other."""
    return {cases.from_json(record.case): record for record in grid.records() if record.cost}


def promises(rows):
    """(share of the run that is over, promised seconds as a share of what the rest took) before each case."""
    costs, budget, done, found = Costs(), Budget(), 0.0, []
    whole = sum(record.cost["total"] for record in rows.values())
    left = dict(rows)
    for case, record in rows.items():
        found.append((done / whole, costs.rest((each, budget, 1) for each in left) / (whole - done)))
        costs.learn(case, budget, record)
        done += record.cost["total"]
        del left[case]
    return found


def test_each_net_has_its_share_of_every_tenth_of_the_run():
    ordered = spread(rows())
    tenth = len(ordered) // 10
    whole = Counter(case.architecture for case in ordered)
    for start in range(0, 10 * tenth, tenth):
        found = Counter(case.architecture for case in ordered[start : start + tenth])
        assert {net: found[net] for net in whole} == pytest.approx({net: n / 10 for net, n in whole.items()}, abs=3)


def test_batches_ascend_within_a_configuration():
    """Where a batch runs out of memory the larger ones are not tried."""
    seen = {}
    for case in spread(rows()):
        assert seen.get(case.configuration, 0) < case.batch_size
        seen[case.configuration] = case.batch_size


def test_nothing_is_lost_and_nothing_comes_twice():
    assert sorted(case.id for case in spread(rows())) == sorted(case.id for case in rows())


def test_promises_hold_within_15_percent_from_a_fifth_of_the_run_on():
    """On a machine that was never seen; as they come in the suite, net after net, one in twelve does not."""
    measured = rows()
    spread_out = promises({case: measured[case] for case in spread(measured)})
    errors = [abs(share - 1) for over, share in spread_out if 0.2 <= over <= 0.9]
    assert sum(error <= 0.15 for error in errors) / len(errors) > 0.98
    in_turn = [abs(share - 1) for over, share in promises(measured) if 0.2 <= over <= 0.9]
    assert sum(error <= 0.15 for error in in_turn) / len(in_turn) < 0.95
