"""Which commit it was: git bisects, the paired gate judges each step, in a working copy of its own."""

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.gate import git
from reports.history.cause import Cause
from reports.history.findings import Finding
from suites.errors import DlhwError

DOOR = Path(__file__).resolve().parents[2] / "dlhw.py"
STEP = "case $? in 0) exit 0;; 1) exit 1;; 130) exit 255;; *) exit 125;; esac"
"""The gate's exit codes in git's: what is neither good nor bad is skipped."""


def command_of(options: Sequence[str], good: str, gate: Sequence[str]) -> str:
    """The line that `git bisect run` is given for each commit."""
    line = shlex.join([*gate, "--base", good, *options])
    return f"{line}; {STEP}"


def gate_command() -> list[str]:
    """Our own gate, by this interpreter."""
    return [sys.executable, "-P", str(DOOR), "gate"]


def ends_of(found: Finding) -> tuple[str, str]:
    """(good commit, bad commit).

    Raises:
        DlhwError: there is nothing to bisect.
    """
    good, bad = found.facts["good"], found.facts["bad"]
    if not good or not bad or good == bad:
        raise DlhwError(f"finding {found.id}: the runs before and after it are not of two commits that are known")
    if found.cause == Cause.MACHINE:
        raise DlhwError(f"finding {found.id}: its cause is the machine, as anchors moved too: no commit made it")
    return good, bad


def bisect(found: Finding, options: Sequence[str], folder: Path, gate: Sequence[str]) -> str:
    """The first bad commit, or git's words where it cannot be told; the person's working copy is left alone.

    Args:
        options: of the gate: what chooses the case.
        folder: in the repository.
        gate: the command that judges: exit code 0 good, 1 bad, others cannot tell.

    Raises:
        DlhwError: git fails, does not know the commits, or nothing could be judged.
    """
    good, bad = ends_of(found)
    top = Path(git.run(folder, "rev-parse", "--show-toplevel"))
    git.run(top, "merge-base", "--is-ancestor", good, bad)
    with tempfile.TemporaryDirectory(prefix="dlhw-bisect-") as scratch:
        tree = Path(scratch) / "tree"
        git.run(top, "worktree", "add", "--quiet", "--detach", str(tree), bad)
        try:
            git.run(tree, "bisect", "start", "--first-parent", bad, good)
            done = subprocess.run(
                ["git", "-C", str(tree), "bisect", "run", "sh", "-c", command_of(options, good, gate)],  # noqa: S607
                stdout=subprocess.PIPE, stderr=sys.stderr, text=True, check=False,
            )  # fmt: skip
        finally:
            git.run(top, "worktree", "remove", "--force", str(tree))
    return _told(done.stdout, found.id)


def _told(output: str, number: int) -> str:
    lines = output.splitlines()
    first = next((line for line in lines if line.endswith("is the first bad commit")), None)
    if first:
        return first
    unsure = [line for line in lines if line.startswith("The first bad commit could be any of")]
    if unsure:
        return " ".join(lines[lines.index(unsure[0]) :])
    raise DlhwError(f"finding {number}: the bisection ended without a commit: {(lines or ['nothing was said'])[-1]}")
