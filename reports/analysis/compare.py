"""`dlhw compare`: two results side by side. It describes; the gate judges."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.records.curves import Ratio, ratio
from bench.records.record import Record, Status
from bench.records.summary import summarise, value_of
from reports.results import frames
from reports.results.frames import Results
from suites import units

COLUMNS = (
    "case", "change", "finding", "base_value", "head_value", "metric", "ratio", "ratio_low", "ratio_high",
    "base_status", "head_status", "base_reason", "head_reason", "noisy",
)  # fmt: skip
"""`ratio` is head's time over base's: above 1 head is slower. Of an operation that only counts steps it is theirs."""
PASSED_OVER = {"build", "flags", "parallel_info", "hz_actual", "hz_advertised", "caches", "worker"}
"""Facts too long for a line, or different at every reading."""


@dataclass(frozen=True)
class Comparison:
    """What differs, what makes the comparison weak, and a row for every case of either file."""

    environment: tuple[tuple[str, tuple[str, ...]], ...]
    warnings: tuple[str, ...]
    rows: pd.DataFrame


def compare(base_path: Path, head_path: Path) -> Comparison:
    """Outer join of two results files.

    Raises:
        DlhwError: one cannot be read, or is damaged.
    """
    base, head = frames.results(base_path), frames.results(head_path)
    first, second = _keyed(base), _keyed(head)
    keys = list(dict.fromkeys([*first, *second]))
    rows = pd.DataFrame([_row(key, first.get(key), second.get(key)) for key in keys], columns=list(COLUMNS))
    return Comparison(tuple(differences([base, head])), tuple(_warnings(base, head, rows)), rows)


def _keyed(file: Results) -> dict[str, Record]:
    """Records by id; without threads where a file has one number of them: `all` is another number elsewhere."""
    counts = {record.case.get("threads") for record in file.records}
    if len(counts) > 1:
        return {record.id: record for record in file.records}
    short = {record.id.rpartition("-t")[0] or record.id: record for record in file.records}
    return short if len(short) == len(file.records) else {record.id: record for record in file.records}


def _row(key: str, base: Record | None, head: Record | None) -> dict[str, Any]:
    found = _ratio(base, head)
    row: dict[str, Any] = {
        "case": key,
        "change": found.value - 1 if found else None,
        "finding": _finding(base, head, found),
        "ratio": found.value if found else None,
        "ratio_low": found.low if found else None,
        "ratio_high": found.high if found else None,
    }
    noisy = []
    for name, record in (("base", base), ("head", head)):
        row |= {f"{name}_status": str(record.outcome.status) if record else "absent"}
        row |= {f"{name}_reason": record.outcome.reason if record else ""}
        if record is not None and record.outcome.status is Status.MEASURED:
            value = value_of(record)
            row |= {f"{name}_value": value.value, "metric": value.metric}
            noisy += [f"{name}: {reason}" for reason in (record.sampling.noisy if record.sampling else ())]
    return {**row, "noisy": "; ".join(noisy)}


def _ratio(base: Record | None, head: Record | None) -> Ratio | None:
    """Head's time over base's; None where one of them has none."""
    if base is None or head is None or not base.seconds or not head.seconds:
        return None
    before, after = value_of(base), value_of(head)
    return ratio(after, before) if before.metric in {"seconds", "steps"} else ratio(before, after)


def _finding(base: Record | None, head: Record | None, found: Ratio | None) -> str:
    if base is None or head is None:
        return "new" if base is None else "missing"
    if found is None:
        return "not measured in both"
    if found.low is None:
        return "no interval"
    if not found.certain:
        return "no difference seen"
    return "slower" if found.value > 1 else "faster"


def differences(files: Sequence[Results]) -> list[tuple[str, tuple[str, ...]]]:
    """(fact, what each file says) of all that is not the same: machines, torches, ways of measuring."""
    return differing([file.facts for file in files])


def differing(sources: Sequence[Mapping[str, Any]]) -> list[tuple[str, tuple[str, ...]]]:
    """(fact, what each source says) of all that is not the same; facts within facts by names with dots."""
    flat = [dict(_facts("", source)) for source in sources]
    names = dict.fromkeys(name for facts in flat for name in facts)
    found = {name: tuple(str(facts.get(name, units.UNKNOWN)) for facts in flat) for name in names}
    return [(name, values) for name, values in found.items() if len(set(values)) > 1]


def _facts(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name not in PASSED_OVER:
                yield from _facts(f"{prefix}.{name}" if prefix else str(name), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            name = item.get("name", index) if isinstance(item, Mapping) else index
            yield from _facts(f"{prefix}.{name}", item)
    else:
        yield prefix, value


def _warnings(base: Results, head: Results, rows: pd.DataFrame) -> Iterator[str]:
    """What a reader should know before believing a row."""
    if base.common["fingerprint"] != head.common["fingerprint"]:
        yield "another machine or torch: a ratio tells which is faster, not why"
    single = [name for name, file in (("base", base), ("head", head)) if _single(file)]
    if single:
        yield (
            f"one launch a case in {' and '.join(single)}: the intervals do not hold how much two processes of the "
            "same code differ; --launches 5 does, and dlhw gate judges"
        )
    noisy = int((rows["noisy"] != "").sum())
    if noisy:
        told = int(((rows["noisy"] != "") & rows["finding"].isin(("slower", "faster"))).sum())
        yield f"{noisy} of {units.count(len(rows), 'case')} NOISY" + (
            f", {told} of those that are slower or faster" if told else ""
        )
    if not rows["ratio"].notna().any():
        yield "no case was measured in both"


def _single(file: Results) -> bool:
    measured = [record for record in file.records if record.outcome.status is Status.MEASURED]
    return any(summarise(record).launches == 1 for record in measured)


def summary(rows: pd.DataFrame) -> str:
    """`12 slower, 3 faster, 80 no difference seen, 1 new; geometric mean of 95 ratios 1.02`."""
    counts = ", ".join(f"{count} {name}" for name, count in rows["finding"].value_counts().items())
    ratios = rows["ratio"].dropna()
    if ratios.empty:
        return counts
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return f"{counts}; geometric mean of {len(ratios)} ratios of time {units.number(mean)}"


def text(rows: pd.DataFrame) -> pd.DataFrame:
    """The table for people: what changed most comes first."""
    size = rows["ratio"].map(lambda value: abs(math.log(value)) if value and not pd.isna(value) else -1.0)
    ordered = rows.loc[size.sort_values(ascending=False, kind="stable").index]
    metric = ordered["metric"].fillna("seconds")
    return pd.DataFrame(
        {
            "case": ordered["case"],
            "base": [
                units.metric(name, _number(value)) for name, value in zip(metric, ordered["base_value"], strict=True)
            ],
            "head": [
                units.metric(name, _number(value)) for name, value in zip(metric, ordered["head_value"], strict=True)
            ],
            "time": [
                _percent(*(_number(value) for value in row))
                for row in ordered[["ratio", "ratio_low", "ratio_high"]].itertuples(index=False)
            ],
            "finding": [_finding_text(row) for row in ordered.to_dict("records")],
        }
    )


def _percent(value: float | None, low: float | None, high: float | None) -> str:
    """`+3.1% [+1.0, +5.2]`."""
    if value is None:
        return units.UNKNOWN
    middle = f"{100 * (value - 1):+.1f}%"
    return middle if low is None or high is None else f"{middle} [{100 * (low - 1):+.1f}, {100 * (high - 1):+.1f}]"


def _finding_text(row: Mapping[Any, Any]) -> str:
    reasons = [f"{name} {row[f'{name}_status']}: {row[f'{name}_reason']}" for name in ("base", "head")
               if row[f"{name}_status"] not in {"measured", "absent"}]  # fmt: skip
    return "; ".join([str(row["finding"]), *reasons, *(["NOISY"] if row["noisy"] else [])])


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
