"""Where a budget does not hold a look at every case: which ones tell most of those that it will not reach."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.controller import work
from bench.controller.process import Worker
from bench.records.record import Record
from suites.case import Case
from suites.cases import AnyCase

if TYPE_CHECKING:
    from bench.prediction.choose import Design
    from bench.prediction.facts import StepWork


class Telling:
    """The work of all nets, counted before any is measured, and what it says of the order.

    Attributes:
        counts: of two batch sizes of each net and mode; or why they could not be counted.
    """

    def __init__(self, worker: Worker, cases: Iterable[AnyCase], measured: Iterable[str]) -> None:
        nets = [case for case in cases if isinstance(case, Case)]
        self.counts = counted(worker, nets, ())
        self._design = _design(nets, self.counts)
        for case_id in measured:
            self._design.add(case_id)

    def best(self, looks: Mapping[str, float]) -> str | None:
        """Of cases that may be looked at, each with its seconds; None where their work is not known."""
        return self._design.best(looks)

    def measured(self, case_id: str) -> None:
        """It has a number now."""
        self._design.add(case_id)


def counted(worker: Worker, cases: Sequence[Case], records: Iterable[Record]) -> "dict[Case, StepWork | str]":
    """What has to be counted so that the work of all `cases` is known, beside what `records` tell."""
    from bench.prediction.facts import KnownWork, told, uncounted  # numpy: not where a sweep is only planned

    wanted = uncounted(cases, KnownWork(records))
    found = work.counts(worker, wanted)
    return {case: told(found[case.id]) for case in wanted}


def _design(cases: Sequence[Case], counts: "Mapping[Case, StepWork | str]") -> "Design":
    from bench.prediction.choose import Design
    from bench.prediction.facts import Facts, KnownWork

    known = KnownWork((), counts)
    return Design([Facts(case, done) for case in cases if (done := known.of(case)) is not None])
