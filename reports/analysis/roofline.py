"""Why each step of a file takes as long as it does, as `bench.machine.bounds` tells it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.machine import ceilings
from bench.machine.bounds import bounds, classify, is_compiled, work_of
from bench.machine.ceilings import Ceilings
from bench.records.record import Record, Status
from reports.references.datasheet import promise_for
from reports.results import frames
from reports.results.frames import AXES, Results
from suites import units
from suites.errors import DlhwError

COLUMNS = (
    "file", "machine", "fingerprint", "id", *AXES, "median_seconds", "bound", "decided_by",
    "compute_seconds", "bandwidth_seconds", "dispatch_seconds", "bandwidth_bytes",
    "flops_per_second", "ceiling_flops_per_second", "share_of_ceiling", "share_of_datasheet", "ceiling_case",
    "operator_bytes_per_second", "operator_intensity", "compulsory_intensity",
    "step_flops", "operator_bytes", "compulsory_bytes", "operators",
)  # fmt: skip
"""Times in seconds, intensities in FLOPs a byte, shares of the ceiling or of the vendor's dense peak."""


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
        "decided_by": f"{decided_by}; its time was disturbed" if record.disturbed else decided_by,
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
