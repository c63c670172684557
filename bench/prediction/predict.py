"""`predict`: from the records of measured cases to a time for each that was not, or the reason why there is none."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bench.machine.ceilings import Ceilings
from bench.prediction import intervals, mean, model
from bench.prediction.facts import Facts, KnownWork, StepWork
from bench.prediction.mean import Array
from bench.prediction.memory import MemoryNeed
from bench.records.record import Record, Status
from bench.records.summary import summarise
from suites import units
from suites.case import Case
from suites.cases import AnyCase

FEWEST_MEASURED = 10
"""Of a device: fewer say too little of anything."""
LEARNT_AXES = ("mode", "precision", "memory_format", "compile_mode", "threads")
"""A value of one of these that was never measured cannot be told from the others."""
CLIFFS = frozenset({Status.CRASHED, Status.FAILED, Status.WRONG_RESULT})


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The time of a step of a case that was not measured.

    Attributes:
        median_seconds: None where there is none, for `reason`.
        low, high: the interval that holds with `coverage`, in seconds; None, all three, where too few were measured.
        model: what predicted it.
        expected: the outcome, where the case is not expected to give a time at all: `out_of_memory` or `failed`.
        reason: why there is no time, or no interval.
    """

    median_seconds: float | None = None
    low: float | None = None
    high: float | None = None
    coverage: float | None = None
    model: str = ""
    expected: str = ""
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a results file holds it."""
        data = asdict(self)
        return {name: value for name, value in data.items() if value != ""}


@dataclass(frozen=True)
class Learnt:
    """What was measured on one device: facts, medians in seconds, their variances in the logarithm."""

    facts: Sequence[Facts]
    seconds: Array
    variances: Array

    def only(self, numbers: Sequence[int]) -> "Learnt":
        """The cases of these numbers, in this order."""
        kept = list(numbers)
        return Learnt([self.facts[number] for number in kept], self.seconds[kept], self.variances[kept])

    def but(self, left_out: Collection[int]) -> "Learnt":
        """Without the cases of these numbers."""
        gone = set(left_out)
        return self.only([number for number in range(len(self.facts)) if number not in gone])

    def fit(self, ceilings: Mapping[str, float] | None = None) -> model.Model:
        """The model of it."""
        return model.fit(self.facts, self.seconds, self.variances, ceilings)


def predict(
    measured: Iterable[Record], wanted: Iterable[AnyCase], *, counts: Mapping[Case, StepWork | str] | None = None,
    ceilings: Ceilings | None = None, drawn: Collection[str] | None = None,
    memory_bytes: Mapping[str, int | None] | None = None,
) -> dict[str, Prediction]:  # fmt: skip
    """What each of `wanted` would take; a case that was measured is not predicted.

    Args:
        measured: the records of one machine, failed ones among them: they tell where cases fail.
        counts: work of a step that was counted without being measured, or why it was not.
        ceilings: of this machine.
        drawn: ids of measured cases that were drawn by lot, which count for more in intervals; None: all alike.
        memory_bytes: device -> how much memory it has.
    """
    records = list(measured)
    nets = [record for record in records if record.case.get("kind", "net") == "net"]
    work = KnownWork([record for record in nets if record.seconds], counts)
    by_device: dict[str, list[Case]] = defaultdict(list)
    found: dict[str, Prediction] = {}
    done = {record.id for record in records if record.outcome.status is Status.MEASURED}
    for case in wanted:
        if not isinstance(case, Case):
            found[case.id] = Prediction(reason="micro-benchmarks are measured, not predicted")
        elif case.id not in done:
            by_device[case.device].append(case)
    for device, cases in by_device.items():
        here = [record for record in nets if record.case["device"] == device]
        best = mean.best_seconds(ceilings or Ceilings(), device, cases[0].threads)
        limit = (memory_bytes or {}).get(device)
        found |= _on_device(_Device(here, work, best, drawn, limit), cases)
    return found


@dataclass(frozen=True)
class _Device:
    records: Sequence[Record]
    work: KnownWork
    best_seconds: Mapping[str, float]
    drawn: Collection[str] | None
    memory_bytes: int | None


def learnt(records: Iterable[Record], work: KnownWork) -> Learnt:
    """What measured nets say whose work is known."""
    facts, seconds, variances = [], [], []
    for record in records:
        case = Case.from_json(record.case) if record.outcome.status is Status.MEASURED else None
        done = work.of(case) if case else None
        if case is not None and done is not None:
            found = summarise(record)
            facts.append(Facts(case, done))
            seconds.append(found.median_seconds)
            variances.append(((found.half_width or 0.0) / 2) ** 2)
    return Learnt(facts, np.array(seconds), np.array(variances))


def _on_device(device: _Device, cases: Sequence[Case]) -> dict[str, Prediction]:
    known = learnt(device.records, device.work)
    if len(known.facts) < FEWEST_MEASURED:
        reason = f"{len(known.facts)} cases were measured here; a prediction needs {FEWEST_MEASURED}"
        return {case.id: Prediction(reason=reason) for case in cases}
    cliffs, need = _cliffs(device.records), MemoryNeed(device.records)
    found: dict[str, Prediction] = {}
    possible: list[Facts] = []
    for case in cases:
        done = device.work.of(case)
        refusal = _fails(case, cliffs, need, device.memory_bytes) or _unknown(case, known)
        if refusal is None and done is None:
            refusal = Prediction(reason=device.work.why_not(case))
        if refusal is not None or done is None:
            found[case.id] = refusal or Prediction()
        else:
            possible.append(Facts(case, done))
    if not possible:
        return found
    drawn = [
        number for number, facts in enumerate(known.facts) if device.drawn is not None and facts.case.id in device.drawn
    ]
    times = timed(known, possible, drawn, device.best_seconds)
    return found | {facts.case.id: prediction for facts, prediction in zip(possible, times, strict=True)}


def timed(
    known: Learnt, wanted: Sequence[Facts], drawn: Sequence[int], ceilings: Mapping[str, float] | None = None
) -> list[Prediction]:
    """A time for each of `wanted`, and an interval where enough cases were measured.

    Args:
        drawn: numbers of those in `known` that were drawn by lot.
    """
    centre, spread = known.fit(ceilings).predict(wanted)
    names = [facts.case.architecture for facts in known.facts]
    new = np.array([facts.case.architecture not in names for facts in wanted])
    reach = np.full(len(wanted), np.nan)
    for here, groups in ((~new, range(len(names))), (new, names)):
        if here.any():
            reach[here] = calibration(known, drawn, groups, ceilings).reach(spread[here])
    few = f"no interval: {len(known.facts)} cases were measured here, it needs {intervals.FEWEST}"
    return [_prediction(*each, few) for each in zip(centre, spread, reach, strict=True)]


def _prediction(middle: float, width: float, reach: float, few: str) -> Prediction:
    plain = Prediction(median_seconds=float(np.exp(middle)), model=model.NAME)
    if np.isnan(reach):
        return replace(plain, reason=few)
    low, high = float(np.exp(middle - reach * width)), float(np.exp(middle + reach * width))
    return replace(plain, low=low, high=high, coverage=intervals.COVERAGE)


def calibration(
    known: Learnt, drawn: Sequence[int], groups: Sequence[Hashable], ceilings: Mapping[str, float] | None = None
) -> intervals.Calibration:
    """How far off each measured case is when it is predicted without its fold.

    Args:
        groups: of each case: it is predicted without all of its group.
    """
    folds = intervals.folds(groups)
    if len(known.facts) < intervals.FEWEST or len(folds) < 2:
        return intervals.Calibration(*np.zeros((3, 0)))
    centre, spreads = model.without_own_fold(known.facts, known.seconds, known.variances, folds, ceilings)
    weights = np.ones(len(known.facts))
    weights[list(drawn)] = intervals.DRAWN_WEIGHT
    return intervals.Calibration(np.abs(np.log(known.seconds) - centre) / spreads, spreads, weights)


def _unknown(case: Case, known: Learnt) -> Prediction | None:
    for axis in LEARNT_AXES:
        value = getattr(case, axis)
        if all(getattr(facts.case, axis) != value for facts in known.facts):
            return Prediction(reason=f"nothing was measured with {axis.replace('_', ' ')} {value}")
    return None


def _cliffs(records: Iterable[Record]) -> dict[tuple[Any, ...], tuple[int, Record]]:
    """Configuration -> the least batch size that failed or ran out of memory, and its record."""
    found: dict[tuple[Any, ...], tuple[int, Record]] = {}
    for record in records:
        if record.outcome.status in CLIFFS | {Status.OUT_OF_MEMORY}:
            case = Case.from_json(record.case)
            before = found.get(case.configuration)
            if before is None or case.batch_size < before[0]:
                found[case.configuration] = case.batch_size, record
    return found


def _fails(
    case: Case, cliffs: Mapping[tuple[Any, ...], tuple[int, Record]], need: MemoryNeed, memory_bytes: int | None
) -> Prediction | None:
    """A case that would give no time is said, not timed. What failed at any batch size may fail at all of them."""
    least, record = cliffs.get(case.configuration, (0, None))
    if record is not None and record.outcome.status is not Status.OUT_OF_MEMORY:
        return Prediction(expected="failed", reason=f"batch {least} of this configuration: {record.outcome.reason}")
    if record is not None and case.batch_size >= least:
        return Prediction(expected="out_of_memory", reason=f"batch {least} of this configuration ran out of memory")
    octets = need.of(case)
    if octets is not None and memory_bytes is not None and octets > memory_bytes:
        reason = f"it would need about {units.octets(octets)} of {units.octets(memory_bytes)}"
        return Prediction(expected="out_of_memory", reason=reason)
    return None
