"""In which order cases are measured where no budget decides it."""

from collections.abc import Iterable

from suites.case import Case
from suites.cases import AnyCase


def spread(cases: Iterable[AnyCase]) -> list[AnyCase]:
    """Each net's cases, on each device, in each mode and precision, spread evenly over the run.

    Among themselves they stay in their order. A loud minute is then no single net's; and what the rest will take is
    known early, for it has been seen of each. Micro-benchmarks are spread by their device and operation.
    """
    groups: dict[tuple[str, ...], list[AnyCase]] = {}
    for case in cases:
        groups.setdefault(_group(case), []).append(case)
    placed = [
        ((number + 0.5) / len(members), case) for members in groups.values() for number, case in enumerate(members)
    ]
    return [case for _, case in sorted(placed, key=lambda each: each[0])]


def _group(case: AnyCase) -> tuple[str, ...]:
    if isinstance(case, Case):
        return case.device, case.architecture, case.mode, case.precision
    return case.device, case.operation
