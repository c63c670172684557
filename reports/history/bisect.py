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
STEP = """case $? in
0) exit 0;;
1) grep -q '"REGRESSED": [1-9]' {seen} && exit 1; exit 125;;
2|130) exit 255;;
*) exit 125;;
esac"""
"""The gate's exit codes in git's: what is neither good nor bad is skipped, as is what is only MISSING."""
MOST_TO_DETECT = 0.5


def command_of(options: Sequence[str], good: str, gate: Sequence[str], scratch: Path) -> str:
    """The line that `git bisect run` is given for each commit; its files are made in `scratch` anew."""
    seen, journal = scratch / "seen.json", scratch / "gate.journal.jsonl"
    kept = ["--journal", str(journal), "--json", str(seen)]
    line = shlex.join([*gate, "--base", good, "--strict", *kept, *options])
    return f"rm -f {shlex.join(map(str, (seen, journal)))}; {line}; {STEP.format(seen=shlex.quote(str(seen)))}"


def options_of(found: Finding) -> list[str]:
    """Of the gate: what chooses the finding's case; more than half of it is bad, and PASS excludes all of it."""
    chosen = list(found.facts["options"])
    if found.metric != "seconds":
        return chosen
    share = min(found.ratio - 1, MOST_TO_DETECT)
    return [*chosen, "--tolerance", f"{50 * share:.3g}%", "--detect", f"{100 * share:.3g}%"]


def gate_command() -> list[str]:
    """Our own gate, by this interpreter."""
    return [sys.executable, "-P", str(DOOR), "gate"]


def ends_of(found: Finding) -> tuple[str, str]:
    """(good commit, bad commit).

    Raises:
        DlhwError: there is nothing to bisect.
    """
    good, bad = found.facts["good"], found.facts["bad"]
    if not found.worse:
        raise DlhwError(f"finding {found.id}: it is for the better, and the gate looks for what is worse")
    if not good or not bad or good == bad:
        raise DlhwError(f"finding {found.id}: the runs before and after it are not of two commits that are known")
    if found.cause == Cause.MACHINE:
        raise DlhwError(f"finding {found.id}: its cause is the machine, as anchors moved too: no commit made it")
    return good, bad


def bisect(found: Finding, more: Sequence[str], folder: Path, gate: Sequence[str]) -> str:
    """The first bad commit, or git's words where it cannot be told; the person's working copy is left alone.

    Args:
        more: options of the gate that come behind those of the finding.
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
        line = command_of([*options_of(found), *more], good, gate, Path(scratch))
        try:
            git.run(tree, "bisect", "start", "--first-parent", bad, good)
            done = subprocess.run(
                ["git", "-C", str(tree), "bisect", "run", "sh", "-c", line],  # noqa: S607
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
