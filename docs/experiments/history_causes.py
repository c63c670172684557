"""How often a change's cause is right, of machines made of recorded noise: code, environment, machine, or all at once.

    python docs/experiments/history_causes.py [--machines 20] [--launches 3]

A machine is eight nets and five micro-benchmarks, measured for 200 nights; the noise is that of `history_rules.py`,
`shared`: what all cases of a night have in common, too. Something happens at run 180; the history is asked `--after`
runs later. Each night has a commit of its own, but where the scenario says that the code stayed. In bold what is right;
of micro-benchmarks, which run no code of a repository, that is the environment also where the commit is another.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from history_rules import CASES, RUNS, launches, nights, pairs

from reports.history.cause import explain
from reports.history.changes import Change, find
from reports.history.looking import RESULT_COLUMNS, History, Run

ANCHORS = 5
AT = 180
DAY = 86400.0
SCENARIOS = {  # name -> (one net, all nets, micro-benchmarks, new environment, code stays, right causes)
    "nothing": (0, 0, 0, False, False, set()),
    "spikes of 20 and 30 %": (0, 0, 0, False, False, set()),
    "all drift by 3 % in 100 runs": (0, 0, 0, False, False, {"machine"}),
    "code: one net +5 %": (0.05, 0, 0, False, False, {"code"}),
    "code: one net +10 %": (0.10, 0, 0, False, False, {"code"}),
    "code: all nets +5 %": (0, 0.05, 0, False, False, {"code"}),
    "environment: all +5 %, same commit": (0, 0.05, 0.05, True, True, {"environment"}),
    "machine: all +5 %": (0, 0.05, 0.05, False, False, {"machine"}),
    "environment and commit: all +5 %": (0, 0.05, 0.05, True, False, {"confounded", "environment"}),
    "environment and commit: one net +10 %": (0.10, 0, 0, True, False, {"confounded"}),
}  # fmt: skip


def history(name: str, count: int, after: int, rng: np.random.Generator) -> History:
    """A machine's, with what the scenario puts in."""
    one, every, anchors, environment, same, _ = SCENARIOS[name]
    nets = nights("pairs", CASES, count, rng)
    micro = pairs()[rng.integers(len(pairs()), size=(RUNS, count))].mean(axis=1).T[:ANCHORS]
    values = np.concatenate([nets, micro]) + rng.choice(launches()[1], size=RUNS)
    late = np.arange(RUNS) >= AT
    values[0] += np.log1p(one) * late
    values[:CASES] += np.log1p(every) * late
    values[CASES:] += np.log1p(anchors) * late
    if "spikes" in name:
        values[:, 100] += np.log1p(0.2)
        values[0, AT] += np.log1p(0.3)
    if "drift" in name:
        values += np.log1p(0.03) * np.clip((np.arange(RUNS) - 80) / 100, 0, 1)
    runs = tuple(
        Run(
            id=run + 1, at=run * DAY, measured=run * DAY, repository="nets", branch="main",
            commit=f"{AT if same and run >= AT - 1 else run:040x}", parents=None, dirty=False, suite="nightly",
            environment={"torch": "2.2" if environment and run >= AT else "2.1"}, note="",
        )
        for run in range(AT + after)
    )  # fmt: skip
    names = [f"net{case}" for case in range(CASES)] + [f"micro{anchor}" for anchor in range(ANCHORS)]
    rows = [
        (case, "seconds", run, 0.01 * float(np.exp(values[row, run])), 0.001, None, count, "")
        for row, case in enumerate(names) for run in range(AT + after)
    ]  # fmt: skip
    axes = {case: {"kind": "net" if case.startswith("net") else "micro"} for case in names}
    return History(1, "box", "main", runs, pd.DataFrame(rows, columns=list(RESULT_COLUMNS)), axes)


def told(own: History) -> list[tuple[Change, str]]:
    """Changes, and whose doing they are said to be."""
    changes = find(own)
    return [(change, str(explain(change, own, changes, Path("/")).cause)) for change in changes]


def meant(name: str, change: Change) -> bool:
    """Whether a change is what was put in: where, and of what."""
    one, every, anchors, *_ = SCENARIOS[name]
    if "drift" in name:
        return change.case is None and change.ratio > 1
    here = change.last < AT <= change.first and change.ratio > 1
    return here and (change.case == "net0" if one else bool(every) if change.kind == "net" else bool(anchors))


def main() -> None:
    """A table of scenarios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=20)
    parser.add_argument("--launches", type=int, default=3)
    parser.add_argument("--after", type=int, default=10)
    arguments = parser.parse_args()
    print("| what happened | machines where it was found | causes said of it | other findings |\n|---|---|---|---|")
    for name, (*_, right) in SCENARIOS.items():
        rng, found, causes, others = np.random.default_rng(3), 0, Counter[str](), Counter[str]()
        for _ in range(arguments.machines):
            every = told(history(name, arguments.launches, arguments.after, rng))
            hits = [cause for change, cause in every if meant(name, change)]
            found += bool(hits)
            causes.update(hits)
            others.update(cause for change, cause in every if not meant(name, change))
        shares = [
            f"{'**' * (cause in right)}{cause}{'**' * (cause in right)} {count}" for cause, count in causes.items()
        ]
        rest = [f"{cause} {count}" for cause, count in others.items()]
        said = f"{found}/{arguments.machines}" if right else "-"
        print(f"| {name} | {said} | {', '.join(shares) or '-'} | {', '.join(rest) or '-'} |", flush=True)


if __name__ == "__main__":
    main()
