"""From a machine's series to its changes: what all share first, then each by itself."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.history.looking import History
from reports.history.noise import Chance, chance, scatter
from reports.history.segmentation import Floats, Step, changes, lengths, levels, steps, tamed

ALARMS = 1.0
"""False alarms a year, of all series of a machine and metric together."""
FALSE_SHARE = 0.05
FEWEST_RUNS = 8
"""Before a series is judged: its own noise has to be known."""
FEWEST_SERIES = 5
"""That can be said to have moved together."""
COUNTS = ("operators", "operator_bytes", "step_flops", "graph_breaks", "kernels", "measured", "steps")
"""What is counted, not measured: any change that stays is one. `measured` is 1 or 0."""
COUNTED_RUNS = 2
"""Of the same count on either side of a change."""
FLOORS = {"peak_bytes": 2.0**20, "seconds": 2e-8, "compile_seconds": 0.05}
"""What a figure is never known better than, in its unit: pages and buffers; a clock's reading."""
LEAST_SHARE = 0.001
NORMAL_975 = 1.96


@dataclass(frozen=True, kw_only=True)
class Change:
    """A lasting change of one series, or of all of a metric.

    Attributes:
        case: None where it is of all series together.
        last, first: places of the last run that is surely before it, and of the first surely after it.
        place: of the run that is likeliest the first after it.
        ratio: after over before; `low` and `high` its 95 % interval, None of counts.
        before, after: the levels, in the metric's unit; None of all series together.
        p: the share of series without a change in which chance does as much; None of counts.
        runs: before and after it.
        series: how many it is of.
        kind: `net` or `micro`; what all series of a kind share is one change.
    """

    case: str | None
    metric: str
    last: int
    first: int
    place: int
    ratio: float
    low: float | None
    high: float | None
    p: float | None
    runs: tuple[int, int]
    series: int = 1
    kind: str = "net"
    before: float | None = None
    after: float | None = None

    @property
    def worse(self) -> bool:
        """More of anything is worse, but being measured, FLOPs and kernels apart."""
        if self.metric == "measured":
            return self.ratio < 1
        return self.ratio > 1 and self.metric not in {"step_flops", "kernels", "operators"}


@dataclass(frozen=True)
class Series:
    """The series of a metric, a row a case; NaN behind the last of its runs.

    Attributes:
        places: of each value, in the history's runs.
        values: logarithms; with their standard `errors`, 0 where unknown.
    """

    cases: tuple[str, ...]
    places: NDArray[np.int64]
    values: Floats
    errors: Floats


def find(history: History, alarms: float = ALARMS) -> list[Change]:
    """All changes of a machine's series, the latest first.

    Args:
        alarms: false ones a year that are put up with, of each metric.
    """
    found: list[Change] = []
    measured = history.results[history.results["metric"].isin(["seconds", "steps"])]
    existence = measured.assign(metric="measured", value=measured["value"].notna().astype(float))
    known = history.results[history.results["value"].notna()]
    every = pd.concat([known, existence], ignore_index=True)
    kinds = every["case"].map({name: str(axes.get("kind", "net")) for name, axes in history.axes.items()})
    for (metric, kind), rows in every.groupby(["metric", kinds.rename("kind")], sort=True):
        if metric in COUNTS:
            own = _together(_counted(str(metric), rows))
        else:
            own = _of_times(str(metric), series_of(str(metric), rows[rows["value"] > 0]), alarms)
        found += [replace(change, kind=str(kind)) for change in own]
    return sorted(found, key=lambda each: (-each.place, each.metric, each.case or ""))


def series_of(metric: str, rows: pd.DataFrame) -> Series:
    """Logarithms of the values, in the order of the runs."""
    cases, codes = np.unique(rows["case"].to_numpy(dtype=str), return_inverse=True)
    order = np.lexsort((rows["run"].to_numpy(), codes))
    codes, chosen = codes[order], rows.iloc[order]
    counts = np.bincount(codes, minlength=len(cases))
    column = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (len(cases), int(counts.max(initial=0)))
    places, values, errors = np.zeros(shape, dtype=np.int64), np.full(shape, np.nan), np.full(shape, np.nan)
    value = chosen["value"].to_numpy(dtype=float)
    known = chosen["between"].fillna(chosen["within"]).fillna(0.0).to_numpy(dtype=float)
    floor = np.maximum(FLOORS.get(metric, 0.0) / value, LEAST_SHARE)
    places[codes, column] = chosen["run"]
    values[codes, column] = np.log(value)
    errors[codes, column] = np.sqrt(known**2 + floor**2)
    return Series(tuple(map(str, cases)), places, values, errors)


def _of_times(metric: str, series: Series, alarms: float) -> list[Change]:
    """What all have in common, as one change; then what is left of each."""
    series = _long_enough(series)
    if not series.cases:
        return []
    common, rest = _common(metric, series, alarms)
    variances = scatter(rest.values, rest.errors)
    calm, _ = tamed(rest.values, np.sqrt(variances))
    luck = chance(rest.values, rest.errors, rest.values.shape[1])
    places = changes(calm, variances, luck.penalty_for(alarms, len(rest.cases)))
    own = [
        _change(case, metric, step, rest.places[row], luck, _runs(places[row], number, int(lengths(calm)[row])))
        for row, case in enumerate(rest.cases)
        for number, step in enumerate(_steps(calm[row], variances[row], places[row]))
    ]
    return common + [_with_levels(change, series) for change in _surely(own, len(rest.cases))]


def _with_levels(change: Change, series: Series) -> Change:
    """Medians of up to ten runs before and after it."""
    row = series.cases.index(change.case or "")
    end = int(lengths(series.values[[row]])[0])
    place = int(np.searchsorted(series.places[row, :end], change.place))
    before, after = (
        float(np.exp(np.median(series.values[row, part])))
        for part in (
            slice(max(0, place - min(change.runs[0], 10)), place),
            slice(place, min(end, place + min(change.runs[1], 10))),
        )
    )
    return replace(change, before=before, after=after)


def _long_enough(series: Series) -> Series:
    kept = np.flatnonzero(lengths(series.values) >= FEWEST_RUNS)
    return Series(
        tuple(series.cases[row] for row in kept), series.places[kept], series.values[kept], series.errors[kept]
    )


def _steps(values: Floats, variances: Floats, places: Sequence[int]) -> list[Step]:
    end = int((~np.isnan(values)).sum())
    return steps(values[:end], variances[:end], places)


def _runs(places: Sequence[int], number: int, end: int) -> tuple[int, int]:
    bounds = [0, *places, end]
    return bounds[number + 1] - bounds[number], bounds[number + 2] - bounds[number + 1]


def _change(
    case: str | None, metric: str, step: Step, runs: NDArray[np.int64], luck: Chance, counts: tuple[int, int]
) -> Change:
    half = NORMAL_975 * step.error
    return Change(
        case=case, metric=metric, last=int(runs[step.first - 1]), first=int(runs[step.last]),
        place=int(runs[step.place]), ratio=math.exp(step.size), low=math.exp(step.size - half),
        high=math.exp(step.size + half), p=luck.p(step.gain), runs=counts,
    )  # fmt: skip


def _surely(found: list[Change], series: int) -> list[Change]:
    """Those that stand when no more than 5 % of what is called a change may be none (Benjamini and Hochberg 1995,
    doi 10.1111/j.2517-6161.1995.tb02031.x); series without a change count as tests that found nothing."""
    from scipy.stats import false_discovery_control

    silent = series - len({change.case for change in found})
    adjusted = false_discovery_control([*(change.p for change in found), *[1.0] * silent]) if found else []
    return [change for change, share in zip(found, adjusted, strict=False) if share <= FALSE_SHARE]


def _common(metric: str, series: Series, alarms: float) -> tuple[list[Change], Series]:
    """(changes of what all series share, the series without that); nothing where there are few."""
    if len(series.cases) < FEWEST_SERIES:
        return [], series
    wide = _by_run(series)
    runs = np.flatnonzero((~np.isnan(wide)).sum(axis=0) >= FEWEST_SERIES)
    if len(runs) < FEWEST_RUNS:
        return [], series
    shared = factor(wide[:, runs])[None]
    errors = np.full_like(shared, LEAST_SHARE)
    variances = scatter(shared, errors)
    calm, _ = tamed(shared, np.sqrt(variances))
    luck = chance(shared, errors, shared.shape[1])
    places = changes(calm, variances, luck.penalty_for(alarms, 1))[0]
    found = [
        replace(
            _change(None, metric, step, runs, luck, _runs(places, number, len(runs))), series=len(series.cases)
        )
        for number, step in enumerate(steps(calm[0], variances[0], places))
    ]  # fmt: skip
    return found, _without(series, wide, runs, shared[0], levels(calm[0], variances[0], places))


def _by_run(series: Series) -> Floats:
    """A row a series, a column a run of the history."""
    wide = np.full((len(series.cases), int(series.places.max()) + 1), np.nan)
    rows, columns = np.nonzero(~np.isnan(series.values))
    wide[rows, series.places[rows, columns]] = series.values[rows, columns]
    return wide


def factor(wide: Floats) -> Floats:
    """What all series do, a run: medians of rows and columns taken off by turns (Tukey 1977, median polish)."""
    found = np.zeros(wide.shape[1])
    for _ in range(5):
        own = np.nanmedian(wide - found, axis=1, keepdims=True)
        found = np.nanmedian(wide - own, axis=0)
    return found - np.median(found)


def _without(series: Series, wide: Floats, runs: NDArray[np.int64], shared: Floats, level: Floats) -> Series:
    """The series less the levels of what they share; less all of it, where they scatter less then."""
    candidates = []
    for part in (level, shared):
        full = np.interp(np.arange(wide.shape[1]), runs, part)
        left = series.values - np.where(np.isnan(series.values), 0.0, full[series.places])
        candidates.append(replace(series, values=left))
    spreads = [float(np.nanmedian(scatter(each.values, each.errors))) for each in candidates]
    return candidates[int(np.argmin(spreads))]


def _counted(metric: str, rows: pd.DataFrame) -> Iterator[Change]:
    """Changes of a count that stay for two runs, after two of the same."""
    for case, own in rows.groupby("case", sort=True):
        values, places = own["value"].to_numpy(), own["run"].to_numpy()
        for place in range(COUNTED_RUNS, len(values) - COUNTED_RUNS + 1):
            before, after = values[place - COUNTED_RUNS : place], values[place : place + COUNTED_RUNS]
            if np.ptp(before) == 0 and np.ptp(after) == 0 and before[0] != after[0]:
                yield Change(
                    case=str(case), metric=metric, last=int(places[place - 1]), first=int(places[place]),
                    place=int(places[place]), ratio=float(after[0] / before[0]) if before[0] else math.inf,
                    before=float(before[0]), after=float(after[0]),
                    low=None, high=None, p=None, runs=(place, len(values) - place),
                )  # fmt: skip


def _together(found: Iterator[Change]) -> list[Change]:
    """Counts that change in many cases between the same two runs are one change: its ratio is their median's."""
    groups: dict[tuple[int, int, bool], list[Change]] = {}
    for change in found:
        groups.setdefault((change.last, change.first, change.ratio > 1), []).append(change)
    kept: list[Change] = []
    for group in groups.values():
        ratio = float(np.median([change.ratio for change in group]))
        many = len(group) >= FEWEST_SERIES
        kept += (
            [replace(group[0], case=None, ratio=ratio, series=len(group), before=None, after=None)] if many else group
        )
    return kept
