"""What a person sees while a sweep runs: a line a case as it ends, on a terminal the case in hand, a summary."""

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bench.controller import variables
from bench.machine import ceilings
from bench.records.findings import findings
from bench.records.record import Record, Status, fingerprint
from bench.sweep import command, progress, streams
from bench.sweep.stash import PROGRESS, RECORD, SWEEP, case_id_of, disabled, is_case, planned
from bench.sweep.sweep import Sweep
from suites import units
from suites.errors import DlhwError


def pytest_sessionstart(session: pytest.Session) -> None:
    """pytest and we rewrite lines where there is a terminal: on one that cannot, nobody does."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not streams.can_rewrite():
        reporter.isatty = type(reporter.isatty)(False)  # a bool, or one that can be called, by pytest's version


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    sweep = config.stash.get(SWEEP, None)
    case_ids = planned(items)
    if sweep is None or not case_ids:
        return []
    impossible = sum(bool(sweep.impossible(case_id)) for case_id in case_ids)
    taken = sum(case_id in sweep.reused for case_id in case_ids)
    seconds = sum(sweep.expected_seconds(case_id) for case_id in case_ids)
    return [
        f"dlhw: {progress.machine(sweep.environment)}",
        *(f"dlhw: {note}" for note in variables.notes(os.environ)),
        f"dlhw: suite {sweep.suite.name}, {len(case_ids)} cases, {impossible} of them impossible here"
        + (f", {taken} taken over from {sweep.journal_path}" if taken else ""),
        f"dlhw: at most about {units.duration(seconds)} (longer where a step takes seconds)",
    ]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    shown = item.config.stash.get(PROGRESS, None) if is_case(item) else None
    if shown is None:
        return (yield)
    reporter = item.config.pluginmanager.get_plugin("terminalreporter")
    shown.begin()
    if reporter and reporter.isatty:
        reporter.rewrite(f"{shown.done} measuring {case_id_of(item)}  {eta(shown)}", erase=True)
    result = yield
    record = item.stash.get(RECORD, None)
    shown.end(case_id_of(item))
    if reporter and record is not None:
        _show(reporter, record, shown)
    return result


def _show(reporter: Any, record: Record, shown: progress.Progress) -> None:
    if reporter.isatty:
        reporter.rewrite("", erase=True)
    else:
        reporter.ensure_newline()
    good = record.outcome.status is Status.MEASURED
    colour = {"ok": {"green": True}, "skipped": {}, progress.NOISY: {"yellow": True}}
    reporter.write(f"{shown.done} {progress.line(record)}  ")
    reporter.write(progress.word(record), **colour.get(progress.word(record), {"red": True}))
    reporter.write_line(f"  {eta(shown)}" if good else "")


def eta(shown: progress.Progress) -> str:
    """`ETA 3 min 5 s`; empty before the first case has ended."""
    return "" if shown.eta_seconds is None else f"ETA {units.duration(shown.eta_seconds)}"


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: Any, config: pytest.Config) -> tuple[str, str, str] | None:
    """Our own line says it all; pytest's dots would stand in its way."""
    if PROGRESS not in config.stash or "[" not in report.nodeid or "sweep" not in report.keywords:
        return None
    if report.when == "call" or report.skipped or report.failed:
        return report.outcome, "", report.outcome.upper()
    return "", "", ""


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    sweep = config.stash.get(SWEEP, None)
    if sweep is None or PROGRESS not in config.stash:
        return
    write = terminalreporter.write_line
    terminalreporter.section("dlhw")
    measured = [record for record in sweep.records.values() if record.outcome.status is Status.MEASURED]
    write(f"{progress.tally(sweep.records.values())} of {len(config.stash[PROGRESS])} planned")
    if disabled(config):
        write("NOTHING WAS MEASURED, and no JSON was written: --benchmark-disable runs each case once", red=True)
        return
    for finding in findings(measured, sweep.environment["host"]):
        write(f"{finding.subject}: {finding.text}")
    if not measured:
        write("NOTHING WAS MEASURED: every case was skipped or failed; the reasons are above", red=True)
    write(f"journal: {sweep.journal_path}")
    results = config.getoption("benchmark_json", None)
    if results:
        write(f"results: {results}    next: dlhw table {results}")
    else:
        write(f"no --benchmark-json was given; to have one: dlhw recover {sweep.journal_path} -o results.json")
    for line in _keep_ceilings(sweep, measured):
        write(line)
    if len(sweep.records) < len(config.stash[PROGRESS]):
        write(f"ended early; the rest: {_resume_command(config)}", yellow=True)


def _keep_ceilings(sweep: Sweep, measured: Sequence[Record]) -> list[str]:
    """What this machine does at best is kept for later runs; that it cannot be is no reason to fail."""
    found = ceilings.measured(measured)
    if not found.known:
        return []
    try:
        return [f"ceilings of this machine: {ceilings.keep(found, fingerprint(sweep.environment))}"]
    except DlhwError as error:
        return [f"the ceilings were not kept: {error}"]


def _resume_command(config: pytest.Config) -> str:
    name, arguments = command.typed(config.invocation_params.args, config.invocation_params.dir)
    return f"{name} {shlex.join([*(word for word in arguments if word != '--resume'), '--resume'])}"
