"""Why a step takes as long as it does: its least time by arithmetic, by memory and by dispatch, on this machine.

Roofline model: Williams, Waterman, Patterson (2009), doi 10.1145/1498765.1498785. Its roofs are measured, not promised.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.machine import ceilings
from bench.machine.ceilings import Ceilings
from bench.records.record import Record, Status
from bench.records.summary import summarise
from reports.references.datasheet import promise_for
from reports.results import frames
from reports.results.frames import AXES, Results
from suites import units
from suites.case import UNCOMPILED
from suites.errors import DlhwError

OVERHEAD = 5.0
"""A step that takes more than this many times its largest bound is bound by something else."""
CLASSES = {"compute": "compute-bound", "bandwidth": "bandwidth-bound", "dispatch": "overhead-bound"}
COLUMNS = (
    "file", "machine", "fingerprint", "id", *AXES, "median_seconds", "bound", "decided_by",
    "compute_seconds", "bandwidth_seconds", "dispatch_seconds", "bandwidth_bytes",
    "flops_per_second", "ceiling_flops_per_second", "share_of_ceiling", "share_of_datasheet", "ceiling_case",
    "operator_bytes_per_second", "operator_intensity", "compulsory_intensity",
    "step_flops", "operator_bytes", "compulsory_bytes", "operators",
)  # fmt: skip
"""Times in seconds, intensities in FLOPs a byte, shares of the ceiling or of the vendor's dense peak."""


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


def load(paths: Iterable[Path]) -> pd.DataFrame:
    """A row a measured net, with the columns `COLUMNS`.

    Raises:
        DlhwError: a file cannot be read, is damaged, or there is no such net.
    """
    files = [frames.results(path) for path in paths]
    known = ceilings_of(files)
    rows = [row for file in files for row in _rows(file, known[file.common["fingerprint"]])]
    if not rows:
        names = ", ".join(file.common["file"] for file in files)
        raise DlhwError(f"{names}: no measured net in it whose bytes are known")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"bound": "string", "ceiling_case": "string"})


def ceilings_of(files: Sequence[Results]) -> dict[str, Ceilings]:
    """Fingerprint -> ceilings: what is in these files, and what earlier runs have left on this machine."""
    found: dict[str, Ceilings] = {}
    for file in files:
        name = file.common["fingerprint"]
        found[name] = found.get(name, ceilings.kept(name)).merged(ceilings.measured(file.records))
    return found


def _rows(file: Results, known: Ceilings) -> Iterator[dict[str, Any]]:
    with frames.damage_named(Path(file.common["file"])):
        for record in file.records:
            if record.outcome.status is Status.MEASURED and record.flops and record.traffic:
                yield {**file.common, **frames.row(record), **analysis(record, known, file.models)}


def analysis(record: Record, known: Ceilings, models: Mapping[str, str | None]) -> dict[str, Any]:
    """What the ceilings say of a measured net, under the names of `COLUMNS`.

    Args:
        models: device -> its model.
    """
    work = work_of(record)
    found = bounds(work, known)
    bound, decided_by = classify(work.seconds, found)
    assert record.traffic is not None
    rate = work.flops / work.seconds
    peak = known.flops_per_second.get(ceilings.key(work.device, work.threads, work.precision))
    promise = promise_for(models.get(work.device))
    promised = promise.flops_per_second(work.precision) if promise else None
    moved, least = record.traffic.operator_bytes, record.traffic.compulsory_bytes
    return {
        "bound": bound,
        "decided_by": decided_by,
        "compute_seconds": found.compute,
        "bandwidth_seconds": found.bandwidth,
        "dispatch_seconds": found.dispatch,
        "bandwidth_bytes": "compulsory" if is_compiled(record) else "operators'",
        "ceiling_flops_per_second": peak.value if peak else None,
        "share_of_ceiling": rate / peak.value if peak else None,
        "share_of_datasheet": rate / promised if promised else None,
        "ceiling_case": peak.case if peak else None,
        "operator_bytes_per_second": moved / work.seconds,
        "operator_intensity": work.flops / moved if moved else None,
        "compulsory_intensity": work.flops / least if least else None,
    }


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


def text(frame: pd.DataFrame) -> pd.DataFrame:
    """The table for people: the axes that vary, class and reason, shares and intensities."""
    varying = [axis for axis in AXES if frame[axis].nunique(dropna=False) > 1] or ["architecture"]
    table = frame[varying].astype("string").fillna(units.UNKNOWN)
    table["time a step"] = frame["median_seconds"].map(units.seconds)
    table["bound"] = frame["bound"].fillna("unknown")
    table["FLOP/s"] = [units.rate(value, "FLOP/s") for value in frame["flops_per_second"]]
    for column, title in (("share_of_ceiling", "of the ceiling"), ("share_of_datasheet", "of the data sheet")):
        if frame[column].notna().any():
            table[title] = [units.percent(_number(value)) for value in frame[column]]
    table["FLOPs a byte"] = [
        f"{least:.3g} compulsory, {eager:.3g} operators'"
        for eager, least in frame[["operator_intensity", "compulsory_intensity"]].itertuples(index=False)
    ]
    table["decided by"] = frame["decided_by"]
    return table.rename(columns=lambda name: str(name).replace("_", " "))


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
