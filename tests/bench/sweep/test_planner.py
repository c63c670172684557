"""What is launched next within a budget: a run of cases whose costs and medians are made up, on a clock of its own."""

import itertools
import math
import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records.summary import launch_interval
from bench.sweep.planner import DRAWN, DRAWN_SHARE, TYPICAL_SD, Standing, choose, draw, factor, gain, looks, pooled_sd


def standing(case_id="a", *medians, cost=1.0, **parts):
    known = {"medians": medians, "launches": len(medians), "precision": 0.05, "cost_seconds": cost}
    return Standing(case_id=case_id, **known | parts)


@dataclass
class Run:
    """Launches what is chosen until nothing is; medians of a case differ by `sd`, some launches are disturbed."""

    costs: dict[str, float]
    budget: float
    sd: float = 0.01
    disturbed: float = 0.0
    most: int | None = None
    order: list[str] = field(default_factory=list)
    spent: float = 0.0

    def go(self):
        coin, medians, made = random.Random(1), {name: [] for name in self.costs}, dict.fromkeys(self.costs, 0)
        last = dict.fromkeys(self.costs, -1)
        while True:
            known = [
                Standing(
                    case_id=name, medians=tuple(found), half_width=self.half_width(found), launches=made[name],
                    cost_seconds=self.costs[name], last=last[name], precision=0.05, most=self.most, within=0.01,
                )
                for name, found in medians.items()
            ]  # fmt: skip
            name = choose(known, self.budget - self.spent)
            if name is None:
                self.counts = {name: len(found) for name, found in medians.items()}
                return self
            self.spent += self.costs[name]
            made[name] += 1
            last[name] = len(self.order)
            self.order.append(name)
            if coin.random() >= self.disturbed:
                medians[name].append(math.exp(coin.gauss(0, self.sd)))

    def half_width(self, medians):
        interval = launch_interval(medians)
        return interval and (interval[1] - interval[0]) / 2


COSTS = {f"case {n}": 0.2 + 0.05 * n for n in range(20)}


def test_every_case_is_looked_at_first_the_cheapest_before_the_others():
    run = Run(COSTS, budget=60).go()
    assert run.order[: len(COSTS)] == sorted(COSTS, key=COSTS.__getitem__)


def test_what_does_not_fit_is_not_begun_and_the_cheapest_are_reached():
    run = Run(COSTS, budget=3.01).go()
    assert run.order == list(COSTS)[:8]
    assert run.spent == pytest.approx(3.0)


def test_then_every_case_has_three_launches_and_they_are_spread_over_the_run():
    run = Run(COSTS, budget=60).go()
    assert set(run.counts.values()) <= {3, 4, 5}
    assert all(first != second for first, second in itertools.pairwise(run.order))
    gaps = [second - first for name in COSTS for first, second in itertools.pairwise(places(run.order, name))]
    assert min(gaps) >= len(COSTS) // 4


def places(order, name):
    return [index for index, each in enumerate(order) if each == name]


def test_the_budget_is_used_but_for_one_case_while_something_is_unsettled():
    run = Run(COSTS, budget=40, sd=0.2).go()
    assert 40 - max(COSTS.values()) <= run.spent <= 40


def test_what_is_known_to_its_precision_ends_the_run_early():
    run = Run(COSTS, budget=1000, sd=0.002).go()
    assert set(run.counts.values()) == {3}
    assert run.spent == pytest.approx(3 * sum(COSTS.values()))


def test_a_second_launch_is_begun_only_where_there_is_time_for_a_third():
    for budget in range(20, 41):
        counts = Run(COSTS, budget=budget).go().counts.values()
        assert sum(count == 2 for count in counts) == 0, budget


def test_a_compiled_case_enters_when_it_is_worth_its_price():
    costs = COSTS | {"compiled": 15.0}
    short, long = Run(costs, budget=20).go(), Run(costs, budget=60).go()
    assert "compiled" not in short.order
    assert len(COSTS) <= long.order.index("compiled") < 2 * len(COSTS)
    dear = Run(COSTS | {"compiled": 200.0}, budget=260).go()
    assert dear.order.index("compiled") > 3 * len(COSTS), "last, after all others have what they want"


def test_the_disturbed_are_launched_again():
    run = Run(COSTS, budget=200, disturbed=0.4).go()
    assert min(run.counts.values()) >= 3


def test_a_case_that_is_always_disturbed_does_not_eat_the_run():
    quiet = {f"case {n}": 0.5 for n in range(5)}
    run = Run(quiet, budget=30, sd=0.1, disturbed=1.0).go()
    assert max(run.order.count(name) for name in quiet) <= 30 / 0.5 / 5 + 1


def test_no_more_launches_than_are_asked_for():
    run = Run(COSTS, budget=1000, sd=0.2, most=4).go()
    assert set(run.counts.values()) == {4}


def test_a_wide_interval_goes_before_a_narrow_one_and_a_cheap_launch_before_a_dear_one():
    narrow, wide = standing("narrow", 1.0, 1.001, 1.0), standing("wide", 1.0, 1.3, 0.8)
    assert choose([narrow, replace(wide, last=-2)], 10) == "wide"
    dear = standing("dear", 1.0, 1.01, 1.02, cost=9.0, last=0)
    cheap = standing("cheap", 1.0, 1.01, 1.02, last=1)
    others = [standing(f"{n}", 1.0, 1.0, 1.0, last=5 + n) for n in range(3)]
    assert choose([dear, cheap, *others], 100) == "cheap"


def test_nothing_fits_or_nothing_is_open():
    assert choose([standing("a", cost=5.0)], 4.9) is None
    assert choose([], 10) is None
    assert choose([standing("a", 1.0, 1.0, 1.0, half_width=0.05)], 10) is None
    assert choose([standing("a", 1.0, 1.0, half_width=0.01)], 10) == "a", "two launches say next to nothing"


def test_the_spread_is_learnt_from_all_cases():
    assert pooled_sd([]) == pytest.approx(TYPICAL_SD)
    noisy = [standing(f"{n}", 1.0, 1.2, 0.85) for n in range(30)]
    assert pooled_sd(noisy) == pytest.approx(0.17, abs=0.02)
    assert gain(standing("a", 1.0), 0.1) > gain(standing("a", 1.0), 0.01)


def test_more_launches_never_widen():
    assert all(factor(n) >= factor(n + 1) for n in range(1, 200))


@settings(max_examples=60, deadline=None)
@given(
    costs=st.lists(st.floats(0.1, 30), min_size=1, max_size=12),
    budget=st.floats(0, 120),
    sd=st.floats(0, 0.3),
    disturbed=st.floats(0, 1),
)
def test_no_run_is_longer_than_its_budget(costs, budget, sd, disturbed):
    run = Run({f"case {n}": cost for n, cost in enumerate(costs)}, budget, sd=sd, disturbed=disturbed).go()
    assert run.spent <= budget + 1e-5
    if run.spent < budget - max(costs) * 3:
        assert all(count >= 3 for count in run.counts.values())


def test_what_was_drawn_is_looked_at_before_what_is_cheaper():
    cases = [standing("cheap", cost=0.1), standing("dear", cost=5.0, drawn=True)]
    assert choose(cases, 10.0) == "dear"
    assert choose(cases, 3.0) == "cheap"
    assert choose([cases[0], standing("dear", 1.0, cost=5.0, drawn=True)], 10.0) == "cheap"


def test_what_tells_most_is_asked_only_when_the_lot_has_been_looked_at():
    cases = [standing("new"), standing("known", 1.0), standing("dear", cost=9.0)]
    assert looks([*cases, standing("lot", drawn=True)], 5.0) == {}
    assert looks([*cases, standing("lot", 1.0, drawn=True)], 5.0) == {"new": 1.0}
    assert looks([*cases, standing("lot", cost=8.0, drawn=True)], 5.0) == {"new": 1.0}, "there is no time for it"


def test_a_lot_is_drawn_only_where_not_all_can_be_looked_at():
    costs = {str(number): 1.0 for number in range(100)}
    assert draw(costs, 143.0, "seed") == frozenset()
    drawn = draw(costs, 90.0, "seed")
    assert len(drawn) == DRAWN
    assert drawn == draw(dict(reversed(costs.items())), 90.0, "seed") != draw(costs, 90.0, "other")


def test_a_lot_takes_its_share_of_the_time_and_passes_over_nothing():
    costs = {str(number): float(1 + number % 7) for number in range(200)}
    drawn = draw(costs, 100.0, "seed")
    order = sorted(costs)
    random.Random("seed").shuffle(order)
    assert drawn == frozenset(order[: len(drawn)])
    assert (
        sum(costs[name] for name in drawn) <= DRAWN_SHARE * 100.0 < sum(costs[name] for name in order[: len(drawn) + 1])
    )
