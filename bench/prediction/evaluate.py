"""How good predictions are, on cases that were measured: some of them are hidden, predicted, and looked up.

Hidden cases give their axes and their counted work, nothing that was measured of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.prediction import predict
from bench.prediction.choose import choose
from bench.prediction.facts import KnownWork
from bench.prediction.intervals import FEWEST
from bench.prediction.mean import Array
from bench.prediction.predict import Learnt
from bench.records.record import Record

SHARES = (0.05, 0.10, 0.15, 0.30)
REPEATS = 10
DRAWN = 20
"""By lot, beside those that were chosen."""
FEWEST_TO_EVALUATE = 60
"""Of one device: of fewer, a twentieth says nothing."""


@dataclass(frozen=True)
class Score:
    """Of all hidden cases of all repeats.

    Attributes:
        what: share that was measured, or the net that was left out.
        method: how the cases to measure were chosen, and what predicted the rest.
        measured, hidden: cases of one repeat.
        median_error, p90_error: |predicted / measured - 1|.
        coverage: of the intervals, how many hold; None where there are none.
        half_width: of a middle interval, as a factor less 1.
    """

    what: str
    method: str
    measured: int
    hidden: int
    median_error: float
    p90_error: float
    coverage: float | None
    half_width: float | None


@dataclass(frozen=True)
class Guess:
    """Logarithms of predicted times and the half widths of their intervals; zeros where there are none."""

    centre: Array
    half: Array


Predictor = Callable[[Learnt, Sequence[int], Learnt], Guess]
"""(measured, which of them were drawn by lot, hidden) -> guess of the hidden ones' times."""


def ours(known: Learnt, drawn: Sequence[int], hidden: Learnt) -> Guess:
    """What `predict` does."""
    found = predict.timed(known, hidden.facts, drawn)
    middle = np.log([each.median_seconds or np.nan for each in found])
    half = np.array(
        [0.0 if each.high is None else np.log(each.high) - at for each, at in zip(found, middle, strict=True)]
    )
    return Guess(middle, half)


def by_flops(known: Learnt, drawn: Sequence[int], hidden: Learnt) -> Guess:
    """A straight line through logarithms of FLOPs and time."""
    del drawn
    flops = [np.log([max(1.0, facts.work.flops) for facts in part.facts]) for part in (known, hidden)]
    slope, constant = np.polyfit(flops[0], np.log(known.seconds), 1)
    return Guess(slope * flops[1] + constant, np.zeros(len(flops[1])))


def measured_of(records: Iterable[Record], device: str) -> Learnt:
    """What can be learnt of one device."""
    nets = [record for record in records if record.seconds and record.case.get("kind", "net") == "net"]
    here = [record for record in nets if record.case["device"] == device]
    return predict.learnt(here, KnownWork(nets))


def curve(
    known: Learnt, shares: Sequence[float] = SHARES, repeats: int = REPEATS, seed: int = 0
) -> Iterator[Score]:  # fmt: skip
    """Errors against the share that is measured: by our choice of cases, by others, and by FLOPs alone."""
    for share in shares:
        count = round(share * len(known.facts))
        random = [random_choice(known, count, seed + number) for number in range(repeats)]
        designed = [our_choice(known, count, seed + number) for number in range(repeats)]
        what = f"{share:.0%}"
        cheapest = [cheapest_choice(known, count, seed + number) for number in range(repeats)]
        yield score(known, what, "chosen cases, our model", designed, ours)
        yield score(known, what, "random cases, our model", random, ours)
        yield score(known, what, "a lot and the cheapest, our model", cheapest, ours)
        yield score(known, what, "random cases, FLOPs alone", random, by_flops)


def left_out(known: Learnt) -> Iterator[Score]:
    """Each net predicted from all others."""
    names = [facts.case.architecture for facts in known.facts]
    for net in dict.fromkeys(names):
        rest = [number for number, name in enumerate(names) if name != net]
        if len(rest) >= predict.FEWEST_MEASURED:
            yield score(known, net, "left out, our model", [(rest, [])], ours)
            yield score(known, net, "left out, FLOPs alone", [(rest, [])], by_flops)


Split = tuple[Sequence[int], Sequence[int]]
"""Numbers of the cases that are measured, and of those among them that were drawn at random."""


def our_choice(known: Learnt, count: int, seed: int) -> Split:
    """As `choose` would, where every case costs the same."""
    number_of = {facts.case.id: number for number, facts in enumerate(known.facts)}
    choice = choose(known.facts, dict.fromkeys(number_of, 1.0), count, seed=seed, draw=DRAWN)
    drawn = [number_of[name] for name in choice.random]
    return drawn + [number_of[name] for name in choice.chosen], drawn


def cheapest_choice(known: Learnt, count: int, seed: int) -> Split:
    """Some drawn by lot, then those whose steps are the shortest: what a plan does that does not care for the rest."""
    drawn = random_choice(known, min(DRAWN, count // 2), seed)[0]
    rest = [int(number) for number in np.argsort(known.seconds, kind="stable") if number not in set(drawn)]
    return [*drawn, *rest[: count - len(drawn)]], drawn


def random_choice(known: Learnt, count: int, seed: int) -> Split:
    """All at random."""
    drawn = np.random.default_rng(seed).permutation(len(known.facts))[:count].tolist()
    return drawn, drawn


def score(known: Learnt, what: str, method: str, splits: Sequence[Split], predictor: Predictor) -> Score:
    """Hide all but the measured of each split, and see."""
    errors, held, halves = [], [], []
    for measured, drawn in splits:
        hidden = known.but(measured)
        places = [list(measured).index(number) for number in drawn]
        guess = predictor(known.only(measured), places, hidden)
        away = guess.centre - np.log(hidden.seconds)
        errors.append(np.abs(np.exp(away) - 1))
        held.append(np.abs(away) <= guess.half)
        halves.append(guess.half)
    error, half = np.concatenate(errors), np.concatenate(halves)
    known_widths = len(splits[0][0]) >= FEWEST and bool(half.any())
    return Score(
        what=what, method=method, measured=len(splits[0][0]), hidden=len(errors[0]),
        median_error=float(np.median(error)), p90_error=float(np.quantile(error, 0.9)),
        coverage=float(np.concatenate(held).mean()) if known_widths else None,
        half_width=float(np.exp(np.median(half)) - 1) if known_widths else None,
    )  # fmt: skip
