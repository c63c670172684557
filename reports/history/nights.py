"""What figures show of a store: of each machine its runs, series and findings, as frames."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reports.history import findings, looking, report
from reports.history.cause import AXES, differences
from reports.history.changes import FEWEST_RUNS, FEWEST_SERIES, NORMAL_975, factor
from reports.history.findings import Finding, State
from reports.history.looking import History
from reports.history.store import Store
from suites.errors import DlhwError

RUN = ("run_id", "at", "branch", "commit", "environment", "changed")
"""Of a run: its number, when (UTC), the number of its environment, and what of that is new, where it is."""
SERIES = (*RUN, "machine", "case", *AXES, "metric", "value", "low", "high", "launches", "reason")
"""A figure and its 95 % interval in SI, None where the case was not measured."""
WHOLE = (*RUN, "machine", "kind", "change", "low_quarter", "high_quarter", "cases")
"""In percent of the first runs: the median of all cases, and what half of them lie between."""
FINDING = (
    "finding", "state", "since", "machine", "case", "metric", "change", "runs", "cause", "why", "series", "worse",
    "percent", "low_percent", "high_percent",
)  # fmt: skip
"""As text; `series` is the case that it is of, None where it is of many; the change again in numbers."""
STATES = (State.OPEN, State.ACCEPTED, State.REJECTED)
"""In this order; what is gone is not shown."""


@dataclass(frozen=True)
class Nights:
    """A machine's runs of a branch, and what was found in them.

    Attributes:
        branch: None where the runs have none, or all are taken.
        runs, series, whole, findings: a row each, in the order of time; `RUN`, `SERIES`, `WHOLE`, `FINDING`.
            `series` is all times, and all of each other metric that was found to change.
        asked: whether a part of the cases was asked for, which is then all of `series`.
        reliability: how many findings people have accepted.
    """

    machine: str
    branch: str | None
    runs: pd.DataFrame
    series: pd.DataFrame
    whole: pd.DataFrame
    findings: pd.DataFrame
    asked: bool
    reliability: str


def read(store: Store, machine: str | None, branch: str | None, nets: Sequence[str]) -> list[Nights]:
    """Of every machine that has runs, as far as it is asked for.

    Args:
        nets: patterns of case ids or names of nets; the machine as a whole is shown by all of its cases.

    Raises:
        DlhwError: there is no such machine, branch or net; the store cannot be used.
    """
    with store.reading() as connection:
        own = looking.machine_ids(connection, machine)
        found = findings.all_of(connection, dict(own))
        histories = [looking.history(connection, each, branch=branch, metric="seconds") for each in own]
        known = [(each, _others(connection, each, found)) for each in histories if each.runs]
    shown = [_nights(history, others, found, nets) for history, others in known]
    if not any(len(each.series) for each in shown):
        raise DlhwError(f"{', '.join(nets) or branch or store.label}: nothing of that in the store")
    return shown


def _others(connection: Any, history: History, found: Sequence[Finding]) -> list[History]:
    """The same runs' other figures, of which there are findings."""
    names = {each.metric for each in found if _of(each, history)} - {"seconds", "measured"}
    machine = history.machine_id, history.machine
    return [looking.history(connection, machine, branch=history.branch, metric=name) for name in sorted(names)]


def _of(found: Finding, history: History) -> bool:
    return (found.machine, found.branch) == (history.machine, history.branch) and found.state in STATES


def _nights(history: History, others: Sequence[History], found: Sequence[Finding], nets: Sequence[str]) -> Nights:
    runs = run_frame(history)
    fits = {name for name, axes in history.axes.items() if looking.fits(name, axes, nets)}
    own = [each for each in found if _of(each, history) and (each.case is None or each.case in fits)]
    series = pd.concat([_series(each, runs, fits) for each in (history, *others)], ignore_index=True)
    return Nights(
        machine=history.machine, branch=history.branch, runs=runs, series=series,
        whole=pd.DataFrame(list(_whole(history, runs)), columns=list(WHOLE)), findings=finding_frame(own),
        asked=bool(nets), reliability=report.reliability(own),
    )  # fmt: skip


def run_frame(history: History) -> pd.DataFrame:
    """`RUN`: environments that differ in something known are numbered in the order of time."""
    rows, number = [], 1
    for place, run in enumerate(history.runs):
        news = differences(history.runs[place - 1].environment, run.environment) if place else []
        number += bool(news)
        commit = None if run.commit is None else run.commit[: report.SHORT] + (" + changes" if run.dirty else "")
        rows.append((run.id, report.day(run.at), run.branch, commit, number, "; ".join(news)))
    return pd.DataFrame(rows, columns=list(RUN))


def _series(history: History, runs: pd.DataFrame, fits: set[str]) -> pd.DataFrame:
    """`SERIES` of the cases that fit."""
    rows = history.results[history.results["case"].isin(fits)]
    error = NORMAL_975 * rows["between"].fillna(rows["within"]).fillna(0.0)
    shown = rows.assign(low=rows["value"] * np.exp(-error), high=rows["value"] * np.exp(error), machine=history.machine)
    for axis in AXES:
        shown[axis] = shown["case"].map({case: _plain(history.axes[case].get(axis)) for case in fits})
    return shown.join(runs, on="run")[list(SERIES)].reset_index(drop=True)


def _plain(value: Any) -> Any:
    """A size of several parts as text, as an id has it."""
    return "x".join(map(str, value)) if isinstance(value, list) else value


def _whole(history: History, runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The middle of all series of a kind, run by run, each held against itself; none of fewer than five cases."""
    kinds = history.results["case"].map({name: str(axes.get("kind", "net")) for name, axes in history.axes.items()})
    every: list[dict[str, Any]] = [dict(zip(RUN, row, strict=True)) for row in runs.itertuples(index=False)]
    for kind, rows in history.results[history.results["value"] > 0].groupby(kinds, sort=False):
        every_run = rows.pivot_table(index="case", columns="run", values="value")
        wide = every_run.loc[:, every_run.notna().sum() >= FEWEST_SERIES]
        if wide.shape[1] < 2:
            continue
        logs = np.log(wide.to_numpy())
        shift = factor(logs)
        first = float(np.median(shift[:FEWEST_RUNS]))
        alone = logs - np.nanmedian(logs - shift, axis=1, keepdims=True)
        quarters = np.nanpercentile(alone, [25, 75], axis=0)
        for place, run in enumerate(map(int, wide.columns)):
            change, low, high = (100 * math.expm1(value - first) for value in (shift[place], *quarters[:, place]))
            yield {
                **every[run], "machine": history.machine, "kind": kind, "change": change, "low_quarter": low,
                "high_quarter": high, "cases": int(wide.iloc[:, place].notna().sum()),
            }  # fmt: skip


def _urgency(found: Finding) -> tuple[int, bool, bool, float]:
    """What nobody has judged first, what is for the worse, what is of all cases together, the latest."""
    return STATES.index(found.state), not found.worse, found.case is not None, -found.when


def finding_frame(found: Sequence[Finding]) -> pd.DataFrame:
    """`FINDING`, what is most urgent first."""
    ordered = sorted(found, key=_urgency)
    text = report.table(ordered)
    more = [(each.why, each.case, each.worse) for each in ordered]
    text[["why", "series", "worse"]] = pd.DataFrame(more, columns=["why", "series", "worse"])
    for column, name in (("percent", "ratio"), ("low_percent", "low"), ("high_percent", "high")):
        text[column] = pd.array([_percent(each, getattr(each, name)) for each in ordered], dtype="Float64")
    return text[list(FINDING)]


def _percent(found: Finding, ratio: float | None) -> float | None:
    """None of what has no size: from nothing, or not measured at all."""
    return None if ratio is None or math.isinf(ratio) or found.metric == "measured" else 100 * (ratio - 1)
