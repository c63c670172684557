"""What is known of a case without measuring it: its axes, and the work of a step, which is counted.

Of a case that nobody has counted the work follows from what was counted of the same net and mode at other batch sizes:
FLOPs and bytes are a constant and a slope over the batch.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.records.record import Record
from suites.case import Case

ITEM_BYTES = {"fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "amp_bf16": 3.0, "amp_fp16": 3.0}
"""Bytes of a number; autocast's nets hold both kinds."""
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


class KnownWork:
    """The work of cases: counted, or from other batch sizes and precisions of the same net and mode.

    Args:
        records: of measured nets.
        counts: case id -> work, of cases that were counted by themselves.
    """

    def __init__(self, records: Iterable[Record], counts: Mapping[str, StepWork] | None = None) -> None:
        self._exact = dict(counts or {})
        self._by_net: dict[Any, dict[str, dict[int, StepWork]]] = defaultdict(lambda: defaultdict(dict))
        for record in records:
            work = counted(record)
            if work is not None and record.case.get("kind", "net") == "net":
                case = Case.from_json(record.case)
                self._exact.setdefault(record.id, work)
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
        nearest = min(known, key=lambda precision: abs(ITEM_BYTES[precision] - ITEM_BYTES[case.precision]))
        return _in_precision(at_batch(known[nearest], case), ITEM_BYTES[case.precision] / ITEM_BYTES[nearest])


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
    parameters, item = work.parameters or 0, ITEM_BYTES[case.precision]
    autocast = case.precision.startswith("amp_")
    touched = AUTOCAST_WEIGHT_BYTES[case.mode] if autocast else WEIGHT_PASSES[case.mode] * item
    least = (3 if case.mode == "training" else 1) * item
    return StepWork(
        0.0, min(parameters * touched, work.bytes), min(parameters * least, work.compulsory_bytes), work.operators,
        work.parameters,
    )  # fmt: skip


def _in_precision(work: StepWork, ratio: float) -> StepWork:
    return StepWork(work.flops, work.bytes * ratio, work.compulsory_bytes * ratio, work.operators, work.parameters)


def _net(case: Case) -> tuple[Any, ...]:
    return case.architecture, case.input_shape, case.signature, case.mode
