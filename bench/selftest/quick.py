"""The quick run of `dlhw selftest`: as much of the suite `quick` as two minutes hold, of every net some."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from bench.records.record import Record
from bench.selftest import judge
from bench.selftest.judge import Check
from bench.sweep.sweep import Sweep
from suites import suite
from suites.cases import AnyCase

Begin = Callable[[str, str, float, float | None], None]
"""Is told (how far, what begins, about how many seconds it takes, and all that is left)."""
SUITE = "quick"
SECONDS = 120.0


def run(
    devices: Sequence[str], keep: Callable[[Record], None], begin: Begin, seconds: float = SECONDS
) -> Iterator[Check]:
    """A line a device; no case begins after `seconds`, but the first of each device.

    Args:
        keep: is given each record.
        begin: is told each case as it begins.

    Raises:
        DlhwError: the measuring process does not start.
    """
    sweep = Sweep(suite.load(SUITE, [f"device={','.join(devices)}"]), Path("unused"), resume=False)
    try:
        sweep.start()
        planned = spread(case for case, _ in sweep.cases.values() if not sweep.impossible(case.id))
        end = time.monotonic() + seconds
        met: set[str] = set()
        for number, case in enumerate(planned):
            if time.monotonic() >= end and case.device in met:
                continue
            left = max(0.0, end - time.monotonic())
            begin(f"[{number}/{len(planned)}]", case.id, sweep.expected_seconds(case.id), left)
            record, _ = sweep.measure(case.id)
            sweep.keep(record, "")
            keep(record)
            met.add(case.device)
    finally:
        sweep.close()
    for device in devices:
        of_device = [case.id for case in planned if case.device == device]
        records = [record for id_, record in sweep.records.items() if id_ in of_device]
        yield judge.quick(device, records, len(of_device))


def spread(cases: Iterable[AnyCase]) -> list[AnyCase]:
    """Of every net, mode and device one, then another of each: whenever time is up, all have had their turns."""
    groups: dict[tuple[str, str], list[AnyCase]] = {}
    for case in cases:
        groups.setdefault((case.group, case.device), []).append(case)
    rounds = itertools.zip_longest(*groups.values())
    return [case for each in rounds for case in each if case is not None]
