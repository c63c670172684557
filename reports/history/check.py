"""The nightly question: what has changed that nobody has judged yet?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.history import findings, looking
from reports.history.cause import explain
from reports.history.changes import FEWEST_RUNS, find
from reports.history.findings import Finding, State
from reports.history.store import Store

REGRESSED, NOTHING_COMPARED = 1, 5


@dataclass(frozen=True)
class Checked:
    """What the store holds now.

    Attributes:
        findings: all of the machines that were looked at, the latest first.
        series: of how many there were runs enough.
        short: how many have too few.
    """

    findings: tuple[Finding, ...]
    series: int
    short: int

    @property
    def open(self) -> list[Finding]:
        """Those for the worse that nobody has judged."""
        return [each for each in self.findings if each.state is State.OPEN and each.worse]

    @property
    def exit_code(self) -> int:
        """As the gate's: 0 nothing, 1 something became worse, 5 nothing could be compared."""
        if self.open:
            return REGRESSED
        return 0 if self.series else NOTHING_COMPARED


def check(
    store: Store,
    *,
    machine: str | None,
    branch: str | None,
    nets: Sequence[str],
    alarms: float,
    folder: Path,
    now: float,
) -> Checked:
    """Look for changes in the series of the machines, and keep what is found.

    Args:
        alarms: false ones a year that are put up with, of each machine and metric.
        folder: in whose repository commits are looked up.
        now: seconds since 1970.

    Raises:
        StoreError: the database fails.
    """
    enough = short = 0
    with store.reading() as connection:
        names = dict(looking.machine_ids(connection, machine))
        histories = [looking.history(connection, own, branch=branch, nets=nets) for own in names.items()]
    found = []
    for history in histories:
        changes = find(history, alarms)
        found.append([(change, explain(change, history, changes, folder)) for change in changes])
        counts = history.results.groupby(["case", "metric"]).size()
        enough += int((counts >= FEWEST_RUNS).sum())
        short += int((counts < FEWEST_RUNS).sum())
    with store.writing() as connection:
        for history, own in zip(histories, found, strict=True):
            findings.keep(connection, history, own, now, whole=not nets)
        kept = findings.all_of(connection, names)
    chosen = [each for each in kept if not nets or each.case is None or looking.fits(each.case, {}, nets)]
    return Checked(tuple(chosen), enough, short)
