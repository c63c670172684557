"""`dlhw gate` over two live sides: `run` is the flow. Measured here, judged in `reports.gate.judge`."""

import fnmatch
import math
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.gate.journal import GateJournal
from bench.records.pair import Entry
from reports.analysis.compare import differing
from reports.gate import plan as planning
from reports.gate.judge import Judgement, Terms, judge_pairs
from reports.gate.plan import Plan
from reports.gate.verdicts import Gate
from suites import units
from suites.cases import AnyCase
from suites.errors import DlhwError, NoBaseError

if TYPE_CHECKING:
    from bench.gate.session import Play, Stand
    from bench.gate.sides import Side

REPLACEMENTS = 2
"""Pairs that make up for lost ones, at most, in each stage."""
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the command line asks for.

    Attributes:
        tolerance: for every case; None: as the suite says.
        inject: pattern of case ids -> by how much head's cases are slowed down on purpose.
    """

    suite: str
    axes: tuple[str, ...] = ()
    pairs: int | None = None
    budget_seconds: float | None = None
    detect: float | None = None
    tolerance: float | None = None
    inject: Mapping[str, float]
    journal: Path
    resume: bool = False
    seed: int | None = None


@dataclass(frozen=True)
class Ground:
    """What is to be measured, known once both sides have been asked.

    Attributes:
        cases: all of base's and head's, head's first, by id.
        settled: those that a side cannot measure, or does not have; they are tried once.
        injected: by how much head is slowed down.
    """

    cases: Mapping[str, AnyCase]
    tolerances: Mapping[str, float]
    settled: frozenset[str]
    injected: Mapping[str, float]

    @property
    def measurable(self) -> list[AnyCase]:
        """By both sides, as far as is known beforehand."""
        return [case for name, case in self.cases.items() if name not in self.settled]


def run(wish: Wish, sides: "tuple[Side, Side]", say: Say, step: Say = lambda _: None) -> Gate:
    """Measure both sides and judge.

    Args:
        say: is told what a person should know, a line each.
        step: is told each small step.

    Raises:
        NoBaseError: base cannot be measured at all.
        DlhwError: something else a person can mend.
    """
    from bench.gate.session import Stand

    with Stand(*sides) as stand:
        say("starting both sides, and preparing what their results are checked against ...")
        ground = _ground(stand, wish)
        journal = GateJournal(wish.journal, _key(stand, ground, wish), resume=wish.resume)
        plan, seed, entries = _plan(stand, ground, wish, journal)
        say(plan.sentence() if plan.seen else "nothing that both sides can measure")
        rounds = _Rounds(stand, ground, plan, seed, journal, entries, say, step)
        with journal:
            rounds.look()
            remembered = {case: noise.sd for case, noise in planning.kept(stand.fingerprints[1]).items()}
            terms = Terms(tolerances=ground.tolerances, confirm=plan.confirm, detect=wish.detect, remembered=remembered)
            rounds.confirm(terms)
        found = judge_pairs(
            rounds.entries, terms, base=sides[0].label, head=sides[1].label, notes=tuple(_notes(stand, ground))
        )
        if not found.invalid:
            planning.keep(rounds.entries, stand.fingerprints[1])
    return found


def _ground(stand: "Stand", wish: Wish) -> Ground:
    from bench.gate.sides import suite_of

    try:
        base = suite_of(stand.sides[0], wish.suite, wish.axes)
    except DlhwError as error:
        raise NoBaseError(f"base's suite cannot be used: {error}") from error
    head = suite_of(stand.sides[1], wish.suite, wish.axes)
    if base is None and head is None:
        raise DlhwError(f"--suite {wish.suite}: neither base nor head has it")
    suites = (base, head)
    stand.describe([each.architectures if each else () for each in suites])
    budgets = [each.cases(stand.machine(place)) if each else {} for place, each in enumerate(suites)]
    shares = [each.tolerances(stand.machine(place)) if each else {} for place, each in enumerate(suites)]
    both = {**dict.fromkeys(budgets[1]), **dict.fromkeys(budgets[0])}
    only = {case: "" if case in budgets[0] and case in budgets[1] else _owner(case, budgets[1]) for case in both}
    outcomes = stand.prepare({case: (budgets[1].get(case) or budgets[0][case], only[case]) for case in both})
    tolerances = {
        case.id: shares[1].get(case, shares[0].get(case, 0.0)) if wish.tolerance is None else wish.tolerance
        for case in both
    }
    return Ground(
        {case.id: case for case in both},
        tolerances,
        frozenset(case.id for case, found in outcomes.items() if any(found)),
        _injected(wish.inject, [case.id for case in both]),
    )


def _owner(case: AnyCase, head: Iterable[AnyCase]) -> str:
    return "head" if case in head else "base"


def _injected(patterns: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for pattern, share in patterns.items():
        matched = fnmatch.filter(names, pattern)
        if not matched:
            raise DlhwError(f"--inject {pattern}: no case is called so; one is {names[0] if names else 'not there'}")
        found |= dict.fromkeys(matched, share)
    return found


def _key(stand: "Stand", ground: Ground, wish: Wish) -> dict[str, Any]:
    """What must be equal for an interrupted run to be gone on with."""
    return {
        "fingerprints": list(stand.fingerprints),
        "trees": [side.tree for side in stand.sides],
        "pythons": [side.python for side in stand.sides],
        "tolerances": dict(ground.tolerances),
        "injected": dict(ground.injected),
        "pairs": wish.pairs,
        "budget_seconds": wish.budget_seconds,
        "detect": wish.detect,
    }


def _plan(
    stand: "Stand", ground: Ground, wish: Wish, journal: GateJournal
) -> tuple[Plan, int, list[Entry]]:  # fmt: skip
    """As it was where a run is gone on with; else by what is known of the machine."""
    from bench.gate.session import NEGATIVES, POSITIVES

    if journal.taken is not None:
        header = journal.taken
        try:
            return Plan(**header["plan"]), int(header["seed"]), list(journal.entries)
        except (LookupError, TypeError, ValueError) as error:
            raise DlhwError(
                f"{wish.journal}: its first line is damaged ({error}); start anew without --resume"
            ) from error
    measurable = [case.id for case in ground.measurable]
    found = planning.plan(
        {name: ground.tolerances[name] for name in measurable},
        planning.kept(stand.fingerprints[1]),
        controls=min(NEGATIVES, len(measurable)) + min(POSITIVES, len(measurable)),
        pairs=wish.pairs, budget_seconds=wish.budget_seconds, detect=wish.detect,
    )  # fmt: skip
    seed = secrets.randbits(32) if wish.seed is None else wish.seed
    journal.begin({"plan": asdict(found), "seed": seed})
    return found, seed, []


class _Rounds:
    """Measures both stages; each pair of a case is an entry, and in the journal at once."""

    def __init__(
        self, stand: "Stand", ground: Ground, plan: Plan, seed: int, journal: GateJournal, entries: list[Entry],
        say: Say, step: Say,
    ) -> None:  # fmt: skip
        self._stand, self._ground, self._plan, self._seed = stand, ground, plan, seed
        self._journal, self._say, self._step = journal, say, step
        self.entries = entries

    def look(self) -> None:
        """Stage 1: all cases and the controls."""
        from bench.gate.session import Play, controls

        plays = [Play(case, "", self._ground.injected.get(name, 0.0)) for name, case in self._ground.cases.items()]
        if self._ground.measurable:
            coin = random.Random(self._seed)  # noqa: S311 - not for secrets
            plays += controls(self._ground.measurable, self._plan.injected, coin)
        self._stage(1, plays, self._plan.pairs if self._ground.measurable else 1)

    def confirm(self, terms: Terms) -> None:
        """Stage 2: the candidates by fresh pairs, and base against itself in the same."""
        from bench.gate.session import NEGATIVES, Play

        run_ = Judgement(self.entries, terms)
        names = run_.candidates()
        if not names:
            return
        first = run_.first.of("")
        noise = [(first[n].error * math.sqrt(first[n].launches[0]), terms.tolerances[n]) for n in names]
        count = planning.confirming(noise, self._plan.confirm, len(run_.judged))
        self._say(f"{len(names)} of {len(run_.judged)} cases look slower: {count} fresh pairs of {', '.join(names)}")
        chosen = [self._ground.cases[name] for name in names]
        plays = [Play(case, "", self._ground.injected.get(case.id, 0.0)) for case in chosen]
        plays += [Play(case, "negative") for case in chosen[:NEGATIVES]]
        self._stage(2, plays, count)

    def _stage(self, stage: int, plays: "Sequence[Play]", pairs: int) -> None:
        start, done = time.monotonic(), 0
        for number in range(1, pairs + REPLACEMENTS + 1):
            left = list(self._left(stage, number, plays, pairs))
            if not left:
                continue
            coin = random.Random(f"{self._seed} {stage} {number}")  # noqa: S311 - not for secrets
            for place, (play, pair, seconds) in enumerate(self._stand.pair(left, coin), 1):
                self._step(f"pair {number} of {pairs}: {place} of {len(left)}, {play.case.id}")
                entry = Entry(
                    stage=stage, number=number, case=play.case.id, control=play.control, injected=play.injected,
                    seconds=seconds, pair=pair,
                )  # fmt: skip
                self._journal.append(entry)
                self.entries.append(entry)
            done += 1
            if number < pairs:
                left_seconds = (time.monotonic() - start) / done * (pairs - number)
                self._say(f"pair {number} of {pairs}; about {units.duration(left_seconds)} left of this stage")

    def _left(self, stage: int, number: int, plays: "Sequence[Play]", pairs: int) -> "Iterator[Play]":
        """What is still to be measured in this pair; beyond the planned ones what makes up for pairs that were lost."""
        for play in plays:
            own = [entry for entry in self.entries
                   if (entry.stage, entry.case, entry.control) == (stage, play.case.id, play.control)]  # fmt: skip
            there = any(entry.number == number for entry in own)
            settled = play.case.id in self._ground.settled and number > 1
            counted = sum(entry.pair.log_ratio is not None for entry in own)
            replaces = 0 < counted < pairs or number <= pairs
            if not there and not settled and replaces:
                yield play


def _notes(stand: "Stand", ground: Ground) -> Iterator[str]:
    """What else a reader must know."""
    base, head = stand.sides
    if base.tree and base.tree == head.tree:
        yield "base and head are the same code"
    for name, (first, second) in differing(stand.environments):
        yield f"{name}: {first} in base, {second} in head"
    for name, share in ground.injected.items():
        yield f"head's {name} was slowed down by {100 * share:g} % on purpose"
