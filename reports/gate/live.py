"""`dlhw gate` over two live sides: `run` is the flow. Measured here, judged in `reports.gate.judge`."""

import fnmatch
import math
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.gate.journal import GateJournal
from bench.records.pair import Entry
from reports.analysis.compare import differing
from reports.gate import early
from reports.gate import plan as planning
from reports.gate.judge import Judgement, Terms, judge_pairs
from reports.gate.plan import Plan
from reports.gate.verdicts import Gate
from suites import units
from suites.cases import AnyCase
from suites.errors import DlhwError, NoBaseError

if TYPE_CHECKING:
    from bench.gate.session import PairedSession, PairRequest
    from bench.gate.sides import Side

REPLACEMENTS = 2
"""Pairs that make up for lost ones, at most, in each stage."""
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """What the command line asks for.

    Attributes:
        tolerance: for every case; None: as the suite says.
        inject: pattern of case ids -> by how much head's cases are slowed down on purpose.
        go_on: measure the whole plan, though it will see too little.
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
    go_on: bool = False


@dataclass(frozen=True)
class Preparation:
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


def run(
    options: GateOptions, sides: "tuple[Side, Side]", on_message: Report, on_progress: Report = lambda _: None
) -> Gate:
    """Measure both sides and judge.

    Args:
        on_message: is told what a person should know, a line each.
        on_progress: is told each small step.

    Raises:
        NoBaseError: base cannot be measured at all.
        DlhwError: something else a person can mend.
    """
    from bench.gate.session import PairedSession

    with PairedSession(*sides) as session:
        on_message("starting both sides, and preparing what their results are checked against ...")
        preparation = _prepare(session, options)
        journal = GateJournal(options.journal, _key(session, preparation, options), resume=options.resume)
        plan, seed, entries = _plan(session, preparation, options, journal)
        on_message(plan.sentence() if plan.minimum_detectable else "nothing that both sides can measure")
        terms = Terms(
            tolerances=preparation.tolerances, confirm=plan.confirm, detect=options.detect, counts=session.counts(),
            remembered={case: noise.sd for case, noise in planning.kept(session.fingerprints[1]).items()},
        )  # fmt: skip
        rounds = _Rounds(session, preparation, plan, seed, journal, entries, on_message, on_progress)
        with journal:
            terms = replace(terms, ended=rounds.screen(terms, go_on=options.go_on))
            if not terms.ended:
                rounds.confirm(terms)
        found = judge_pairs(
            rounds.entries, terms, base=sides[0].label, head=sides[1].label, notes=tuple(_notes(session, preparation))
        )
        if not found.invalid:
            planning.keep(rounds.entries, session.fingerprints[1])
    return found


def _prepare(session: "PairedSession", options: GateOptions) -> Preparation:
    from bench.gate.sides import suite_of

    try:
        base = suite_of(session.sides[0], options.suite, options.axes)
    except DlhwError as error:
        raise NoBaseError(f"base's suite cannot be used: {error}") from error
    head = suite_of(session.sides[1], options.suite, options.axes)
    if base is None and head is None:
        raise DlhwError(f"--suite {options.suite}: neither base nor head has it")
    suites = (base, head)
    session.describe([each.architectures if each else () for each in suites])
    budgets = [each.cases(session.machine(place)) if each else {} for place, each in enumerate(suites)]
    shares = [each.tolerances(session.machine(place)) if each else {} for place, each in enumerate(suites)]
    both = {**dict.fromkeys(budgets[1]), **dict.fromkeys(budgets[0])}
    only = {case: "" if case in budgets[0] and case in budgets[1] else _owner(case, budgets[1]) for case in both}
    outcomes = session.prepare({case: (budgets[1].get(case) or budgets[0][case], only[case]) for case in both})
    tolerances = {
        case.id: shares[1].get(case, shares[0].get(case, 0.0)) if options.tolerance is None else options.tolerance
        for case in both
    }
    return Preparation(
        {case.id: case for case in both},
        tolerances,
        frozenset(case.id for case, found in outcomes.items() if any(found)),
        _injected(options.inject, [case.id for case in both]),
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


def _key(session: "PairedSession", preparation: Preparation, options: GateOptions) -> dict[str, Any]:
    """What must be equal for an interrupted run to be gone on with."""
    return {
        "fingerprints": list(session.fingerprints),
        "trees": [side.tree for side in session.sides],
        "pythons": [side.python for side in session.sides],
        "tolerances": dict(preparation.tolerances),
        "injected": dict(preparation.injected),
        "pairs": options.pairs,
        "budget_seconds": options.budget_seconds,
        "detect": options.detect,
    }


def _plan(
    session: "PairedSession", preparation: Preparation, options: GateOptions, journal: GateJournal
) -> tuple[Plan, int, list[Entry]]:  # fmt: skip
    """As it was where a run is gone on with; else by what is known of the machine."""
    from bench.gate.session import NEGATIVES, POSITIVES

    if journal.taken is not None:
        header = journal.taken
        try:
            return Plan.from_json(header["plan"]), int(header["seed"]), list(journal.entries)
        except (LookupError, TypeError, ValueError) as error:
            raise DlhwError(
                f"{options.journal}: its first line is damaged ({error}); start anew without --resume"
            ) from error
    measurable = [case.id for case in preparation.measurable]
    found = planning.plan(
        {name: preparation.tolerances[name] for name in measurable},
        planning.kept(session.fingerprints[1]),
        controls=min(NEGATIVES, len(measurable)) + min(POSITIVES, len(measurable)),
        pairs=options.pairs, budget_seconds=options.budget_seconds, detect=options.detect,
    )  # fmt: skip
    seed = secrets.randbits(32) if options.seed is None else options.seed
    journal.begin({"plan": found.to_json(), "seed": seed})
    return found, seed, []


class _Rounds:
    """Measures both stages; each pair of a case is an entry, and in the journal at once."""

    def __init__(
        self, session: "PairedSession", preparation: Preparation, plan: Plan, seed: int, journal: GateJournal,
        entries: list[Entry], on_message: Report, on_progress: Report,
    ) -> None:  # fmt: skip
        self._session, self._preparation, self._plan, self._seed = session, preparation, plan, seed
        self._journal, self._on_message, self._on_progress = journal, on_message, on_progress
        self.entries = entries

    def screen(self, terms: Terms, *, go_on: bool) -> str:
        """Screening, stage 1: all cases and the controls. Why it ended early; empty where it did not."""
        from bench.gate.session import PairRequest, controls

        requests = [
            PairRequest(case, "", self._preparation.injected.get(name, 0.0))
            for name, case in self._preparation.cases.items()
        ]
        if self._preparation.measurable:
            coin = random.Random(self._seed)  # noqa: S311 - not for secrets
            requests += controls(self._preparation.measurable, self._plan.injected, coin)
        pairs = self._plan.pairs if self._preparation.measurable else 1
        return self._stage(1, requests, pairs, lambda: self._outlook(terms, go_on=go_on))

    def _outlook(self, terms: Terms, *, go_on: bool) -> str:
        """Tell what the run will be able to see; why it is not worth going on, empty where it is."""
        found = early.look(self.entries, terms, self._plan)
        if found is None:
            return ""
        self._on_message(found.sentence())
        return "" if found.worth or go_on else found.advice()

    def confirm(self, terms: Terms) -> None:
        """Confirmation, stage 2: the candidates by fresh pairs, and base against itself in the same."""
        from bench.gate.session import NEGATIVES, PairRequest

        run_ = Judgement(self.entries, terms)
        names = run_.candidates()
        if not names:
            return
        screened = run_.screening.by_case()
        noise = [(screened[n].error * math.sqrt(screened[n].launches[0]), terms.tolerances[n]) for n in names]
        count = planning.confirming(noise, self._plan.confirm, len(run_.judged))
        self._on_message(
            f"{len(names)} of {len(run_.judged)} cases look slower: {count} fresh pairs of {', '.join(names)}"
        )
        chosen = [self._preparation.cases[name] for name in names]
        requests = [PairRequest(case, "", self._preparation.injected.get(case.id, 0.0)) for case in chosen]
        requests += [PairRequest(case, "negative") for case in chosen[:NEGATIVES]]
        self._stage(2, requests, count)

    def _stage(
        self, stage: int, requests: "Sequence[PairRequest]", pairs: int, outlook: Callable[[], str] = lambda: ""
    ) -> str:
        """Measure what is missing of a stage; why it ended early, as `outlook`, asked after two pairs, has it."""
        start, done, asked, ended = time.monotonic(), 0, False, ""
        for number in range(1, pairs + REPLACEMENTS + 1):
            left = list(self._left(stage, number, requests, pairs))
            if not left:
                continue
            if early.PAIRS < number <= pairs and not asked:
                asked, ended = True, outlook()
                if ended:  # memory is judged of three pairs, and needs no quiet machine
                    left = [request for request in left if not request.control]
            coin = random.Random(f"{self._seed} {stage} {number}")  # noqa: S311 - not for secrets
            for place, (request, pair, seconds) in enumerate(self._session.pair(left, coin), 1):
                self._on_progress(f"pair {number} of {pairs}: {place} of {len(left)}, {request.case.id}")
                entry = Entry(
                    stage=stage, number=number, case=request.case.id, control=request.control,
                    injected=request.injected, seconds=seconds, pair=pair,
                )  # fmt: skip
                self._journal.append(entry)
                self.entries.append(entry)
            if ended:
                return ended
            done += 1
            if number < pairs:
                left_seconds = (time.monotonic() - start) / done * (pairs - number)
                self._on_message(f"pair {number} of {pairs}; about {units.duration(left_seconds)} left of this stage")
        return ""

    def _left(self, stage: int, number: int, requests: "Sequence[PairRequest]", pairs: int) -> "Iterator[PairRequest]":
        """What is still to be measured in this pair; beyond the planned ones what makes up for pairs that were lost."""
        for request in requests:
            key = (stage, request.case.id, request.control)
            own = [entry for entry in self.entries if (entry.stage, entry.case, entry.control) == key]
            there = any(entry.number == number for entry in own)
            settled = request.case.id in self._preparation.settled and number > 1
            counted = sum(entry.pair.log_ratio is not None for entry in own)
            replaces = 0 < counted < pairs or number <= pairs
            if not there and not settled and replaces:
                yield request


def _notes(session: "PairedSession", preparation: Preparation) -> Iterator[str]:
    """What else a reader must know."""
    base, head = session.sides
    if base.tree and base.tree == head.tree:
        yield "base and head are the same code"
    yield from (*base.lacks, *head.lacks)
    for name, (first, second) in differing(session.environments):
        yield f"{name}: {first} in base, {second} in head"
    for name, share in preparation.injected.items():
        yield f"head's {name} was slowed down by {100 * share:g} % on purpose"
