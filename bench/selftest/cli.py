"""The command `dlhw selftest`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from bench.selftest.judge import Check

FILE = Path("dlhw-selftest.json")
INTERRUPTED = 130


def selftest(
    device: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="cpu, cuda:0, cuda, all; may be repeated. Default: all.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The file to send.")] = FILE,
    quick: Annotated[bool, typer.Option(help="End with two minutes of the suite quick.")] = True,
) -> NoReturn:
    """Check on each device that every way of measuring works: pass, fail or not here, a line a check.

    Times against torch's own instruments, precisions by their errors, memory, out of memory, channels_last,
    torch.compile, CUDA graphs, energy. FILE holds all figures, and is written after every check. Nothing else should
    run meanwhile. Exit code: 0 nothing failed, 1 something did.
    """
    from bench.selftest.flow import checks
    from bench.selftest.judge import Verdict
    from bench.selftest.report import Report

    report, show = Report(output), _printer()
    try:
        for found in checks(report, device or (), _begin, quickly=quick):
            show(found)
        report.end("complete")
    except KeyboardInterrupt:
        report.end("interrupted")
        print(f"dlhw: interrupted; what was found until now is in {output}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    print(", ".join(f"{count} {verdict}" for verdict, count in report.counts.items()))
    print(f"dlhw: the file to send: {output}", file=sys.stderr)
    raise typer.Exit(1 if report.counts[Verdict.FAIL] else 0)


def _begin(done: str, step: str, seconds: float, left_seconds: float | None) -> None:
    from suites import units

    rest = "" if left_seconds is None else f"; all in about {units.duration(left_seconds)}"
    print(f"dlhw: {done} {step} (about {units.duration(seconds)}{rest})".replace("  ", " "), file=sys.stderr)


def _printer() -> Callable[["Check"], None]:
    """On a terminal coloured, for a pipe tab-separated: verdict, device, check, text."""
    if not sys.stdout.isatty():
        return lambda found: print(found.verdict, found.device, found.name, found.text, sep="\t", flush=True)
    from rich.console import Console
    from rich.text import Text

    styles = {"pass": "green", "fail": "bold red", "not here": "yellow"}
    console = Console(highlight=False)
    return lambda found: console.print(
        Text(f"{found.verdict:8}", styles[found.verdict]), Text(f"{found.device} {found.name}:".strip(), "bold"),
        Text(found.text),
    )  # fmt: skip
