"""What can be measured: the suites, and the cases of one on this machine."""

import os
from collections.abc import Sequence

import pandas as pd

from suites import suite, units
from suites.axes import Machine, impossible
from suites.errors import DlhwError


def suites() -> tuple[pd.DataFrame, str]:
    """The suites that come with dlhw, with the number of their cases on the CPU alone, and a caption."""
    machine = Machine(devices=("cpu",), threads=os.cpu_count() or 1)
    rows = []
    for name in suite.named():
        chosen = suite.load(name)
        planned = chosen.cases(machine)
        seconds = sum(
            suite.seconds_of(case, budget) for case, budget in planned.items() if not impossible(case, machine)
        )
        seconds = min(seconds, chosen.content.budget_seconds or seconds)
        rows.append((name, len(planned), units.duration(seconds), chosen.description))
    table = pd.DataFrame(rows, columns=["suite", "cases", "at most about", "description"])
    return table, "on the CPU alone; every accelerator adds as many cases. dlhw suites NAME lists them."


def cases(name: str, overrides: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """The cases of a suite on this machine, why some are impossible, and a caption.

    Raises:
        DlhwError: there is no such suite, it has mistakes, or torch cannot be asked.
    """
    from bench.controller.launcher import Launcher
    from bench.controller.process import Worker
    from bench.sweep.sweep import machine_of

    chosen = suite.load(name, overrides)
    with Worker() as worker:
        environment = Launcher(worker).describe(chosen.architectures)
    if unknown := environment["unknown_architectures"]:
        raise DlhwError("\n".join(f"{chosen.path}: {reason}" for reason in unknown.values()))
    machine, broken = machine_of(environment), environment["broken_architectures"]
    planned = chosen.cases(machine)
    reasons = [impossible(case, machine) or broken.get(getattr(case, "architecture", "")) for case in planned]
    seconds = [
        None if reason else suite.seconds_of(case, budget)
        for (case, budget), reason in zip(planned.items(), reasons, strict=True)
    ]
    table = pd.DataFrame(
        {
            "case": [case.id for case in planned],
            "at most": [units.seconds(value) for value in seconds],
            "impossible here": [reason or "" for reason in reasons],
        }
    )
    total = sum(value for value in seconds if value is not None)
    possible = sum(reason is None for reason in reasons)
    return (
        table,
        f"{units.count(len(planned), 'case')}, {possible} possible here, at most about {units.duration(total)}",
    )
