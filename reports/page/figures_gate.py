"""The page's figures about a gate: verdicts as a forest, controls, pairs over time; of the JSON that it writes."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from bench.records.pair import Entry
from reports.gate.report import DECIDING
from reports.gate.statistics import Verdict
from reports.page.plots import COLOURS, SYMBOLS, Figure, layout, plot, points
from suites.errors import DlhwError

LOOKS = {
    Verdict.REGRESSED: (COLOURS[5], "x"), Verdict.MISSING: (COLOURS[5], "cross"), Verdict.INVALID: (COLOURS[3], "star"),
    Verdict.INCOMPARABLE: (COLOURS[3], "diamond"), Verdict.MORE_WORK: (COLOURS[5], "hexagon"),
    Verdict.INCONCLUSIVE: (COLOURS[1], "square"),
    Verdict.IMPROVED: (COLOURS[2], "triangle-up"), Verdict.NEW: (COLOURS[7], "pentagon"),
    Verdict.PASS: (COLOURS[0], "circle"),
}  # fmt: skip
FIGURES = ("change", "change_low", "change_high", "smallest_seen")
"""In percent; of memory only where base takes enough for a ratio."""
BYTES = ("change_bytes", "low_bytes", "high_bytes", "seen_bytes")
"""Of memory: head less base."""
ROW = ("verdict", "case", "measure", *FIGURES, *BYTES, "p", "pairs", "reason")
OCTETS_ROW = ("verdict", "case", *BYTES, "p", "pairs")
CONTROL_ROW = ("verdict", "case", "measure", *FIGURES, "p", "pairs", "reason")
CONFIRMATION = 2
PAIR = ("case", "what", "stage", "pair", "change", "injected", "disturbed_turns", "turns", "reason")


@dataclass(frozen=True)
class GateFile:
    """What a gate wrote.

    Attributes:
        facts: of its provenance, to be listed.
        rows, controls: as `ROW`; pairs: as `PAIR`.
    """

    path: Path
    verdict: str
    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    rows: pd.DataFrame
    controls: pd.DataFrame
    pairs: pd.DataFrame


def is_gate(path: Path) -> bool:
    """Whether the file at `path` is a gate's; what cannot be read is not, and others will say why."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return '"dlhw_gate"' in file.read(200)
    except OSError:
        return False


def load(path: Path) -> GateFile:
    """Read what `dlhw gate --json` wrote.

    Raises:
        DlhwError: it cannot be read, or is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        entries = [Entry.from_json(entry) for entry in data["entries"]]
        counts = ", ".join(f"{count} {verdict}" for verdict, count in data["counts"].items())
        return GateFile(
            path=path,
            verdict=f"{data['verdict']}: {counts}",
            sentences=tuple(filter(None, [data.get("ended"), data["invalid"], _certain(data), *data["notes"]])),
            facts=tuple((name, str(data[name])) for name in ("base", "head", "method", "tolerance", "exit_code")),
            rows=pd.DataFrame(map(_row, data["rows"]), columns=list(ROW)),
            controls=pd.DataFrame(map(_row, data["controls"]), columns=list(ROW)),
            pairs=pd.DataFrame(map(_pair, entries), columns=list(PAIR)),
        )
    except OSError as error:
        raise DlhwError(f"{path}: {error.strerror}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DlhwError(f"{path}: this gate's file is damaged ({type(error).__name__}: {error})") from error


def _certain(data: Mapping[str, Any]) -> str:
    """What decides though times are INVALID."""
    verdicts = {row["verdict"] for row in data["rows"]}
    found = [f"{row['case']} {row['measure']} {row['verdict']}" for row in data["rows"] if row["verdict"] in DECIDING]
    invalid = data["invalid"] or Verdict.INVALID in verdicts
    return f"Certain, though times are INVALID: {'; '.join(found)}" if found and invalid else ""


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    found, octets = row["figures"] or {}, row.get("bytes") or {}
    return {
        "verdict": str(Verdict(row["verdict"])),
        "case": str(row["case"]),
        "measure": str(row["measure"]),
        "change": _percent(found.get("ratio")),
        "change_low": _percent(found.get("low")),
        "change_high": _percent(found.get("high")),
        "smallest_seen": _percent(found.get("seen")),
        "change_bytes": octets.get("difference"),
        "low_bytes": octets.get("low"),
        "high_bytes": octets.get("high"),
        "seen_bytes": octets.get("seen"),
        "p": found.get("p"),
        "pairs": min(found["launches"]) if found else None,
        "reason": "; ".join([*filter(None, [row["reason"], (row.get("work") or {}).get("change")]), *row["noisy"]]),
    }


def _pair(entry: Entry) -> dict[str, Any]:
    ratio = entry.pair.log_ratio
    lost = next((outcome for outcome in entry.pair.outcomes if outcome), None)
    reasons = [reason for reason in entry.pair.disturbed if reason]
    return {
        "case": entry.case,
        "what": f"{entry.control} control" if entry.control else "head against base",
        "stage": entry.stage,
        "pair": entry.number,
        "change": None if ratio is None else _percent(math.exp(ratio)),
        "injected": 100 * entry.injected,
        "disturbed_turns": len(reasons),
        "turns": len(entry.pair.base),
        "reason": f"{lost.status}: {lost.reason}" if lost else next(iter(reasons), ""),
    }


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * (float(ratio) - 1)


def figures(files: Sequence[GateFile]) -> list[Figure]:
    """All figures of all files."""
    return [figure for number, file in enumerate(files, 1) for figure in _figures(file, number)]


def _figures(file: GateFile, number: int) -> Iterator[Figure]:
    finding = " ".join([f"{file.verdict}.", *(f"{sentence}." for sentence in file.sentences)])
    yield Figure(
        f"gate-{number}", f"Is head slower? ({file.path.name})", finding, _forest(file.rows, TIME), file.rows, ROW,
        "Change of time, head over base, with its 95 % interval; open diamonds are the minimum detectable slowdowns "
        "(MDE), which would have been called REGRESSED four times in five.",
    )  # fmt: skip
    octets = file.rows[file.rows["change_bytes"].notna()]
    if not octets.empty:
        yield Figure(
            f"gate-{number}-memory", f"Does head take more memory? ({file.path.name})", "",
            _forest(octets, MEMORY), octets, OCTETS_ROW,
            "Peak memory, head less base, in bytes, with its 95 % interval; open diamonds are what would have been "
            "called REGRESSED four times in five.", share=f"gate-{number}",
        )  # fmt: skip
    if not file.controls.empty:
        yield Figure(
            f"gate-{number}-controls", f"Did the gate see what is known? ({file.path.name})", "",
            _forest(file.controls, CONTROLS), file.controls, CONTROL_ROW,
            "Base against itself should show nothing, base against a slowed base what was put in.",
        )  # fmt: skip
    if not file.pairs.empty:
        yield Figure(
            f"gate-{number}-pairs", f"What did each pair of processes say? ({file.path.name})", "",
            _over_time(file.pairs), file.pairs, PAIR,
            "A point is one pair of fresh processes; its raw slices are in the file.",
        )  # fmt: skip


@dataclass(frozen=True)
class _Forest:
    """What of rows a forest shows.

    Attributes:
        columns: the value, its interval, and what would have been seen; the last is empty where it is not shown.
        measure: of the rows that are shown; empty for all.
    """

    title: str
    columns: tuple[str, str, str, str]
    measure: str = ""


CHANGE_TITLE = "change of time, %"
TIME = _Forest(CHANGE_TITLE, FIGURES, "time")
CONTROLS = _Forest(CHANGE_TITLE, (*FIGURES[:3], ""))
MEMORY = _Forest("change of peak memory, bytes", BYTES, "memory")


def _forest(rows: pd.DataFrame, what: _Forest) -> go.Figure:
    """Cases by their change; a colour and a symbol for each verdict."""
    value, low, high, seen = what.columns
    shown = rows[rows[value].notna()]
    if what.measure:
        shown = shown[shown["measure"] == what.measure]
    traces = []
    for verdict, (colour, symbol) in LOOKS.items():
        own = shown[shown["verdict"] == str(verdict)]
        marker = {"color": colour, "symbol": symbol, "size": 9}
        if not own.empty:
            traces.append(
                points(
                    own, value, "case", name=str(verdict), low=low, high=high, across=True, mode="markers",
                    marker=marker,
                )
            )  # fmt: skip
    if seen and not shown.empty:
        marker = {"color": COLOURS[7], "symbol": "diamond-open", "size": 8}
        traces.append(points(shown, seen, "case", name="minimum detectable", mode="markers", marker=marker))
    return plot(traces, layout(what.title, ""))


def _over_time(pairs: pd.DataFrame) -> go.Figure:
    """A line for each case, the controls with symbols of their own."""
    shown = pairs[pairs["change"].notna()]
    traces = []
    for place, (key, own) in enumerate(shown.groupby(["case", "what", "stage"], sort=False)):
        case, what, stage = key
        looks = {"color": COLOURS[place % len(COLOURS)], "symbol": SYMBOLS[place % len(SYMBOLS)], "size": 7}
        name = f"{case}, {what}{', confirmation' if stage == CONFIRMATION else ''}"
        traces.append(points(own, "pair", "change", name=name, mode="lines+markers", marker=looks))
    return plot(traces, layout("pair", CHANGE_TITLE))
