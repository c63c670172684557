"""Two measuring processes by turns: what the machine does to one, it does to the other a moment later."""

import math
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.launch import Worker
from bench.record import Outcome, Status
from suites.case import Budget, Case

SLICE_SECONDS = 0.06
TURNS = 8
"""Slices of each half, for each case of a pair."""
LOAD_SECONDS = 120.0


class Half(Protocol):
    """One process of a pair."""

    def load(self, index: int) -> Mapping[str, Any]:
        """Make a case ready: its `outcome` where that failed, else its `step_seconds`."""

    def slice(self, steps: int) -> Sequence[float]:
        """Seconds of so many steps; none where the process has died."""


@dataclass(frozen=True)
class Pair:
    """What one pair of processes says of one case.

    Attributes:
        log_ratio: of time, head over base; None where a half could not measure.
        base, head: medians of the slices in the order of time, seconds.
        outcomes: of base and of head, where one was not measured.
    """

    log_ratio: float | None
    base: tuple[float, ...] = ()
    head: tuple[float, ...] = ()
    outcomes: tuple[Outcome | None, Outcome | None] = (None, None)


def play(base: Half, head: Half, index: int, coin: random.Random, turns: int = TURNS) -> Pair:
    """Measure a case by slices in turns, A B B A B A A B ..., who begins by the coin; as many steps for both.

    The ratio is the median over neighbours in time: a drift between two slices is the smaller, the nearer they are.
    """
    halves = (base, head)
    order = [0, 1] if coin.random() < 1 / 2 else [1, 0]
    loaded: dict[int, Mapping[str, Any]] = {place: halves[place].load(index) for place in order}
    outcomes = tuple(_outcome(loaded[place]) for place in (0, 1))
    if any(outcomes):
        return Pair(None, outcomes=(outcomes[0], outcomes[1]))
    slowest = max(loaded[place]["step_seconds"] for place in (0, 1))
    steps = max(1, math.ceil(SLICE_SECONDS / slowest))
    medians: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns):
        for place in order if turn % 2 == 0 else order[::-1]:
            seconds = halves[place].slice(steps)
            if not seconds:
                died = Outcome(Status.CRASHED, "ended between two slices")
                return Pair(None, outcomes=(died if place == 0 else None, died if place == 1 else None))
            medians[place].append(statistics.median(seconds))
    ratios = [math.log(after / before) for before, after in zip(*medians, strict=True)]
    return Pair(statistics.median(ratios), tuple(medians[0]), tuple(medians[1]))


def _outcome(loaded: Mapping[str, Any]) -> Outcome | None:
    found = loaded.get("outcome")
    return Outcome(Status(found["status"]), found["reason"]) if found else None


class WorkerHalf:
    """A half that is a fresh interpreter, of any Python, with any checkout's `bench`."""

    def __init__(self, worker: Worker, cases: Sequence[tuple[Case, Mapping[str, Any]]], budget: Budget) -> None:
        self._worker = worker
        wanted = [{"case": case.to_json(), "reference": dict(reference)} for case, reference in cases]
        worker.begin("slices", cases=wanted, budget=budget.model_dump())

    def load(self, index: int) -> Mapping[str, Any]:
        """As `Half` has it."""
        answer = self._worker.ask({"load": index}, LOAD_SECONDS)
        if answer is None:
            reason = f"ended while it was loaded; last words: {self._worker.last_words[-200:] or 'none'}"
            return {"outcome": {"status": Status.CRASHED, "reason": reason}}
        return answer

    def slice(self, steps: int) -> Sequence[float]:
        """As `Half` has it."""
        answer = self._worker.ask({"slice": steps}, LOAD_SECONDS)
        return tuple(answer["seconds"]) if answer else ()


def shuffled(count: int, coin: random.Random) -> Iterator[int]:
    """Places of the cases in an order of its own for each pair."""
    order = list(range(count))
    coin.shuffle(order)
    return iter(order)
