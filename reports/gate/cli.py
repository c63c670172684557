"""`dlhw gate` on the command line: what may be asked for together, what is said, and the exit code."""

import json
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bench.sweep import streams
from suites.errors import DlhwError, NoBaseError

if TYPE_CHECKING:
    from reports.gate.live import GateOptions
    from reports.gate.verdicts import Gate

INTERRUPTED = 130


class OnMoreWork(StrEnum):
    """What MORE_WORK does to the exit code."""

    TELL = "tell"
    FAIL = "fail"


Head = Annotated[Path | None, typer.Argument(metavar="[HEAD.json]", help="With --baseline: results to judge.")]
Base = Annotated[
    str | None,
    typer.Option(
        metavar="REF",
        help="A commit to hold the working copy against; REF... for the merge base with HEAD.",
    ),
]
BasePython = Annotated[
    str | None, typer.Option(metavar="PATH", help="An interpreter to hold --head-python against: another torch.")
]
HeadPython = Annotated[str | None, typer.Option(metavar="PATH", help="Default: the one that runs dlhw.")]
Baseline = Annotated[Path | None, typer.Option(metavar="BASE.json", help="Stored results to hold HEAD against.")]
Suite = Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="What both sides measure.")]
Axis = Annotated[list[str] | None, typer.Option(metavar="AXIS=V,V,...", help="As in a run.")]
Pairs = Annotated[int | None, typer.Option(metavar="K", help="Pairs of processes; default 6.", min=3, max=200)]
Budget = Annotated[str | None, typer.Option(metavar="10m", help="As many pairs as fit into this time.")]
Detect = Annotated[
    str | None,
    typer.Option(
        metavar="3%", help="As many pairs as make this slowdown detectable in every case; PASS then excludes it."
    ),
]
Tolerance = Annotated[
    str | None, typer.Option(metavar="2%", help="Slower by this is no regression; default: the suite's word, 2%.")
]
Inject = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN=5%", help="A drill: slow head's cases of these ids down; may be repeated."),
]
Journal = Annotated[Path, typer.Option(metavar="PATH", help="Where each pair is kept at once.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that the journal holds.")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Of the tossed orders; default: a new one.")]
GoOn = Annotated[
    bool, typer.Option("--go-on", help="Measure all pairs, though after two it is clear that they will see too little.")
]
Strict = Annotated[bool, typer.Option("--strict", help="INCONCLUSIVE fails, too (exit code 3).")]
Work = Annotated[
    OnMoreWork, typer.Option("--work", help="More work beyond the tolerance, its time undecided: exit code 3, or 1.")
]
Markdown = Annotated[Path | None, typer.Option(metavar="PATH|-", help="Write a pull-request comment.")]
Junit = Annotated[Path | None, typer.Option(metavar="PATH|-", help="Write JUnit's XML.")]
Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="PATH|-", help="Write everything, raw slices included; dlhw report shows it."),
]
Github = Annotated[
    bool,
    typer.Option("--github", help="Print annotations, and add to the job's summary, as GitHub Actions reads them."),
]


def gate(
    head: Head = None, base: Base = None, base_python: BasePython = None, head_python: HeadPython = None,
    baseline: Baseline = None, suite: Suite = "gate", axis: Axis = None, pairs: Pairs = None,
    budget: Budget = None, detect: Detect = None, tolerance: Tolerance = None, inject: Inject = None,
    journal: Journal = Path("dlhw-gate.journal.jsonl"), resume: Resume = False, seed: Seed = None,
    go_on: GoOn = False, strict: Strict = False, work: Work = OnMoreWork.TELL,
    markdown: Markdown = None, junit: Junit = None, json_path: Json = None, github: Github = False,
) -> NoReturn:  # fmt: skip
    """Is head slower than base? For CI: decided cautiously, with its minimum detectable slowdown (MDE).

    Live, with --base or --base-python: both sides are measured now, by turns, in pairs of fresh processes. Stored, with
    --baseline: two results of three launches a case or more (--launches 5), of one machine; weaker.

    Exit code: 0 pass, 1 regressed or missing (of what is certain, such as memory, also where times are invalid),
    2 a mistake of the command line, 3 inconclusive (with --strict) or more work (1 with --work fail), 4 incomparable
    or no baseline, 5 nothing compared, 6 invalid times: measure again, 130 interrupted.
    """
    from reports.gate.verdicts import no_base

    try:
        if _way(head, base, base_python, baseline) == "baseline":
            assert head is not None
            assert baseline is not None
            found = _stored(head, baseline, tolerance)
        else:
            options = _options(suite, axis, pairs, budget, detect, tolerance, inject, journal, resume, seed, go_on)
            found = _live(options, base, base_python, head_python)
    except NoBaseError as error:
        _message(str(error))
        found = no_base(str(error), str(base or base_python or baseline))
    except KeyboardInterrupt as error:
        print(f"\ndlhw: interrupted; what was measured is in {journal}: go on with --resume", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from error
    found = replace(found, fail_on_work=work is OnMoreWork.FAIL)
    _report(found, strict=strict, markdown=markdown, junit=junit, json_path=json_path, github=github)
    raise typer.Exit(found.exit_code(strict=strict))


def _way(head: Path | None, base: str | None, base_python: str | None, baseline: Path | None) -> str:
    """Which of the three was asked for."""
    asked = {"--base": base, "--base-python": base_python, "--baseline": baseline}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        said = f"{' and '.join(given)} exclude one another" if given else "what is head to be held against?"
        raise DlhwError(f"{said} --base REF, --base-python PATH, or HEAD.json --baseline BASE.json")
    if (head is not None) != (baseline is not None):
        raise DlhwError("HEAD.json goes with --baseline BASE.json, and with nothing else")
    return given[0].removeprefix("--")


def _stored(head: Path, baseline: Path, tolerance: str | None) -> "Gate":
    from reports.gate import stored
    from reports.gate.verdicts import TOLERANCE
    from suites import quantities

    stored.require_baseline(baseline)
    share = TOLERANCE if tolerance is None else quantities.share(tolerance, "--tolerance")
    return stored.judged(baseline, head, share)


def _options(
    suite: str, axis: list[str] | None, pairs: int | None, budget: str | None, detect: str | None,
    tolerance: str | None, inject: list[str] | None, journal: Path, resume: bool, seed: int | None,
    go_on: bool,
) -> "GateOptions":  # fmt: skip
    from reports.gate import live
    from suites import quantities

    given = {"--pairs": pairs, "--budget": budget, "--detect": detect}
    if len(chosen := [name for name, value in given.items() if value is not None]) > 1:
        raise DlhwError(f"{' and '.join(chosen)}: each says how many pairs; choose one")
    slowed = {}
    for text in inject or ():
        pattern, equals, amount = text.rpartition("=")
        if not equals:
            raise DlhwError(f"--inject {text}: expected PATTERN=SHARE, as in 'lenet-*=5%'")
        slowed[pattern] = quantities.share(amount, f"--inject {pattern}=")
    return live.GateOptions(
        suite=suite, axes=tuple(axis or ()), pairs=pairs, inject=slowed, journal=journal, resume=resume, seed=seed,
        go_on=go_on,
        budget_seconds=None if budget is None else quantities.seconds(budget, "--budget"),
        detect=None if detect is None else quantities.share(detect, "--detect"),
        tolerance=None if tolerance is None else quantities.share(tolerance, "--tolerance"),
    )  # fmt: skip


def _live(options: "GateOptions", base: str | None, base_python: str | None, head_python: str | None) -> "Gate":
    from bench.controller import variables
    from bench.gate import sides
    from reports.gate import live

    with tempfile.TemporaryDirectory(prefix="dlhw-gate-", ignore_cleanup_errors=True) as scratch:
        if base is not None:
            python = head_python or sys.executable
            own = [options.journal, Path(f"{options.journal}.old")]
            both = sides.of_commits(Path.cwd(), base, Path(scratch), python, own)
        else:
            both = sides.of_interpreters(str(base_python), head_python or sys.executable, Path.cwd(), Path(scratch))
        for side in both:
            for line in (f"{side.name}: {side.label}", *side.lacks):
                _message(line)
        for note in variables.notes(os.environ):
            _message(note)
        return live.run(options, both, _message, _progress)


def _message(text: str) -> None:
    print(f"{CLEAR if _rewrites() else ''}dlhw: {text}", file=sys.stderr, flush=True)


def _progress(text: str) -> None:
    """What happens just now: on a terminal alone, in a line that the next one takes the place of."""
    if _rewrites():
        print(f"{CLEAR}dlhw: {text}"[: shutil.get_terminal_size().columns + len(CLEAR) - 1], end="", file=sys.stderr)
        sys.stderr.flush()


def _rewrites() -> bool:
    return sys.stderr.isatty() and streams.can_rewrite()


CLEAR = "\r\x1b[K"
"""To the line's beginning, and away with what stands in it (ECMA-48, EL)."""


def _report(
    found: "Gate", *, strict: bool, markdown: Path | None, junit: Path | None, json_path: Path | None, github: bool
) -> None:
    """Write what was asked for; the table where standard output is free; the verdict last, on standard error."""
    from reports.gate import report
    from reports.results import export

    comment = report.markdown(found, strict=strict)
    for target, content in (
        (markdown, comment), (junit, report.junit(found)),
        (json_path, json.dumps(report.document(found, strict=strict), indent=1) + "\n"),
    ):  # fmt: skip
        if target is not None:
            export.write_text(content, target)
    if github:
        print("\n".join(report.github(found)))
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(comment)
    if "-" not in map(str, (markdown, junit, json_path)):
        export.show(report.text(found))
    for line in report.messages(found, strict=strict):
        _message(line)
