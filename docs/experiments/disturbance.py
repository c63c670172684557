"""How often a launch is called disturbed: on a quiet machine, and beside a process that keeps a core busy.

    python docs/experiments/disturbance.py [--repeats 30]

Repeats of a few small cases, forked as a sweep within a budget forks them; quiet and busy by turns, so that a machine
whose mood changes is no excuse. A row a case: shares flagged, and reasons. Wanted: quiet below 5 %, busy above 90 %.
Nothing else may run on the machine meanwhile. Figures: docs/budget.md.
"""

import argparse
import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.controller.combine import combine
from bench.controller.launcher import Launcher
from bench.controller.process import Worker
from bench.records.record import Record, Status
from suites.case import Budget, Case

IDS = (
    "lenet-inference-b64-fp32-contiguous-eager-cpu-t{threads}",
    "lenet-training-b64-fp32-contiguous-eager-cpu-t{threads}",
    "googlenet-inference-b1-fp32-contiguous-eager-cpu-t{threads}",
    "resnet18-inference-b4-fp32-contiguous-eager-cpu-t{threads}",
    "resnet18-training-b1-fp32-contiguous-eager-cpu-t{threads}",
)
BUDGET = Budget(precision=0.05).short()
SIDES = ("quiet", "busy")


@dataclass
class Tally:
    """What repeats of one case beside one neighbour came to."""

    launches: int = 0
    flagged: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Count a launch."""
        self.launches += 1
        self.flagged += bool(record.disturbed)
        self.reasons.update(" ".join(reason.split()[-3:]) for reason in record.disturbed)


@contextlib.contextmanager
def neighbour(side: str) -> Iterator[None]:
    """A process that keeps a core busy, where `side` wants one."""
    if side == "quiet":
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def measure(repeats: int) -> dict[tuple[str, str], Tally]:
    """Launches of all cases, quiet and busy by turns; (side, case id) -> tally."""
    found: dict[tuple[str, str], Tally] = {}
    with Worker() as worker:
        launcher = Launcher(worker, keep=True)
        cores = int(launcher.describe()["host"]["cores"])
        chosen = [Case.parse(text.format(threads=cores)) for text in IDS]
        for case in chosen:
            launcher.reference(case)
        for _ in range(repeats):
            for side in SIDES:
                with neighbour(side):
                    for case in chosen:
                        record, _ = launcher.launch(case, BUDGET, 0)
                        if record.outcome.status is Status.MEASURED:
                            found.setdefault((side, case.id), Tally()).add(combine([record], BUDGET, cores))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    found = measure(parser.parse_args().repeats)
    print("side\tcase\tlaunches\tflagged\tshare\treasons")
    for side in SIDES:
        tallies = {case_id: tally for (own, case_id), tally in found.items() if own == side}
        for case_id, tally in tallies.items():
            reasons = ", ".join(f"{count} {reason}" for reason, count in tally.reasons.most_common())
            print(
                f"{side}\t{case_id}\t{tally.launches}\t{tally.flagged}\t{tally.flagged / tally.launches:.1%}\t{reasons}"
            )
        launches, flagged = (
            sum(getattr(tally, name) for tally in tallies.values()) for name in ("launches", "flagged")
        )
        print(f"{side}\tall\t{launches}\t{flagged}\t{flagged / launches:.1%}")


if __name__ == "__main__":
    main()
