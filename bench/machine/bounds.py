"""What bounds the time of a step: its least time by arithmetic, by memory and by dispatch, on this machine.

Roofline model: Williams, Waterman, Patterson (2009), doi 10.1145/1498765.1498785. Its roofs are measured, not promised.
Standard library only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.machine import ceilings
from bench.machine.ceilings import Ceilings
from bench.records.record import Record
from bench.records.summary import summarise
from suites import units
from suites.case import UNCOMPILED

OVERHEAD = 5.0
"""A step that takes more than this many times its largest bound is bound by something else."""
CLASSES = {"compute": "compute-bound", "bandwidth": "bandwidth-bound", "dispatch": "overhead-bound"}


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is done, by whom, and in what time.

    Attributes:
        by_size: bytes by the size of what one operator touches: the power of two above it -> bytes.
        operators: how many are dispatched one by one; None where a compiler has fused some of them.
    """

    seconds: float
    flops: int
    by_size: Mapping[str, int]
    operators: int | None
    device: str
    threads: int
    precision: str


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The least time that each would take by itself; None where its ceiling is not known."""

    compute: float | None
    bandwidth: float | None
    dispatch: float | None

    def known(self) -> dict[str, float]:
        """Those that are."""
        found = {name: getattr(self, name) for name in CLASSES}
        return {name: seconds for name, seconds in found.items() if seconds is not None}


def bounds(work: Work, found: Ceilings) -> Bounds:
    """Bounds of `work` under the measured ceilings; memory is read at the speed of the level that an operator fits."""
    peak = found.flops_per_second.get(ceilings.key(work.device, work.threads, work.precision))
    dispatch = found.dispatch_seconds.get(ceilings.key(work.device, work.threads))
    return Bounds(
        compute=work.flops / peak.value if peak else None,
        bandwidth=_bandwidth_seconds(work, found),
        dispatch=work.operators * dispatch.value if dispatch and work.operators is not None else None,
    )


def _bandwidth_seconds(work: Work, found: Ceilings) -> float | None:
    total = 0.0
    for exponent, octets in work.by_size.items():
        best = found.bandwidth(work.device, work.threads, 2 ** int(exponent))
        if best is None:
            return None
        total += octets / best.value
    return total


def classify(seconds: float, found: Bounds) -> tuple[str | None, str]:
    """The class, and the figure that decided it; None where too little is known.

    The largest bound decides. Time that no bound explains is overhead: of Python, of the dispatcher, of waiting.
    """
    known = found.known()
    if not {"compute", "bandwidth"} <= known.keys():
        return None, "ceilings unknown: pytest bench/ --suite hardware on this machine, with as many threads"
    largest = max(known, key=known.__getitem__)
    texts = ", ".join(f"{name} {units.seconds(value)}" for name, value in known.items())
    if seconds > OVERHEAD * known[largest]:
        return "overhead-bound", f"{seconds / known[largest]:.1f} times the largest bound ({texts})"
    share = units.percent(known[largest] / seconds)
    return CLASSES[largest], f"{largest} alone explains {share} of the time ({texts})"


def work_of(record: Record) -> Work:
    """Of a measured net. Of a compiled one only the compulsory bytes are sure to move, and nobody knows its kernels."""
    assert record.flops is not None
    assert record.traffic is not None
    case, traffic = record.case, record.traffic
    compiled = is_compiled(record)
    return Work(
        seconds=summarise(record).median_seconds,
        flops=record.flops.step,
        by_size=_as_one(traffic.compulsory_bytes) if compiled else traffic.by_size,
        operators=None if compiled else traffic.operators,
        device=case["device"],
        threads=case["threads"],
        precision=case["precision"],
    )


def is_compiled(record: Record) -> bool:
    """Whether torch.compile has been at it."""
    return bool(record.case["compile_mode"] not in UNCOMPILED)


def _as_one(octets: int) -> dict[str, int]:
    return {str(max(octets - 1, 0).bit_length()): octets}
