"""Whose doing a change is, as far as the runs on its two sides can tell; and which commands tell more."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.gate import git
from reports.history.changes import COUNTS, FEWEST_SERIES, Change
from reports.history.looking import History, Run
from suites.errors import DlhwError

AROUND = 10
"""Runs on each side by which anchors are held against a change."""
AXES = (
    "architecture", "operation", "size", "variant", "mode", "batch_size", "precision", "memory_format", "compile_mode",
    "device", "threads",
)  # fmt: skip
SHORT = 12


class Cause(StrEnum):
    """Of a change."""

    CODE = "code"
    ENVIRONMENT = "environment"
    MACHINE = "machine"
    CONFOUNDED = "confounded"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Story:
    """What is known of a change besides its size.

    Attributes:
        changed: what of the environment, as `torch 2.14.1 -> 2.15.0`.
        good, bad: commits: of the last run before it, and of the first after it.
        commits: how many lie between; None where git does not know them here.
        notes: sentences.
        commands: which would tell more.
    """

    cause: Cause
    changed: tuple[str, ...]
    good: str | None
    bad: str | None
    commits: int | None
    notes: tuple[str, ...]
    commands: tuple[str, ...]
    options: tuple[str, ...] = ()
    """Of a gate that looks at the change's case alone."""

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)


def explain(change: Change, history: History, others: Sequence[Change], folder: Path) -> Story:
    """Whose doing a change is.

    Args:
        others: all changes of the machine: counts that change with it, anchors that do.
        folder: in whose repository the commits are looked up.
    """
    before, after = history.runs[change.last], history.runs[change.first]
    changed = differences(before.environment, after.environment)
    code = _code_changed(before, after) if change.kind == "net" else False  # micro-benchmarks run none of it
    anchors = anchors_moved(change, history)
    cause = decide(environment=bool(changed), code=code, anchors=anchors, common=change.case is None)
    commits, note = _commits(before.commit, after.commit, folder)
    notes = [
        note,
        _reason(change, history),
        _anchor_note(anchors),
        *_count_notes(change, others),
        *_clock_notes(before, after),
    ]
    if code is None:
        notes.append("the results do not say of which commit they are")
    return Story(
        cause, tuple(changed), before.commit, after.commit, commits, tuple(filter(None, notes)),
        tuple(commands(cause, change, history, before, after, changed)), tuple(case_options(change, history, after)),
    )  # fmt: skip


def decide(*, environment: bool, code: bool | None, anchors: bool | None, common: bool) -> Cause:
    """What follows from what has changed, and from whether that moved which code has no part in.

    Args:
        code: None where the commits are not known.
        anchors: whether micro-benchmarks moved as well; None where there are none.
        common: whether all series moved together.
    """
    if environment:
        return Cause.CONFOUNDED if code else Cause.ENVIRONMENT
    if code is None:
        return Cause.MACHINE if anchors else Cause.UNKNOWN
    if not code or anchors:
        return Cause.MACHINE
    return Cause.CONFOUNDED if common and anchors is None else Cause.CODE


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """`torch 2.14.1 -> 2.15.0`; what only one side knows is no change that is known."""
    return [
        f"{name} {before[name]} -> {after[name]}" for name in before if name in after and before[name] != after[name]
    ]


def _code_changed(before: Run, after: Run) -> bool | None:
    if before.commit is None or after.commit is None:
        return None
    return before.commit != after.commit or bool(before.dirty or after.dirty)


def anchors_moved(change: Change, history: History) -> bool | None:
    """Whether micro-benchmarks went half as far the same way, the median of them; None where there are none.

    They run no code of the repository's: what moves them is the machine, or its environment. Of one net alone it is
    asked how far they moved beyond the other nets: what all had in common in these nights is no part of its change.
    """
    if change.metric != "seconds" or change.kind == "micro":
        return None
    moves = _moves(history.results, change)
    micro = np.array([history.axes[case].get("kind") == "micro" for case in moves.index], dtype=bool)
    if not micro.any():
        return None
    others = moves[~micro & (moves.index != change.case)]
    shared = float(others.median()) if change.case and len(others) >= FEWEST_SERIES else 0.0
    return (float(moves[micro].median()) - shared) / math.log(change.ratio) > 0.5


def _moves(results: pd.DataFrame, change: Change) -> "pd.Series[float]":
    """Of each case that was measured on both sides of a change: the logarithm of after over before."""
    place = results["run"]
    before = place.between(change.last - AROUND + 1, change.last)
    after = place.between(change.first, change.first + AROUND - 1)
    near = results[(before | after) & (results["metric"] == "seconds")]
    sides = near.groupby(["case", near["run"] >= change.first])["value"].median().unstack()
    return (sides[True] / sides[False]).map(math.log, na_action="ignore").dropna()


def _reason(change: Change, history: History) -> str:
    """Why a case is measured no more."""
    if change.metric != "measured" or change.ratio > 1:
        return ""
    rows = history.results[(history.results["case"] == change.case) & (history.results["run"] == change.first)]
    return "; ".join(reason for reason in rows["reason"] if reason)


def _anchor_note(anchors: bool | None) -> str:
    if anchors is None:
        return ""
    return f"micro-benchmarks, which run no code of the repository's, {'moved as well' if anchors else 'did not move'}"


def _count_notes(change: Change, others: Sequence[Change]) -> list[str]:
    """Counts of the same case that changed between the same runs."""
    if change.metric in COUNTS:
        return []
    found = sorted({
        other.metric.replace("_", " ")
        for other in others
        if other.metric in COUNTS and other.case in {change.case, None}
        and other.last < change.first and other.first > change.last
    })  # fmt: skip
    return [f"what a step does changed with it: {', '.join(found)}"] if found else []


def _clock_notes(before: Run, after: Run) -> list[str]:
    return [f"run {run.id}: {run.note}" for run in (before, after) if run.note]


def _commits(good: str | None, bad: str | None, folder: Path) -> tuple[int | None, str]:
    """(how many commits lie between, what is to be said of them)."""
    if good is None or bad is None or good == bad:
        return None, ""
    try:
        count = int(git.run(folder, "rev-list", "--count", "--end-of-options", f"{good}..{bad}"))
        base = git.run(folder, "merge-base", good, bad)
    except DlhwError:
        return None, ""
    if base == good:
        return count, ""
    return count, (
        f"{good[:SHORT]} is no ancestor of {bad[:SHORT]}: the branch was rebased, or the runs are of two; "
        f"their histories part at {base[:SHORT]}"
    )


def commands(
    cause: Cause, change: Change, history: History, before: Run, after: Run, changed: Sequence[str]
) -> list[str]:
    """Command lines that decide, as a person types them in a shell."""
    gate = " ".join(["dlhw gate", *map(shlex.quote, case_options(change, history, after))])
    found: list[str] = []
    good, bad = before.commit, after.commit
    if cause in {Cause.CODE, Cause.CONFOUNDED} and good and bad and good != bad:
        found.append(f"git checkout {shlex.quote(bad)} && {gate} --base {shlex.quote(good)}")
    if cause in {Cause.ENVIRONMENT, Cause.CONFOUNDED} and changed:
        told = "; ".join(changed).replace("\n", " ")
        found.append(f"{gate} --base-python PYTHON_OF_THE_ENVIRONMENT_BEFORE  # {told}")
    if cause in {Cause.MACHINE, Cause.UNKNOWN}:
        found.append("dlhw doctor")
    return found


def case_options(change: Change, history: History, run: Run) -> list[str]:
    """What chooses a change's case in a gate; of all series together, the suite alone."""
    suite = ["--suite", run.suite] if run.suite else []
    axes = history.axes.get(change.case or "", {})
    chosen = [f"{name}={_text(axes[name])}" for name in AXES if axes.get(name) not in (None, "")]
    return suite + [word for axis in chosen for word in ("--axis", axis)]


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
