"""Launches that are made before the tests: all within a budget; of cases with several, all but the last."""

import time
from typing import Any

import pytest

from bench.records.record import Record, Status
from bench.sweep import progress
from bench.sweep.progress import Progress
from bench.sweep.sweep import Sweep

STATUS_SECONDS = 10.0
"""Between two lines on how far the launches are, where lines cannot be written over."""


def launches(config: pytest.Config, sweep: Sweep, shown: Progress) -> None:
    """Make them, and tell of each.

    Raises:
        DlhwError: the journal cannot be written.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if sweep.budget_seconds is None:
        _rounds(sweep, shown, reporter)
    else:
        _within_budget(sweep, shown, reporter, verbose=config.option.verbose > 0)


def _rounds(sweep: Sweep, shown: Progress, reporter: Any) -> None:
    for case_id in sweep.rounds(shown.planned):
        record = _launch(sweep, shown, reporter, case_id)
        number, most = sweep.launches_of(case_id)
        _write(reporter, f"launch {number} of {most}  {progress.brief(record)}  {progress.eta(shown)}")


def _within_budget(sweep: Sweep, shown: Progress, reporter: Any, *, verbose: bool) -> None:
    """A line for the first launch of each case; of the others, how far they are now and then."""
    told = time.monotonic()
    while (case_id := sweep.next_launch()) is not None:
        record = _launch(sweep, shown, reporter, case_id)
        number, _ = sweep.launches_of(case_id)
        if number == 1 or record.outcome.status is not Status.MEASURED:
            shown.see(case_id)
            _write(reporter, f"{shown.done} {progress.line(record)}  {progress.word(record)}  {progress.eta(shown)}")
        elif verbose:
            _write(reporter, f"launch {number}  {progress.brief(record)}  {progress.eta(shown)}")
        elif time.monotonic() - told > STATUS_SECONDS:
            told = time.monotonic()
            _write(reporter, f"{sweep.standing}  {progress.eta(shown)}")


def _launch(sweep: Sweep, shown: Progress, reporter: Any, case_id: str) -> Record:
    if reporter and reporter.isatty:
        reporter.rewrite(f"launching {case_id}  {progress.eta(shown)}", erase=True)
    record = sweep.launch(case_id)
    if reporter and reporter.isatty:
        reporter.rewrite("", erase=True)
    return record


def _write(reporter: Any, text: str) -> None:
    if reporter:
        reporter.write_line(text)
