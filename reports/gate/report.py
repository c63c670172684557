"""What the gate has found, for people, pull requests, CI systems and scripts."""

from collections import Counter
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from bench.records.record import plain
from reports.gate.statistics import Verdict
from reports.gate.verdicts import Gate, Row
from reports.results.escape import annotation, cell, printable
from suites import units

SHOWN_ROWS = 20
"""Of a pull-request comment; the rest is folded."""
FOLDED_ROWS = 150
"""GitHub takes 65,536 characters."""
ANNOTATIONS = 10
"""GitHub shows so many of a kind and step."""
CERTAIN_SHOWN = 5
"""Of what decides though times are INVALID."""
SCHEMA = 1
DECIDING = (Verdict.REGRESSED, Verdict.MISSING, Verdict.MORE_WORK)
FAILURES = (Verdict.MORE_WORK, Verdict.REGRESSED, Verdict.MISSING, Verdict.INVALID, Verdict.INCOMPARABLE)


def headline(gate: Gate, *, strict: bool) -> str:
    """`REGRESSED: 1 REGRESSED, 7 PASS`: the run's verdict, and the counts.

    What could not be decided is called so, whether it fails the run or not.
    """
    counts = ", ".join(f"{count} {verdict}" for verdict, count in gate.counts.most_common())
    words = {0: "PASS", 1: "REGRESSED", 3: "INCONCLUSIVE", 4: "INCOMPARABLE", 5: "NOTHING COMPARED", 6: "INVALID"}
    code = gate.exit_code(strict=strict)
    if code and gate.counts[Verdict.MORE_WORK] and not any(gate.counts[each] for each in DECIDING[:2]):
        words[code] = "MORE_WORK"
    word = "INCONCLUSIVE" if code == 0 and gate.counts[Verdict.INCONCLUSIVE] else words[code]
    together = f", all cases together by {percent(gate.shift[0])}" if gate.shift else ""
    return f"{word}: {counts or 'no case in either'}{together}"


def shift(gate: Gate) -> str:
    """The one finding that all cases share; empty where they share none."""
    if gate.shift is None:
        return ""
    middle, low, high = gate.shift
    return (
        f"All cases have moved together, {percent(middle)} [{percent(low)}, {percent(high)}]: one cause, of the "
        "machine, a dependency or the environment, rather than many."
    )


def messages(gate: Gate, *, strict: bool) -> list[str]:
    """What is said besides the table, the verdict first."""
    lines = [headline(gate, strict=strict), gate.ended, gate.invalid, certain(gate), shift(gate), *gate.notes]
    lines += [controls(gate), *(f"{case} was left out: {reason}" for case, reason in gate.left_out)]
    return [line for line in [*lines, gate.method] if line]


def certain(gate: Gate) -> str:
    """What decides though times are INVALID; empty where none is, or nothing does."""
    found = [row for row in gate.rows if row.verdict in DECIDING]
    if not found or not (gate.invalid or gate.counts[Verdict.INVALID]):
        return ""
    told = [f"{row.verdict} {row.case} {row.measure} {_change(row)}".rstrip(f" {units.UNKNOWN}") for row in found]
    more = f"; {len(told) - CERTAIN_SHOWN} more" if len(told) > CERTAIN_SHOWN else ""
    return f"Certain, though times are INVALID: {'; '.join(told[:CERTAIN_SHOWN])}{more}"


def controls(gate: Gate) -> str:
    """What the run said of differences that are known; empty where it had no controls."""
    if not gate.controls:
        return ""
    return "Controls: " + "; ".join(
        f"{row.case} {row.measure} {percent(row.figures.ratio)} [{percent(row.figures.low)}, "
        f"{percent(row.figures.high)}]{f', {row.reason}' if row.reason else ''}"
        for row in gate.controls
        if row.figures
    )


def text(gate: Gate) -> pd.DataFrame:
    """A row a case and measure, the worst first."""
    return pd.DataFrame([_cells(row) for row in gate.rows], columns=list(HEADINGS))


HEADINGS = ("verdict", "case", "measure", "head over base", "MDE", "p", "launches", "remark")


def _cells(row: Row) -> tuple[str, ...]:
    found = row.bytes or row.figures
    remark = "; ".join(filter(None, [row.reason, "NOISY: " + "; ".join(row.noisy) if row.noisy else ""]))
    if found is None:
        return (row.verdict, row.case, row.measure, _change(row), *[units.UNKNOWN] * 3, remark)
    return (
        row.verdict, row.case, row.measure,
        _change(row), _minimum_detectable(row), f"{found.p:.2g}", "+".join(map(str, found.launches)), remark,
    )  # fmt: skip


def _change(row: Row) -> str:
    """With its interval; of memory in bytes, and beside these as a ratio where base is enough for one."""
    if row.work:
        return row.work.change or "equal"
    if row.bytes:
        told = units.more_octets(row.bytes.difference, row.bytes.low, row.bytes.high)
        return f"{told}, {percent(row.figures.ratio)}" if row.figures else told
    if row.figures:
        return f"{percent(row.figures.ratio)} [{percent(row.figures.low)}, {percent(row.figures.high)}]"
    return units.UNKNOWN


def _minimum_detectable(row: Row) -> str:
    if row.bytes:
        return units.more_octets(row.bytes.minimum_detectable)
    return percent(row.figures.minimum_detectable) if row.figures else units.UNKNOWN


def percent(ratio: float) -> str:
    """`+4.1%` of a ratio of 1.041."""
    return f"{100 * (ratio - 1):+.1f}%"


def markdown(gate: Gate, *, strict: bool) -> str:
    """A comment on a pull request: the verdict, at most 20 rows, the rest folded."""
    lines = [f"## dlhw gate: {headline(gate, strict=strict)}", ""]
    lines += [f"**{shift(gate)}**", ""] if gate.shift else []
    table = text(gate)
    lines += _table(table.head(SHOWN_ROWS))
    rest = table.iloc[SHOWN_ROWS:FOLDED_ROWS]
    if len(rest):
        lines += ["", f"<details><summary>{len(rest)} more</summary>", "", *_table(rest), "", "</details>"]
    if len(table) > FOLDED_ROWS:
        lines += ["", f"{len(table) - FOLDED_ROWS} rows more are in the JSON."]
    lines += ["", *(f"- {cell(line)}" for line in messages(gate, strict=strict)[1:-1])] if gate.entries else []
    lines += ["", f"Tolerance {units.percent(gate.tolerance)}. {gate.method}.", ""]
    return "\n".join(lines)


def _table(table: pd.DataFrame) -> list[str]:
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return [f"| {' | '.join(map(cell, line))} |" for line in lines]


def junit(gate: Gate) -> str:
    """A test suite: a test for each row; what fails the gate is a failure, what it cannot tell is skipped."""
    suite = ElementTree.Element(
        "testsuite", name="dlhw gate", tests=str(len(gate.rows)),
        failures=str(sum(row.verdict in FAILURES for row in gate.rows)),
        skipped=str(gate.counts[Verdict.INCONCLUSIVE]),
    )  # fmt: skip
    for row in gate.rows:
        test = ElementTree.SubElement(suite, "testcase", classname=f"dlhw.{row.measure}", name=printable(row.case))
        text = printable(" ".join(_cells(row)))
        if row.verdict in FAILURES:
            ElementTree.SubElement(test, "failure", message=text)
        elif row.verdict is Verdict.INCONCLUSIVE:
            ElementTree.SubElement(test, "skipped", message=text)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def github(gate: Gate) -> list[str]:
    """Annotations, of the worst rows: lines that a job of GitHub Actions prints."""
    words = {Verdict.REGRESSED: "error", Verdict.MISSING: "error", Verdict.MORE_WORK: "error", Verdict.INVALID: "error",
             Verdict.INCOMPARABLE: "error", Verdict.INCONCLUSIVE: "warning", Verdict.IMPROVED: "notice"}  # fmt: skip
    shown: Counter[str] = Counter()
    lines = []
    for row in gate.rows:
        word = words.get(row.verdict, "")
        shown[word] += 1
        if word and shown[word] <= ANNOTATIONS:
            lines.append(annotation(word, f"{row.verdict} {row.case}", " ".join(_cells(row)[2:])))
    return lines


def _row_json(row: Row) -> dict[str, Any]:
    """`seen` is the format's word for the minimum detectable slowdown, or for as many bytes.

    Where no ratio says anything, the figures are there without one.
    """
    data = asdict(row)
    if row.bytes and not row.figures:
        unknown = dict.fromkeys(("ratio", "low", "high", "minimum_detectable"))
        data["figures"] = {"verdict": row.verdict, **unknown, "p": row.bytes.p, "launches": row.bytes.launches}
    for name in ("figures", "bytes"):
        if data[name]:
            data[name]["seen"] = data[name].pop("minimum_detectable")
    return data


def document(gate: Gate, *, strict: bool) -> dict[str, Any]:
    """Everything, for scripts; keys stay."""
    rows, controls_ = ([_row_json(row) for row in found] for found in (gate.rows, gate.controls))
    return dict(
        plain(
            {
                "dlhw_gate": SCHEMA,
                "verdict": headline(gate, strict=strict).partition(":")[0],
                "exit_code": gate.exit_code(strict=strict),
                "counts": {str(verdict): count for verdict, count in gate.counts.items()},
                "shift": gate.shift,
                "tolerance": gate.tolerance,
                "method": gate.method,
                "base": gate.base,
                "head": gate.head,
                "rows": rows,
                "controls": controls_,
                "invalid": gate.invalid,
                "ended": gate.ended,
                "left_out": [list(pair) for pair in gate.left_out],
                "notes": list(gate.notes),
                "entries": [entry.to_json() for entry in gate.entries],
            }
        )
    )
