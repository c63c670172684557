"""The options: what to measure, and for how long; pytest-benchmark's that mean the same as ours."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from suites import quantities, suite
from suites.case import Budget
from suites.errors import DlhwError
from suites.suite import Suite


def _share(text: str) -> float:
    """`1%` or `0.01`."""
    return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)


BUDGET_OPTIONS: dict[str, tuple[str, Callable[[str], float], str]] = {
    "--launches": (
        "launches", int,
        "measure every case in this many fresh processes; the interval is then between them, as it should be",
    ),
    "--precision": (
        "precision", _share,
        "wanted half width of the median's 95%% interval, as 1%% or 0.01; also taken from --benchmark-precision",
    ),
    "--max-time": (
        "max_seconds", float,
        "sample a launch of a case for no longer than this; also taken from --benchmark-max-time",
    ),
    "--min-samples": ("min_samples", int, "never fewer samples; also taken from --benchmark-min-rounds"),
}  # fmt: skip
"""Option -> field of every case's budget, how its value is read, and help; without the option the suite decides."""
SAME_IN_PYTEST_BENCHMARK = {
    "benchmark_precision": ("precision", "None"),
    "benchmark_max_time": ("max_seconds", "1.0"),
    "benchmark_min_rounds": ("min_samples", "5"),
}
"""pytest-benchmark's options that mean the same -> field of the budget, and the value that means not given."""
COUNTS = frozenset({"launches", "min_samples"})


def add(group: pytest.OptionGroup) -> None:
    """Add our own to `group`."""
    _add_what(group)
    _add_where(group)
    _add_how(group)


def _add_what(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--suite",
        metavar="NAME|FILE.toml",
        default="quick",
        help=f"one of {', '.join(suite.named())}, or a file; default: quick",
    )
    group.addoption(
        "--axis",
        metavar="AXIS=V,V,...",
        action="append",
        default=[],
        help="redefine an axis of the suite, as in --axis batch_size=1,8,64; may be repeated",
    )
    group.addoption(
        "--cases",
        metavar="FILE",
        type=Path,
        help="of the suite only the cases whose ids stand in this file, one a line",
    )
    group.addoption(
        "--plan",
        metavar="PATH",
        type=Path,
        help="measure nothing; write as JSON what machine this is, and what would be measured",
    )


def _add_where(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--journal",
        metavar="PATH",
        type=Path,
        help="where each finished case is kept at once; default: beside the --benchmark-json file",
    )
    group.addoption(
        "--resume",
        action="store_true",
        help="take over the cases that the journal holds for this machine, torch and suite; "
        "measure the rest, and those that crashed or failed",
    )
    group.addoption(
        "--data-root",
        metavar="FOLDER",
        type=Path,
        help="where data sets lie, as torchvision keeps them, for the operation loader; without it, made-up images",
    )
    group.addoption(
        "--store",
        metavar="FILE|URL",
        help="when all is measured, put the run into this store, as dlhw history add does: a SQLite file, or "
        "postgresql://USER@HOST/NAME",
    )


def _add_how(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--instructions",
        action="store_true",
        help="where the processor's counter cannot be read, count the instructions of a step by valgrind's callgrind: "
        "eager cases of the CPU, about a minute each",
    )
    group.addoption(
        "--budget",
        metavar="TIME",
        type=_time,
        help="for the whole run, as 10m: a short look at every case, then fresh launches where an interval is widest "
        "for what it costs; none: every case to its precision; default: the suite's own",
    )
    for option, (field, parse, text) in BUDGET_OPTIONS.items():
        metavar = "N" if parse is int else "SECONDS" if field.endswith("_seconds") else "SHARE"
        group.addoption(option, metavar=metavar, type=_value(field, parse), help=text)


def _time(text: str) -> float:
    """Seconds of `10m`; endless for `none`."""
    try:
        seconds = math.inf if text == "none" else quantities.seconds(text, "--budget")
    except DlhwError as error:
        raise argparse.ArgumentTypeError(f"{error}; or none") from error
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text}: a budget is longer than nothing")
    return seconds


def budget_seconds(config: pytest.Config, chosen: Suite) -> float | None:
    """The time of the whole run, by the command line or else the suite; None: as long as it takes.

    A suite's own is for all of its cases: it says nothing of those that `--cases` chooses, or of a plan.
    """
    given = config.getoption("budget")
    if given is None:
        return None if config.getoption("cases") or config.getoption("plan") else chosen.content.budget_seconds
    return None if math.isinf(given) else float(given)


def _value(field: str, parse: Callable[[str], float]) -> Callable[[str], float]:
    """A parser of an option's value whose error is pydantic's, about that field."""

    def value(text: str) -> float:
        try:
            return float(getattr(Budget.model_validate({field: parse(text)}), field))
        except ValidationError as error:
            wanted = error.errors()[0]["msg"].replace("Input should", "should")
            raise argparse.ArgumentTypeError(f"{text} {wanted}") from error
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from error

    return value


def budget_changes(config: pytest.Config) -> dict[str, Any]:
    """What the command line says of every case's budget; our own options go before pytest-benchmark's."""
    changes: dict[str, Any] = {}
    for name, (field, default) in SAME_IN_PYTEST_BENCHMARK.items():
        given = config.getoption(name)
        if str(given) != default:
            changes[field] = float(given)
    for option, (field, *_) in BUDGET_OPTIONS.items():
        given = config.getoption(option)
        if given is not None:
            changes[field] = given
    return {field: int(value) if field in COUNTS else value for field, value in changes.items()}


def chosen_cases(config: pytest.Config) -> frozenset[str] | None:
    """The ids that `--cases` names; None where it is not given.

    Raises:
        DlhwError: the file cannot be read.
    """
    path: Path | None = config.getoption("cases")
    if path is None:
        return None
    try:
        return frozenset(filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())))
    except (OSError, UnicodeDecodeError) as error:
        raise DlhwError(f"--cases {path}: {getattr(error, 'strerror', None) or 'this is no text'}") from error
