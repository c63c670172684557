"""What a person sees while a sweep runs: a line a case as it ends, on a terminal the case in hand, a summary."""

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bench.controller import variables
from bench.machine import ceilings
from bench.records.record import Record, Status, fingerprint
from bench.records.sentences import findings
from bench.sweep import command, ending, progress, streams
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
    return [
        f"dlhw: {progress.machine(sweep.environment)}",
        *(f"dlhw: {note}" for note in variables.notes(os.environ)),
        f"dlhw: suite {sweep.suite.name}, {units.count(len(case_ids), 'case')}, {impossible} of them impossible here"
        + (f", {taken} taken over from {sweep.journal_path}" if taken else ""),
        f"dlhw: {_promise(sweep)}",
    ]


def _promise(sweep: Sweep) -> str:
    if sweep.budget_seconds is None:
        return f"about {units.duration(sweep.remaining_seconds())}; corrected as the machine shows what it takes"
    budget = units.duration(sweep.budget_seconds)
    return f"at most {budget} (--budget): a look at every case, then where an interval is widest for what it costs"


def quieten(config: pytest.Config) -> None:
    """pytest-benchmark's tables only where they are asked for: a run ends with one screen."""
    options = ("columns", "sort", "group-by", "verbose", "compare", "histogram")
    asked = tuple(f"--benchmark-{option}" for option in options)
    words = [str(word) for word in config.invocation_params.args]
    if config.option.verbose <= 0 and not any(word.startswith(asked) for word in words):
        config.option.benchmark_quiet = True
    if not config.getoption("benchmark_columns"):
        config.option.benchmark_columns = ["median", "iqr", "rounds"]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    shown = item.config.stash.get(PROGRESS, None) if is_case(item) else None
    if shown is None:
        return (yield)
    sweep, case_id = item.config.stash[SWEEP], case_id_of(item)
    reporter = item.config.pluginmanager.get_plugin("terminalreporter")
    told = reporter is not None and not sweep.told(case_id)
    if reporter and told and reporter.isatty:
        reporter.rewrite(f"{shown.done} measuring {case_id}  {progress.eta(shown)}", erase=True)
    result = yield
    record = item.stash.get(RECORD, None)
    shown.see(case_id)
    if reporter and told and record is not None:
        _show(reporter, record, shown)
    return result


def _show(reporter: Any, record: Record, shown: progress.Progress) -> None:
    if reporter.isatty:
        reporter.rewrite("", erase=True)
    else:
        reporter.ensure_newline()
    good = record.outcome.status is Status.MEASURED
    colour = {"ok": {"green": True}, "skipped": {}, progress.WIDE: {}, progress.NOISY: {"yellow": True}}
    reporter.write(f"{shown.done} {progress.line(record)}  ")
    reporter.write(progress.word(record), **colour.get(progress.word(record), {"red": True}))
    reporter.write_line(f"  {progress.eta(shown)}" if good else "")


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
    for text in _screen(config, sweep, measured):
        write(text)
    if not measured:
        write("NOTHING WAS MEASURED: every case was skipped or failed; the reasons are above", red=True)
    if len(sweep.records) < len(config.stash[PROGRESS]):
        write(f"ended early; the rest: {_resume_command(config)}", yellow=True)
    elif sweep.unreached():
        write(f"what was not reached: {_resume_command(config)}", yellow=True)


def _screen(config: pytest.Config, sweep: Sweep, measured: Sequence[Record]) -> Iterator[str]:
    """Best settings, findings, how sure they are, what is missing, where the files are."""
    kept = _keep_ceilings(sweep, measured)
    yield from ending.best_settings(measured, _known_ceilings(sweep, measured))
    for finding in findings(measured, sweep.environment["host"]):
        yield f"{finding.subject}: {finding.text}"
    yield from ending.spread(measured)
    yield from ending.mapping(measured)
    yield from ending.not_measured(sweep.records.values())
    yield f"journal: {sweep.journal_path}"
    path = config.getoption("benchmark_json", None)
    if path:
        yield f"results: {path}    next: dlhw table {path}"
    else:
        yield f"no --benchmark-json was given; to have one: dlhw recover {sweep.journal_path} -o results.json"
    yield from kept


def _known_ceilings(sweep: Sweep, measured: Sequence[Record]) -> ceilings.Ceilings:
    found = ceilings.measured(measured)
    try:
        return ceilings.kept(fingerprint(sweep.environment)).merged(found)
    except DlhwError:  # which `_keep_ceilings` has told
        return found


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
