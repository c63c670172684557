"""The page's figures about a fleet: nodes of a kind against one another, and what became of blocks that failed."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.fleet import ledger
from bench.fleet.ledger import Attempt, End, History
from reports.fleet.compare import compare
from reports.page.figures_history import of_names, short, told
from reports.page.plots import COLOURS, Figure, layout, plot, points
from reports.results.escape import printable

STANDING = ("kind", "node", "family", "offset", "low", "high", "begin", "end", "spread", "drift", "outlier")
"""Shares of the middle of the others' times, in percent; `begin` and `end` by the anchors before and after."""
ATTEMPT = ("node", "block", "end", "reason", "seconds", "instead")
"""An attempt that did not come to its end; `instead` is what became of its block."""
UNLIKE, ALIKE, ANCHOR = COLOURS[5], COLOURS[0], COLOURS[7]
MOST_TOLD = 3
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class FleetFolder:
    """What a fleet has left in its folder.

    Attributes:
        arguments: what it was asked to measure.
        standings, attempts: a row each, `STANDING` and `ATTEMPT`.
        counts: attempts in all, and those that did not come to their end.
    """

    path: Path
    arguments: str
    standings: pd.DataFrame
    attempts: pd.DataFrame
    counts: tuple[int, int]


def load(folder: Path) -> FleetFolder:
    """Read a fleet's folder, of one that runs, too.

    Raises:
        DlhwError: there is no fleet in it.
    """
    history = ledger.read(folder)
    rows = [_standing(asdict(each)) for each in compare(folder)]
    lost = [_attempt(each, history) for each in history.attempts.values() if each.end is not End.DONE]
    return FleetFolder(
        folder, " ".join(map(str, history.header["arguments"])), pd.DataFrame(rows, columns=list(STANDING)),
        pd.DataFrame(lost, columns=list(ATTEMPT)), (len(history.attempts), len(lost)),
    )  # fmt: skip


def _standing(row: Mapping[str, Any]) -> dict[str, Any]:
    """In percent; begin and end lie on the two sides of the offset, by the drift between them."""
    offset, drift = 1 + row["offset"], row["drift"]
    half = None if drift is None else (1 + drift) ** 0.5
    return {
        **row, "begin": None if half is None else 100 * (offset / half - 1),
        "end": None if half is None else 100 * (offset * half - 1),
        **{name: _percent(row.get(name)) for name in ("offset", "low", "high", "spread", "drift")},
    }  # fmt: skip


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _attempt(attempt: Attempt, history: History) -> dict[str, Any]:
    same = [each for each in history.attempts.values()
            if (each.block, each.team) == (attempt.block, attempt.team) and each.end is End.DONE]  # fmt: skip
    instead = f"measured by {same[0].node}" if same else NOT_MEASURED
    end = attempt.end or "running, or its controller was killed"
    return {
        "node": attempt.node, "block": attempt.block, "end": str(end), "reason": attempt.reason,
        "seconds": attempt.seconds, "instead": instead,
    }  # fmt: skip


def figures(fleets: Sequence[FleetFolder]) -> list[Figure]:
    """All figures of all fleets."""
    return [figure for number, fleet in enumerate(fleets, 1) for figure in _figures(fleet, f"fleet-{number}")]


def _figures(fleet: FleetFolder, name: str) -> Iterator[Figure]:
    where = told(fleet.path.name)
    groups = fleet.standings.groupby(["kind", "family"], sort=False)
    for place, ((kind, family), rows) in enumerate(groups, 1):
        yield nodes(rows, f"How do nodes differ in {family}? ({where}: {told(kind)})", f"{name}-{place}")
    if fleet.counts[0]:
        yield lost(fleet.attempts, fleet.counts, where, f"{name}-lost")


def nodes(rows: pd.DataFrame, question: str, name: str) -> Figure:
    """Nodes of a kind against the middle of the others, in one family, the slowest on top.

    Args:
        rows: `STANDING`; named are those that are not like the others.
    """
    ordered = rows.sort_values("offset", ascending=False, kind="stable")
    data = ordered.assign(label=[short(told(node)) for node in ordered["node"]])
    outlier = data["outlier"].astype(bool)
    drawn = (
        ("begin", "", data[data["begin"].notna()], "before its own cases", ANCHOR, "triangle-right-open"),
        ("end", "", data[data["end"].notna()], "after them", ANCHOR, "triangle-left-open"),
        ("offset", "low", data[~outlier], "like the others", ALIKE, "circle"),
        ("offset", "low", data[outlier], "not like the others", UNLIKE, "x"),
    )
    traces = [
        points(own, column, "label", name=text, mode="markers", marker={"color": colour, "symbol": symbol, "size": 9},
               low=low, high=low and "high", across=bool(low))
        for column, low, own, text, colour, symbol in drawn if len(own)
    ]  # fmt: skip
    axes = of_names(layout("time against the others, %", ""), data["label"])
    few = f" {len(data)} nodes are too few to tell which is unlike the others." if _too_few(data) else ""
    note = (
        "By the anchor cases, which every node measured before and after its own, against the middle of the others: "
        f"right of 0 is slower.{few}"
    )
    columns = tuple(column for column in STANDING if column in data)
    return Figure(name, question, _alike(data), plot(traces, axes), data, columns, note)


def _alike(data: pd.DataFrame) -> str:
    """Who is off, and by how much; of too few nothing."""
    if _too_few(data):
        return ""
    bad = data[data["outlier"].astype(bool)].to_dict("records")
    words = [
        f"{told(row['node'])} is not like the other {len(data) - 1}: {abs(row['offset']):.1f}% "
        f"{'slower' if row['offset'] > 0 else 'faster'}{_interval(row)} than their middle."
        for row in sorted(bad, key=lambda row: -abs(row["offset"]))
    ]
    more = [f"And {len(words) - MOST_TOLD} more."] if len(words) > MOST_TOLD else []
    return " ".join([*words[:MOST_TOLD], *more]) or f"The {len(data)} nodes are alike."


def _too_few(data: pd.DataFrame) -> bool:
    """Whether the others of none have a spread to speak of."""
    return bool(data["spread"].isna().all())


def _interval(row: Mapping[Hashable, Any]) -> str:
    return "" if pd.isna(row["low"]) else f" [{row['low']:+.1f}, {row['high']:+.1f}]"


def lost(attempts: pd.DataFrame, counts: tuple[int, int], where: str, name: str) -> Figure:
    """Blocks that failed, were lost or refused, and what became of them.

    Args:
        attempts: `ATTEMPT`.
        counts: of attempts in all, and of these.
    """
    shown = attempts.assign(reason=[printable(str(reason)) for reason in attempts["reason"]])
    return Figure(name, f"What failed, or was lost? ({where})", _lost(shown, *counts), None, shown, ATTEMPT)


def _lost(attempts: pd.DataFrame, tasks: int, short_of: int) -> str:
    """How many; and which blocks nobody has measured, or else what was done about the others."""
    if not short_of:
        return f"All {tasks} tasks came to their end."
    ends = ", ".join(f"{count} {end}" for end, count in attempts["end"].value_counts().items())
    ordered = attempts.sort_values("instead", key=lambda column: column != NOT_MEASURED, kind="stable")
    words = [
        f"{told(row['node'])}, {told(row['block'])}: {told(row['reason'] or row['end'])}; {told(row['instead'])}."
        for row in ordered.head(MOST_TOLD).to_dict("records")
    ]
    more = [f"And {short_of - MOST_TOLD} more."] if short_of > MOST_TOLD else []
    return " ".join([f"{short_of} of {tasks} tasks did not come to their end: {ends}.", *words, *more])
