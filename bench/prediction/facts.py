"""What is known of a case without measuring it: its axes, and the work of a step, which is counted.

Of a case that nobody has counted the work follows from what was counted of the same net and mode at other batch sizes:
FLOPs and bytes are a constant and a slope over the batch.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.records.record import Record
from suites.case import Case, Precision

ITEM_BYTES = {"fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "amp_bf16": 2.0, "amp_fp16": 2.0}
"""Of a number that an operator reads or writes; autocast's nets hold their weights in single precision."""
AUTOCAST_OPERATORS = {"inference": 1.85, "training": 1.5}
"""To one without it: those that cast; 1.7 to 1.9 and 1.4 to 1.6 of five nets."""
AUTOCAST_WEIGHT_BYTES = {"inference": 8.0, "training": 30.0}
"""Of one weight: read, cast and used; in training its gradient is cast back, and the update is in single precision."""
WEIGHT_PASSES = {"inference": 1.0, "training": 6.0}
"""How often an eager step touches a weight or its gradient: forward; backward twice, update three times."""


@dataclass(frozen=True)
class StepWork:
    """Of one step.

    Attributes:
        bytes: all operands and results of its eager operators.
        compulsory_bytes: what no fusion can spare.
        operators: how many there are; None where nobody counted.
        parameters: of the net; None where nobody counted.
    """

    flops: float
    bytes: float
    compulsory_bytes: float
    operators: float | None
    parameters: float | None


@dataclass(frozen=True)
class Facts:
    """One case, as the model sees it."""

    case: Case
    work: StepWork


def counted(record: Record) -> StepWork | None:
    """The work that a record holds; None where it was not counted."""
    if record.flops is None or record.traffic is None:
        return None
    traffic = record.traffic
    return StepWork(
        record.flops.step, traffic.operator_bytes, traffic.compulsory_bytes, traffic.operators,
        record.case.get("parameters"),
    )  # fmt: skip


def told(work: Mapping[str, Any]) -> StepWork | str:
    """The work that `bench.controller.work` found, or its reason why there is none."""
    return str(work["reason"]) if "reason" in work else StepWork(**work)


class KnownWork:
    """The work of cases: counted, or from other batch sizes and precisions of the same net and mode.

    Args:
        records: of measured nets.
        counts: of cases that were counted without being measured, or why they could not be; what was measured goes
            before it.
    """

    def __init__(self, records: Iterable[Record], counts: Mapping[Case, StepWork | str] | None = None) -> None:
        self._exact: dict[str, StepWork] = {}
        self._by_net: dict[Any, dict[Precision, dict[int, StepWork]]] = defaultdict(lambda: defaultdict(dict))
        self._reasons: dict[Any, str] = {}
        for case, work in (counts or {}).items():
            if isinstance(work, str):
                self._reasons[_net(case)] = work
            else:
                self._add(case, work)
        for record in records:
            found = counted(record)
            if found is not None and record.case.get("kind", "net") == "net":
                self._add(Case.from_json(record.case), found)

    def _add(self, case: Case, work: StepWork) -> None:
        self._exact[case.id] = work
        self._by_net[_net(case)][case.precision][case.batch_size] = work

    def of(self, case: Case) -> StepWork | None:
        """Of one step of `case`; None where nothing of its net and mode was counted."""
        if case.id in self._exact:
            return self._exact[case.id]
        known = self._by_net.get(_net(case))
        if not known:
            return None
        if case.precision in known:
            return at_batch(known[case.precision], case)
        nearest = min(known, key=lambda precision: _unlike(precision, case.precision))
        return _in_precision(at_batch(known[nearest], replace(case, precision=nearest)), nearest, case)

    def why_not(self, case: Case) -> str:
        """Why nothing is known of the work of `case`."""
        reason = self._reasons.get(_net(case), "")
        return f"the work of {case.architecture} in {case.mode} was not counted" + (reason and f": {reason}")


def uncounted(cases: Iterable[Case], known: KnownWork) -> list[Case]:
    """What to count, so that the work of all `cases` is known: of a net and mode two batch sizes, the cheapest way."""
    sizes: dict[Any, dict[int, Case]] = defaultdict(dict)
    for case in cases:
        if known.of(case) is None:
            sizes[_net(case)].setdefault(case.batch_size, case)
    return [
        replace(each, precision="fp32", memory_format="contiguous", compile_mode="eager", device="cpu")
        for by_size in sizes.values()
        for each in _two(by_size)
    ]


def _two(by_size: Mapping[int, Case]) -> list[Case]:
    """Of two batch sizes, not of a single sample if it can be helped: normalisation trains on none."""
    order = sorted(by_size, key=lambda size: (size == 1, size))
    return [by_size[size] for size in order[:2]]


def at_batch(known: Mapping[int, StepWork], case: Case) -> StepWork:
    """The work at a batch size: on the line through the least and the largest that are known.

    From one alone: FLOPs are proportional to it; of the bytes, those of the weights are constant.
    """
    least, most = min(known), max(known)
    first, last = known[least], known[most]
    if least == most:
        first, least = _weights_alone(first, case), 0
    share = (case.batch_size - least) / (most - least)

    def line(name: str) -> float:
        begin, end = getattr(first, name), getattr(last, name)
        return float(begin + share * (end - begin))

    operators = None if last.operators is None else line("operators")
    return StepWork(line("flops"), line("bytes"), line("compulsory_bytes"), operators, last.parameters)


def _weights_alone(work: StepWork, case: Case) -> StepWork:
    """What a step of no images would do; never more than that of some."""
    least = (3 if case.mode == "training" else 1) * (4.0 if _casts(case.precision) else ITEM_BYTES[case.precision])
    return StepWork(
        0.0, min(_weight_bytes(work, case.precision, case.mode), work.bytes),
        min((work.parameters or 0) * least, work.compulsory_bytes), work.operators, work.parameters,
    )  # fmt: skip


def _weight_bytes(work: StepWork, precision: str, mode: str) -> float:
    """That the operators of a step read and write of weights and their gradients."""
    each = AUTOCAST_WEIGHT_BYTES[mode] if _casts(precision) else WEIGHT_PASSES[mode] * ITEM_BYTES[precision]
    return (work.parameters or 0) * each


def _in_precision(work: StepWork, known: str, case: Case) -> StepWork:
    """The work of `case`, from that in the precision `known`."""
    wanted, mode = case.precision, case.mode
    activations = max(0.0, work.bytes - _weight_bytes(work, known, mode)) * ITEM_BYTES[wanted] / ITEM_BYTES[known]
    casts = AUTOCAST_OPERATORS[mode] ** (_casts(wanted) - _casts(known))
    held = {precision: 4.0 if _casts(precision) else ITEM_BYTES[precision] for precision in (wanted, known)}
    return StepWork(
        work.flops, activations + _weight_bytes(work, wanted, mode),
        work.compulsory_bytes * held[wanted] / held[known], work.operators and work.operators * casts, work.parameters,
    )  # fmt: skip


def _casts(precision: str) -> bool:
    return precision.startswith("amp_")


def _unlike(first: str, second: str) -> tuple[bool, float]:
    return _casts(first) != _casts(second), abs(ITEM_BYTES[first] - ITEM_BYTES[second])


def _net(case: Case) -> tuple[Any, ...]:
    return case.architecture, case.input_shape, case.signature, case.mode
