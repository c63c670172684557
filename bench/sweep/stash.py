"""What the parts of the plugin share: where they keep a run's sweep, and which items are its cases."""

from collections.abc import Sequence

import pytest

from bench.records.record import Record
from bench.sweep.progress import Progress
from bench.sweep.sweep import Sweep
from suites.errors import DlhwError

SWEEP = pytest.StashKey[Sweep]()
PROGRESS = pytest.StashKey[Progress]()
RECORD = pytest.StashKey[Record]()


def start(sweep: Sweep) -> None:
    """Start the measuring process and plan; a mistake that a person can mend ends pytest with one line."""
    try:
        sweep.start()
    except DlhwError as error:
        raise pytest.UsageError(str(error)) from error


def disabled(config: pytest.Config) -> bool:
    """Whether --benchmark-disable was given, or stands for xdist: each case runs once, nothing is measured."""
    return bool(config._benchmarksession.disabled)  # type: ignore[attr-defined]


def is_case(item: pytest.Item) -> bool:
    """Whether a test stands for a case of the suite."""
    return item.get_closest_marker("sweep") is not None


def case_id_of(item: pytest.Item) -> str:
    """Of the case that `item` stands for; empty for the test that an empty parametrisation leaves."""
    value = item.callspec.params.get("case") if hasattr(item, "callspec") else None
    return value if isinstance(value, str) else ""


def planned(items: Sequence[pytest.Item]) -> list[str]:
    """Ids of the cases that the tests chosen by the command line stand for, in their order."""
    return [case_id for item in items if is_case(item) and (case_id := case_id_of(item))]
