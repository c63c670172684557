"""Findings in words: for people, pull requests, CI systems and scripts."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from bench.records.record import plain
from reports.history.changes import COUNTS, FEWEST_RUNS
from reports.history.check import Checked
from reports.history.findings import Finding, State, precision
from reports.results.escape import annotation, cell, printable
from suites import units

SCHEMA = 1
SHORT = 12
MOST = 150
"""Rows of a comment; GitHub takes 65,536 characters."""
ANNOTATIONS = 10
"""GitHub shows so many of a kind and step."""


def day(seconds: float | None) -> str:
    """`2026-01-02 03:04`, UTC."""
    return units.UNKNOWN if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def change(found: Finding) -> str:
    """`+5.2% [+4.1, +6.3]`; of a count its values."""
    before, after = found.facts["before"], found.facts["after"]
    if found.metric == "measured":
        return "no longer measured" if found.ratio < 1 else "measured again"
    if found.metric in COUNTS and before is not None:
        return f"{units.number(before)} -> {units.number(after)}"
    text = f"{100 * (found.ratio - 1):+.1f}%" if math.isfinite(found.ratio) else "from nothing"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{100 * (found.low - 1):+.1f}, {100 * (found.high - 1):+.1f}]"


def subject(found: Finding) -> str:
    """The case, or how many moved together."""
    kinds = "nets' cases" if found.kind == "net" else "micro-benchmarks"
    return found.case or f"{found.facts['series']} {kinds} together"


def cause(found: Finding) -> str:
    """`environment: torch 2.14.1 -> 2.15.0`, `code: c0ffee..f00d (3 commits)`."""
    facts = found.facts
    parts = [*facts["changed"]]
    if facts["good"] and facts["bad"] and facts["good"] != facts["bad"]:
        count = facts["commits"]
        many = "" if count is None else f" ({count} commit{'s' if count != 1 else ''})"
        parts.append(f"{facts['good'][:SHORT]}..{facts['bad'][:SHORT]}{many}")
    return f"{found.cause}: {'; '.join(parts)}" if parts else found.cause


def table(found: Sequence[Finding]) -> pd.DataFrame:
    """A row a finding."""
    rows = [
        (
            each.id, each.state, day(each.when), each.machine, subject(each), each.metric.replace("_", " "),
            change(each), "+".join(map(str, each.facts["runs"])), cause(each),
        )
        for each in found
    ]  # fmt: skip
    headings = ("finding", "state", "since", "machine", "case", "metric", "change", "runs", "cause")
    return pd.DataFrame(rows, columns=list(headings))


def whole(found: Finding) -> list[str]:
    """All that is known of one, a line each."""
    facts = found.facts
    lines = [
        f"finding {found.id}, {found.state}{f': {found.why}' if found.why else ''}",
        f"{subject(found)}, {found.metric.replace('_', ' ')}, on {found.machine}"
        f"{f', branch {found.branch}' if found.branch else ''}: {change(found)}",
        f"since run {found.runs[2]} ({day(found.when)}); not yet in run {found.runs[0]}, surely in run {found.runs[1]}",
        f"cause: {cause(found)}",
        *facts["notes"],
    ]
    if found.p is not None:
        share = "less than one in a million" if found.p < 1e-6 else f"{found.p:.2g}"
        lines.append(f"chance does as much in {share} of series without a change")
    return [*lines, *(f"to tell: {command}" for command in facts["commands"])]


def headline(checked: Checked) -> str:
    """`REGRESSED: 2 open findings in 120 series`, and how right findings have been."""
    words = {0: "PASS", 1: "REGRESSED", 5: "NOTHING COMPARED"}[checked.exit_code]
    count = len(checked.open)
    text = f"{words}: {count} open finding{'s' if count != 1 else ''} for the worse, {checked.series} series"
    if checked.short:
        text += f"; {checked.short} have fewer than {FEWEST_RUNS} runs, and are not judged"
    return text


def reliability(found: Sequence[Finding]) -> str:
    """The share of judged findings that a person accepted."""
    accepted, judged = precision(found)
    return f"{accepted} of {judged} judged findings were accepted" if judged else "no finding has been judged yet"


def markdown(checked: Checked) -> str:
    """A comment: what is open first."""
    shown = [*checked.open, *(each for each in checked.findings if each.state is State.OPEN and not each.worse)]
    cells = table(shown[:MOST])
    lines = [f"## dlhw history: {cell(headline(checked))}", ""]
    if shown:
        rows = [list(cells.columns), ["---"] * len(cells.columns), *cells.to_numpy().tolist()]
        lines += [f"| {' | '.join(map(cell, row))} |" for row in rows]
        lines += [f"\n{len(shown) - MOST} more are in the store."] if len(shown) > MOST else []
        lines.append("")
    return "\n".join([*lines, f"{reliability(checked.findings)}.", ""])


def github(checked: Checked) -> list[str]:
    """Annotations that a job of GitHub Actions prints."""
    return [
        annotation(
            "error",
            f"{subject(each)} {each.metric}",
            f"{change(each)} since {day(each.when)}; {cause(each)}; finding {each.id}",
        )
        for each in checked.open[:ANNOTATIONS]
    ]


def junit(checked: Checked) -> str:
    """A test for each open finding, which fails where it is for the worse; one that passes where there is none."""
    shown = [each for each in checked.findings if each.state is State.OPEN]
    suite = ElementTree.Element(
        "testsuite", name="dlhw history", tests=str(max(1, len(shown))), failures=str(len(checked.open))
    )
    for each in shown:
        name = printable(f"{each.machine} {subject(each)}")
        test = ElementTree.SubElement(suite, "testcase", classname=f"dlhw.{each.metric}", name=name)
        if each.worse:
            text = printable("; ".join(whole(each)))
            ElementTree.SubElement(test, "failure", message=text)
    if not shown:
        ElementTree.SubElement(suite, "testcase", classname="dlhw.history", name=f"{checked.series} series")
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def document(found: Sequence[Finding], checked: Checked | None = None) -> dict[str, Any]:
    """Everything, for scripts; keys stay."""
    accepted, judged = precision(found)
    rows = [
        {
            "id": each.id, "state": each.state, "why": each.why, "machine": each.machine, "branch": each.branch,
            "case": each.case, "kind": each.kind, "metric": each.metric, "since_seconds": each.when,
            "ratio": each.ratio,
            "low": each.low, "high": each.high, "p": each.p, "last_run": each.runs[0], "first_run": each.runs[1],
            "change_run": each.runs[2], **each.facts,
        }
        for each in found
    ]  # fmt: skip
    verdict = {"verdict": headline(checked).partition(":")[0], "exit_code": checked.exit_code} if checked else {}
    data = {"dlhw_history": SCHEMA, **verdict, "accepted": accepted, "judged": judged, "findings": rows}
    return dict(plain(data))
