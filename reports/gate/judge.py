"""Verdicts from pairs measured side by side: pure functions of the entries of a gate's journal.

A run's own controls decide whether it may be believed, its own noise what it can have seen.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.records.pair import Control, Entry, Pair
from bench.records.record import Outcome, Status
from reports.gate import memory, work
from reports.gate.paired import (
    CANDIDATE,
    Prior,
    confirms,
    is_candidate,
    minimum_detectable_confirmed,
    moderated,
    paired,
    shared,
)
from reports.gate.statistics import (
    FEWEST_LAUNCHES,
    Difference,
    Verdict,
    common_shift,
    figures,
    improvements,
    judge,
    passed,
    turned,
    upper_p,
)
from reports.gate.verdicts import BEYOND, Amounts, Gate, Row, in_order

MOST_DISTURBED = 0.2
"""With more of its turns disturbed a case is not judged."""
MOST_LOST = 1 / 3
"""With more of its pairs lost to a side that failed a case is not judged either."""
TOLD = 0.05
"""With fewer screened is nothing to tell: on a quiet machine, too, involuntary context switches happen now and then."""
CONTROL_ALPHA = 0.01
"""The chance that any negative control of a clean run says otherwise."""
CONTROL_MARGIN = 0.25
"""Base against base may differ by this share of the tolerance: processes that start first are a little slower."""
PASS_FIRST, PASS_SECOND = 0.04, 0.01
"""The chances of a wrong PASS by either stage: a case that is flagged and not confirmed has had two to pass by."""
COMPILE_TOLERANCE = 0.1
"""Compiling is what a process does once, on a file system: its time means less than a step's."""
METHOD = (
    "pairs of fresh processes that measure by turns; one-sided t tests on one log ratio a pair, variances moderated; "
    "candidates confirmed by fresh pairs alone; family-wise error of REGRESSED 5 %"
    "; MDE: the minimum detectable slowdown, which would have been called REGRESSED four times in five"
)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a run was to measure, and by which rules it is judged.

    Attributes:
        tolerances: case id -> slower by this share is no regression; all cases of base or head, in their order.
        confirm: pairs of stage 2.
        detect: a case passes when it is surely less slow than this share; None: `BEYOND` its tolerance.
        remembered: case id -> sd of a pair's log ratio in earlier runs on this machine.
        counts: case id -> what a step of base, and of head, comes to.
        ended: why the run ended before its plan did; empty where it did not.
    """

    tolerances: Mapping[str, float]
    confirm: int
    detect: float | None = None
    remembered: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, work.Both] = field(default_factory=dict)
    ended: str = ""

    def worst(self, case: str) -> float:
        """The share by which a case that passes is surely not slower."""
        return self.detect if self.detect is not None else self.tolerances[case] + BEYOND


@dataclass(frozen=True)
class Stage:
    """One stage: what its pairs say of each case and control that has three of them or more."""

    differences: Mapping[tuple[Control, str], Difference]
    prior: Prior | None

    def by_case(self, control: Control = "") -> dict[str, Difference]:
        """By case id."""
        return {case: each for (kind, case), each in self.differences.items() if kind == control}


@dataclass(frozen=True)
class Judgement:
    """All of a run, on the way to its verdicts."""

    entries: Sequence[Entry]
    terms: Terms
    screening: Stage = field(init=False)
    confirmation: Stage = field(init=False)
    judged: tuple[str, ...] = field(init=False)
    """Cases that both sides measured, undisturbed, in the order of the terms."""

    def __post_init__(self) -> None:
        screening = _stage(self.entries, 1, None)
        object.__setattr__(self, "screening", screening)
        object.__setattr__(self, "confirmation", _stage(self.entries, 2, screening.prior))
        screened = screening.by_case()
        counted = () if self.terms.ended else self.terms.tolerances
        fine = (case for case in counted
                if case in screened and not self.disturbance(case) and not self.unreliable(case))  # fmt: skip
        object.__setattr__(self, "judged", tuple(fine))

    def pairs(self, case: str, control: Control = "") -> list[Pair]:
        """Of both stages."""
        return [entry.pair for entry in self.entries if (entry.case, entry.control) == (case, control)]

    def disturbance(self, case: str) -> str:
        """Why too much of a case was disturbed; empty where it was not."""
        turns = [reason for pair in self.pairs(case) for reason in pair.disturbed]
        reasons = Counter(filter(None, turns))
        if reasons.total() <= MOST_DISTURBED * len(turns):
            return ""
        return f"{reasons.most_common(1)[0][0]}; {reasons.total()} of {len(turns)} turns were disturbed"

    def unreliable(self, case: str) -> bool:
        """Whether too many pairs were lost: code that fails now and then is not judged by the times it does not."""
        found = self.pairs(case)
        return sum(any(pair.outcomes) for pair in found) > MOST_LOST * len(found)

    def minimum_detectable(self, case: str, found: Difference) -> float:
        """The minimum detectable slowdown, a ratio: it would have been called REGRESSED four times in five.

        By the noise of this run, or by what is remembered of the machine where that is more: six pairs that happened to
        agree are no quieter machine.
        """
        tolerance, cases = self.terms.tolerances[case], max(1, len(self.judged))
        own = minimum_detectable_confirmed(found, self.terms.confirm, tolerance, cases)
        if case not in self.terms.remembered:
            return own
        known = replace(found, error=self.terms.remembered[case] / math.sqrt(found.launches[0]))
        return max(own, minimum_detectable_confirmed(known, self.terms.confirm, tolerance, cases, certain=True))

    def candidates(self) -> list[str]:
        """Cases that stage 2 has to look at."""
        screened = self.screening.by_case()
        return [case for case in self.judged if is_candidate(screened[case], self.terms.tolerances[case])]


def _stage(entries: Iterable[Entry], stage: int, prior: Prior | None) -> Stage:
    """Stage 2 has few cases, and borrows what stage 1 has learnt of this run's noise."""
    ratios: dict[tuple[Control, str], list[float]] = {}
    for entry in entries:
        if entry.stage == stage and entry.pair.log_ratio is not None:
            ratios.setdefault((entry.control, entry.case), []).append(entry.pair.log_ratio)
    raw = {key: paired(found) for key, found in ratios.items() if len(found) >= FEWEST_LAUNCHES}
    known = prior or shared(list(raw.values()))
    return Stage(dict(zip(raw, moderated(list(raw.values()), known), strict=True)), known)


def judge_pairs(entries: Sequence[Entry], terms: Terms, **about: Any) -> Gate:
    """Judge a run.

    Args:
        about: `base`, `head`, `notes` of the `Gate`.
    """
    run = Judgement(entries, terms)
    controls = tuple(_controls(run))
    invalid = "" if terms.ended else _invalid(controls)
    times = [*(row for case in terms.tolerances for row in _time(run, case)), *_compile(run)]
    amounts = _amounts(run)
    believed = work.explained((_believed(row, invalid) for row in times), amounts)
    rows = [*believed, *_memory(run), *work.rows(amounts, believed, terms.tolerances)]
    about["notes"] = (*about.get("notes", ()), *work.unknown(terms.counts, amounts))
    screened = run.screening.by_case()
    return Gate(
        rows=in_order(rows),
        shift=common_shift([screened[case] for case in run.judged]),
        tolerance=max(terms.tolerances.values(), default=0.0),
        method=METHOD,
        controls=controls,
        invalid=invalid,
        left_out=tuple(_left_out(run)),
        entries=tuple(entries),
        ended=terms.ended,
        **about,
    )


def _believed(row: Row, invalid: str) -> Row:
    """A row of a time. Of compiling, too: no slice, but the same clock, and once a process, by no turns at all."""
    return replace(row, verdict=Verdict.INVALID, reason=invalid) if invalid and row.figures else row


def _time(run: Judgement, case: str) -> list[Row]:
    """The row of a case; none for one that neither side can measure at all, which `_left_out` tells."""
    if case in run.judged:
        return [_judged(run, case)]
    verdict, reason = _not_judged(run, case)
    return [Row(case, "time", verdict, reason=reason)] if verdict else []


def _not_judged(run: Judgement, case: str) -> tuple[Verdict | None, str]:
    if disturbed := run.disturbance(case):
        return Verdict.INVALID, disturbed
    found = run.pairs(case)
    if not found:
        return Verdict.INCONCLUSIVE, "not measured: the run ended before it"
    base, head = (_always(pair.outcomes[place] for pair in found) for place in (0, 1))
    if base and head:
        skipped = {base.status, head.status} == {Status.SKIPPED}
        return (None, "") if skipped else (Verdict.INCONCLUSIVE, f"measured in neither: {_text_of(head)}")
    if head:
        return Verdict.MISSING, _text_of(head)
    if base:
        return Verdict.NEW, f"base: {_text_of(base)}"
    counted = sum(pair.log_ratio is not None for pair in found)
    lost = next((outcome for pair in found for outcome in pair.outcomes if outcome), None)
    ended = bool(run.terms.ended) and not run.unreliable(case)
    return (
        Verdict.INCONCLUSIVE if ended else Verdict.INVALID,
        f"{counted} of {len(found)} pairs were measured{f'; {_text_of(lost)}' if lost else ''}",
    )


def _always(outcomes: Iterable[Outcome | None]) -> Outcome | None:
    """The outcome of a side that has never measured a case; None if it did once."""
    found = list(outcomes)
    return found[-1] if all(found) else None


def _text_of(outcome: Outcome) -> str:
    return f"{outcome.status}: {outcome.reason}"


def _left_out(run: Judgement) -> Iterable[tuple[str, str]]:
    for case in run.terms.tolerances:
        verdict, _ = _not_judged(run, case) if case not in run.judged else (Verdict.PASS, "")
        if verdict is None:
            yield case, _text_of(run.pairs(case)[0].outcomes[1] or Outcome(Status.SKIPPED))


def _judged(run: Judgement, case: str) -> Row:
    first, tolerance, worst = run.screening.by_case()[case], run.terms.tolerances[case], run.terms.worst(case)
    detectable = run.minimum_detectable(case, first)
    second, reason = run.confirmation.by_case().get(case), ""
    decides = first
    if case not in run.candidates():
        verdict = Verdict.IMPROVED if _improved(run, case) else passed(first, worst, PASS_FIRST)
    elif second is None:
        verdict, reason = Verdict.INCONCLUSIVE, "slower by the first pairs; not confirmed, for the run ended before"
    else:
        decides, confirmed = second, confirms(second, tolerance, len(run.judged))
        verdict = Verdict.REGRESSED if confirmed else passed(second, worst, PASS_SECOND)
        reason = f"{'confirmed' if confirmed else 'flagged, not confirmed'} by {second.launches[0]} fresh pairs"
    found = figures(decides, verdict, tolerance, detectable)
    reason = "; ".join(filter(None, [reason, _injected(run, case)]))
    return Row(case, "time", verdict, found, reason, tuple(_remarks(run, case)), tolerance)


def _injected(run: Judgement, case: str) -> str:
    share = max((entry.injected for entry in run.entries if (entry.case, entry.control) == (case, "")), default=0.0)
    return f"head slowed down by {100 * share:g} % on purpose" if share else ""


def _improved(run: Judgement, case: str) -> bool:
    screened = run.screening.by_case()
    found = improvements([screened[name] for name in run.judged], [run.terms.tolerances[name] for name in run.judged])
    return found[run.judged.index(case)]


def _remarks(run: Judgement, case: str) -> Iterable[str]:
    """What a reader of the row must know: turns and pairs that do not count."""
    found = run.pairs(case)
    turns = [reason for pair in found for reason in pair.disturbed]
    if sum(map(bool, turns)) > TOLD * len(turns):
        reason = Counter(filter(None, turns)).most_common(1)[0][0]
        yield f"{sum(map(bool, turns))} of {len(turns)} turns do not count: {reason}"
    lost = [outcome for pair in found for outcome in pair.outcomes if outcome]
    if lost:
        yield f"{len(lost)} of {len(found)} pairs lost: {_text_of(lost[0])}"


def _controls(run: Judgement) -> Iterable[Row]:
    """Base against itself, and base slowed down: what the run would have said of what is known."""
    stages = [(1, run.screening), (2, run.confirmation)]
    negatives = [(number, case, found) for number, stage in stages for case, found in stage.by_case("negative").items()]
    for number, case, found in negatives:
        tolerance = run.terms.tolerances[case]
        margin = math.log1p(CONTROL_MARGIN * tolerance)
        off = 2 * min(upper_p(found, margin), upper_p(turned(found), margin)) <= CONTROL_ALPHA / len(negatives)
        verdict = Verdict.INVALID if off else Verdict.PASS
        shown = figures(found, verdict, tolerance, run.minimum_detectable(case, found))
        yield Row(case, f"base against base, stage {number}", verdict, shown)
    for case, found in run.screening.by_case("positive").items():
        tolerance = run.terms.tolerances[case]
        put_in = next(entry.injected for entry in run.entries if (entry.case, entry.control) == (case, "positive"))
        verdict = Verdict.REGRESSED if upper_p(found, math.log1p(tolerance)) <= CANDIDATE else Verdict.PASS
        reason = (
            f"slowed down by {100 * put_in:.1f} % on purpose: {'seen' if verdict is Verdict.REGRESSED else 'missed'}"
        )
        yield Row(
            case, POSITIVE, verdict, figures(found, verdict, tolerance, run.minimum_detectable(case, found)), reason
        )


POSITIVE = "base against slowed base"


def _invalid(controls: Sequence[Row]) -> str:
    """Why no time of this run may be believed; empty where they may."""
    off = [row for row in controls if row.verdict is Verdict.INVALID]
    if off and off[0].figures:
        return f"base differs from itself, by {100 * (off[0].figures.ratio - 1):+.1f} % in {off[0].case}: measure again"
    positives = [row for row in controls if row.measure == POSITIVE]
    if positives and all(row.verdict is Verdict.PASS for row in positives):
        return f"none of {len(positives)} slowdowns put in on purpose was seen: a regression would not have been either"
    return ""


def _memory(run: Judgement) -> list[Row]:
    """Peak memory of all cases, disturbed ones too: what else the machine does changes no bytes."""
    known = {
        case: [(base, head) for base, head in (pair.peak_bytes for pair in run.pairs(case))
               if base is not None and head is not None]
        for case in run.terms.tolerances
    }  # fmt: skip
    peaks = {case: ([base for base, _ in both], [head for _, head in both]) for case, both in known.items()}
    return memory.paired_rows(peaks, run.terms.tolerances)


def _amounts(run: Judgement) -> dict[str, Amounts | None]:
    """What a step of each case comes to, and what was compiled in the pair that was the last to compile it."""
    found = {}
    for case, both in run.terms.counts.items():
        compiled = [pair.compiled for pair in run.pairs(case) if all(pair.compiled)]
        found[case] = work.amounts(both, compiled[-1] if compiled else (None, None))
    return found


def _compile(run: Judgement) -> list[Row]:
    """What torch.compile costs: of its own kind, with a tolerance of its own."""
    found: dict[str, Difference] = {}
    for case in run.judged:
        known = [(base, head) for base, head in (pair.compile_seconds for pair in run.pairs(case)) if base and head]
        if len(known) >= FEWEST_LAUNCHES:
            found[case] = paired([math.log(head / base) for base, head in known])
    shares = [COMPILE_TOLERANCE] * len(found)
    judged = judge(list(found.values()), shares, [share + BEYOND for share in shares])
    return [
        Row(case, "compile", each.verdict, each, tolerance=COMPILE_TOLERANCE)
        for case, each in zip(found, judged, strict=True)
    ]
