"""The report of `dlhw doctor`, for people, for pipes and for scripts."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from bench.doctor.diagnostics import EXIT_CODES, Diagnostic, Verdict
from bench.records.record import plain
from suites import units

MARKS = {
    Verdict.GOOD: ("ok     ", "green"),
    Verdict.FACT: ("       ", ""),
    Verdict.WARNING: ("warning", "yellow"),
    Verdict.BAD: ("BAD    ", "bold red"),
}
SUMMARIES = {
    0: "good: the numbers of this machine can be trusted as far as their intervals say",
    1: "usable, with warnings",
    2: "not usable until what is BAD is mended",
}


def run(*, as_json: bool) -> int:
    """Examine this machine and print what is found; the exit code: 0 good, 1 usable with warnings, 2 not usable."""
    from bench.doctor.examine import examine

    found: list[Diagnostic] = []
    errors = Console(stderr=True)
    with errors.status("") as status:

        def begin(step: str, seconds: float) -> None:
            text = f"{step} (about {units.duration(seconds)})"
            if errors.is_terminal and not errors.is_dumb_terminal:
                status.update(text)
            else:
                print(f"dlhw: {text}", file=sys.stderr)

        for finding in examine(begin):
            found.append(finding)
            if not as_json:
                _print(finding)
    code = max(EXIT_CODES[finding.verdict] for finding in found)
    if as_json:
        print(json.dumps(document(found, code), indent=2))
    else:
        print(SUMMARIES[code])
    return code


def paragraphs(lines: Iterable[tuple[str, str]]) -> None:
    """Subject and text: for people on a terminal, tab-separated for a pipe."""
    console = Console(highlight=False)
    for subject, text in lines:
        if console.is_terminal:
            console.print(Text(f"{subject}: ", "bold") + Text(text))
        else:
            print(subject, text, sep="\t")


def document(found: Sequence[Diagnostic], code: int) -> dict[str, object]:
    """The report for scripts."""
    findings = [plain(asdict(finding)) for finding in found]
    return {"exit_code": code, "summary": SUMMARIES[code], "findings": findings}


def _print(finding: Diagnostic) -> None:
    if not sys.stdout.isatty():
        print(finding.name, finding.verdict, finding.value, finding.advice, sep="\t", flush=True)
        return
    word, style = MARKS[finding.verdict]
    console = Console(highlight=False)
    console.print(Text(word, style), Text(f"{finding.name}:", "bold"), Text(finding.value))
    if finding.advice:
        console.print(Text(f"        {finding.advice}", "dim"))
