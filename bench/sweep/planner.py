"""What to launch next within a budget of time: pure functions of what is known of each case so far.

A case without a number comes first, the cheapest before the others (where the budget holds no look at all of them,
the most telling: `bench/sweep/telling.py`); then a fresh launch goes where it narrows an
interval most for what it costs, and to cases of which every launch was disturbed. A case's launches are spread over the
run: launches that follow one another share the machine's mood of the minute.
"""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LOOK = 3.0
"""What a first number is worth, in half widths of 100 %: what compiles in 15 s comes before the last percent."""
DISTURBED = 0.5
"""What an undisturbed launch is worth where there is none; less after each that was disturbed as well."""
TYPICAL_SD = 0.015
"""Of the logarithms of launches' medians, before this run has shown its own; on quiet machines 0.01 to 0.03."""
WEIGHT = 4
"""So many degrees of freedom has what other cases show of a case's spread."""
FEWEST = 3
"""Launches for an interval worth having: Student's t of two is 12.7."""
FACTOR = {1: 8.98, 2: 8.98, 3: 2.48, 4: 1.59, 5: 1.24}
"""Number of launches -> half width of their interval, in standard deviations: Student's t over the root."""
ROUNDING_SECONDS = 1e-6
DRAWN, DRAWN_SHARE = 24, 0.3
"""Cases that are drawn where not all can be looked at, and no more of the time than this: intervals rest on them."""
SURE = 0.7
"""What all looks are guessed to take may be this share of the budget before it is doubted that it holds them."""
BY_RANKS = 3.0
"""Over the root of six launches and more: the interval by order statistics, in standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of a case.

    Attributes:
        medians: seconds, of the launches that count.
        within: half width of the interval within a launch, as a share; 0 where there is none.
        half_width: of the interval of all that count, as a share; None where there is none.
        launches: that were made, those set aside included.
        cost_seconds: of one more.
        last: number of the run's launch that was this case's last; -1 where there was none.
        precision: half width that is wanted.
        most: launches that are wanted at most; None: as many as there is time for.
        drawn: by lot, to be looked at before all others: by these the rest is predicted, and only a lot is fair.
    """

    case_id: str
    medians: tuple[float, ...] = ()
    within: float = 0.0
    half_width: float | None = None
    launches: int = 0
    cost_seconds: float
    last: int = -1
    precision: float
    most: int | None = None
    drawn: bool = False

    @property
    def settled(self) -> bool:
        """Whether nothing more is wanted of it."""
        if self.most is not None and self.launches >= self.most:
            return True
        return len(self.medians) >= FEWEST and self.half_width is not None and self.half_width <= self.precision


def choose(standings: Sequence[Standing], left_seconds: float) -> str | None:
    """The case to launch next; None where all are settled, or no launch ends in the time that is left."""
    open_ones = [each for each in standings if not each.settled]
    for each in open_ones:
        if each.drawn and not each.launches and each.cost_seconds <= left_seconds + ROUNDING_SECONDS:
            return each.case_id
    spread = pooled_sd(standings)
    affordable = [each for each in open_ones if _needs(each, open_ones) <= left_seconds + ROUNDING_SECONDS]
    best = max(_rested(affordable), key=lambda each: (gain(each, spread) / each.cost_seconds, -each.last), default=None)
    return best.case_id if best else None


def looks(standings: Sequence[Standing], left_seconds: float) -> dict[str, float]:
    """Case id -> seconds of a first look, of those that end in the time that is left; none while drawn ones wait."""
    new = [each for each in standings if not each.launches and each.cost_seconds <= left_seconds + ROUNDING_SECONDS]
    return {} if any(each.drawn for each in new) else {each.case_id: each.cost_seconds for each in new}


def gain(case: Standing, spread: float) -> float:
    """By how much a launch is thought to narrow the interval; the mean of two, where one alone says next to nothing."""
    if not case.launches:
        return LOOK
    count = len(case.medians)
    if not count:
        return DISTURBED / case.launches
    aim = FEWEST if count < FEWEST else count + 1
    narrower = factor(count) - factor(aim)
    launches = FEWEST - 1 if count < FEWEST else 1
    return narrower / launches * _sd(case, spread)


def factor(launches: int) -> float:
    """Half width of the interval of so many launches, in their standard deviations."""
    return FACTOR.get(launches, BY_RANKS / math.sqrt(launches))


def pooled_sd(standings: Sequence[Standing]) -> float:
    """How much launches of a case differ, over all cases that have several: sd of the logarithms."""
    total, freedom = WEIGHT * TYPICAL_SD**2, WEIGHT
    for each in standings:
        total += _squares(each.medians)
        freedom += max(0, len(each.medians) - 1)
    return math.sqrt(total / freedom)


def _sd(case: Standing, spread: float) -> float:
    """Of a case's launches: its own, drawn towards that of all, and no less than what its samples show."""
    freedom = WEIGHT + max(0, len(case.medians) - 1)
    own = math.sqrt((WEIGHT * spread**2 + _squares(case.medians)) / freedom)
    return math.hypot(own, case.within / 1.96) if len(case.medians) == 1 else own


def _squares(medians: Sequence[float]) -> float:
    if len(medians) < 2:
        return 0.0
    return (len(medians) - 1) * statistics.variance(map(math.log, medians))


def _rested(cases: Sequence[Standing]) -> list[Standing]:
    """Cases without a number, and of the others the half that was launched longest ago."""
    new = [each for each in cases if not each.launches]
    others = sorted((each for each in cases if each.launches), key=lambda each: each.last)
    return new + others[: math.ceil(len(others) / 2)]


def _needs(case: Standing, cases: Sequence[Standing]) -> float:
    """What has to be left for a launch to be begun: time for the third of each case that has two comes first."""
    count = len(case.medians)
    if not case.launches or count == FEWEST - 1 or (case.most or FEWEST) < FEWEST:
        return case.cost_seconds
    begun = sum(each.cost_seconds for each in cases if len(each.medians) == FEWEST - 1)
    return begun + case.cost_seconds * (2 if count == 1 else 1)


def draw(costs_seconds: Mapping[str, float], budget_seconds: float, seed: str) -> frozenset[str]:
    """Cases to look at first, by lot, where the budget does not hold a look at all of them; else none.

    In the lot's order until number or time is reached: to pass over the dear ones would be no lot.

    Args:
        costs_seconds: case id -> seconds of a look.
    """
    if sum(costs_seconds.values()) <= SURE * budget_seconds:
        return frozenset()
    order = sorted(costs_seconds)
    random.Random(seed).shuffle(order)  # noqa: S311 - a lot, no secret
    left, found = DRAWN_SHARE * budget_seconds, []
    for case_id in order[:DRAWN]:
        left -= costs_seconds[case_id]
        if left < 0:
            break
        found.append(case_id)
    return frozenset(found)
