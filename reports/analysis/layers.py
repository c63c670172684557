"""`dlhw layers`: where the time of one case goes, layer by layer, and what bounds each."""

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.machine import ceilings
from bench.machine.bounds import Work, bounds, classify
from bench.machine.ceilings import Ceilings
from bench.records.record import fingerprint
from bench.records.summary import median_interval
from suites import suite, units
from suites.axes import Machine, impossible
from suites.case import Budget, Case
from suites.errors import DlhwError

DEFAULTS = {
    "mode": "inference", "batch_size": "8", "precision": "fp32", "memory_format": "contiguous", "compile_mode": "eager",
    "threads": "all",
}  # fmt: skip
BUDGET = Budget(min_seconds=1.0, max_seconds=3.0, time_limit_seconds=300.0)
AGREEMENT = 0.1
"""The layers' sum may differ from the whole by this share before the rest needs an explanation."""


def measure(net: str, axes: Sequence[str], suite_name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The layers of one case, and the facts about the whole.

    Args:
        net: a name of an architecture, or the id of a case.
        axes: `axis=value`, for what is not to be as `DEFAULTS` says.

    Raises:
        DlhwError: there is no such case, it is impossible here, or it could not be measured.
    """
    from bench.controller.launcher import Launcher
    from bench.controller.process import Worker
    from bench.sweep.sweep import machine_of

    with Worker() as worker:
        launcher = Launcher(worker)
        environment = launcher.describe()
        case = case_for(net, axes, suite_name, machine_of(environment))
        answer = launcher.layers(case, BUDGET)
    machine = fingerprint(environment)
    return table(case, answer, ceilings.kept(machine), machine)


def case_for(net: str, axes: Sequence[str], suite_name: str, machine: Machine) -> Case:
    """The one case that is meant.

    Raises:
        DlhwError: it is none, or several, or impossible on this machine.
    """
    if "-inference-" in net or "-training-" in net:
        planned = {case.id: case for case in suite.load(suite_name).cases(machine) if isinstance(case, Case)}
        case = planned[net] if net in planned else Case.parse(net)
    else:
        device = next((name for name in machine.devices if name != "cpu"), "cpu")
        given = {text.partition("=")[0]: text for text in axes}
        defaults = {**DEFAULTS, "device": device, "architecture": net}
        chosen = suite.load(suite_name, list({**{k: f"{k}={v}" for k, v in defaults.items()}, **given}.values()))
        cases = [found for found in chosen.cases(machine) if isinstance(found, Case)]
        if len(cases) != 1:
            raise DlhwError(f"{net}: layers looks at one case, and this is {len(cases)}: give one value to each --axis")
        case = cases[0]
    if reason := impossible(case, machine):
        raise DlhwError(f"{case.id}: {reason}")
    return case


def table(
    case: Case, answer: Mapping[str, Any], known: Ceilings, machine: str = ""
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A row for each layer and phase, then the sum, the rest and the whole; and the facts about the whole.

    Args:
        machine: its fingerprint, by which a page finds the machine's results.
    """
    rows = [_row(case, row, known) for row in answer["rows"]]
    whole = statistics.median(answer["whole_seconds"])
    total = math.fsum(row["seconds"] for row in rows)
    low, high = median_interval(answer["whole_seconds"]) or (None, None)
    shares = [part / total for part, total in zip(answer["sum_seconds"], answer["whole_seconds"], strict=True)]
    ends: list[dict[str, Any]] = [
        {"layer": "sum of operators", "seconds": total},
        {"layer": "rest", "seconds": whole - total},
        {"layer": "whole step", "seconds": whole},
    ]
    frame = pd.DataFrame(rows + ends, columns=list(COLUMNS)).assign(case=case.id, fingerprint=machine)
    frame["share"] = frame["seconds"] / whole
    return frame, {
        "case": case.id, "whole_seconds": whole, "whole_low_seconds": low, "whole_high_seconds": high,
        "operators": sum(len(row["operators"]) for row in answer["rows"]),
        "sum_seconds": total, "rest_seconds": whole - total, "steps": answer["steps"],
        "watched_seconds": statistics.median(answer["watched_seconds"]),
        "sum_share": statistics.median(shares), "sum_share_range": (min(shares), max(shares)), "rounds": len(shares),
    }  # fmt: skip


COLUMNS = (
    "layer", "kind", "phase", "seconds", "share", "flops", "flops_per_second", "bytes", "bound", "decided_by",
    "operators", "case", "fingerprint",
)  # fmt: skip


def _row(case: Case, row: Mapping[str, Any], known: Ceilings) -> dict[str, Any]:
    work = Work(
        seconds=row["seconds"], flops=row["flops"], by_size=row["by_size"], operators=len(row["operators"]),
        device=case.device, threads=case.threads, precision=case.precision,
    )  # fmt: skip
    bound, decided_by = classify(work.seconds, bounds(work, known))
    return {
        **{name: row[name] for name in ("kind", "phase", "seconds", "flops", "bytes")},
        "layer": row["layer"] or "(no layer)",
        "flops_per_second": work.flops / work.seconds,
        "bound": bound,
        "decided_by": decided_by,
        "operators": ", ".join(dict.fromkeys(row["operators"])),
    }


def is_layers(path: Path) -> bool:
    """Whether the file at `path` is what `dlhw layers --json` wrote; what cannot be read is not, and others say why."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return re.match(r'\[\s*\{\s*"layer":', file.read(100)) is not None
    except OSError:
        return False


def load(path: Path) -> pd.DataFrame:
    """The layers of a file, with what their case says of itself; without the sum, the rest and the whole.

    Raises:
        DlhwError: it is damaged, or of an earlier dlhw, which did not write whose layers they are.
    """
    try:
        rows = [row for row in json.loads(path.read_text(encoding="utf-8")) if row["phase"] is not None]
        cases = [Case.parse(row["case"]).to_json() for row in rows]
        found = [{"input_shape": None} | case | {name: row[name] for name in COLUMNS}
                 for case, row in zip(cases, rows, strict=True)]  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DlhwError(f"{path}: no layers of a case in it ({error}): write it with dlhw layers --json") from error
    frame = pd.DataFrame(found)
    frame["input_shape"] = frame["input_shape"].map(lambda shape: "x".join(map(str, shape)) if shape else None)
    return frame


def text(frame: pd.DataFrame) -> pd.DataFrame:
    """The table for people."""
    table = frame[["layer", "kind", "phase"]].fillna("")
    table["time"] = frame["seconds"].map(units.seconds)
    table["of the step"] = frame["share"].map(units.percent)
    table["FLOPs"] = frame["flops"].map(units.rate)
    table["FLOP/s"] = [units.rate(value, "FLOP/s") for value in frame["flops_per_second"]]
    table["bytes"] = frame["bytes"].map(units.octets)
    table["bound"] = frame["bound"].fillna("")
    table["operators"] = frame["operators"].fillna("")
    return table


def caption(facts: Mapping[str, Any]) -> str:
    """How it was measured, and how far the sum can be believed."""
    whole = units.interval(*(facts[f"whole_{name}seconds"] for name in ("", "low_", "high_")))
    return "\n".join(
        [
            f"{facts['case']}: the whole step takes {whole}, watched {units.seconds(facts['watched_seconds'])}; "
            f"{facts['rounds']} turns of both.",
            f"Each operator is timed below the dispatcher, medians of {facts['steps']} steps; a layer's bytes are its "
            "operators' operands and results.",
            _agreement(facts),
        ]
    )


def _agreement(facts: Mapping[str, Any]) -> str:
    """What the difference between the sum and the whole is."""
    rest = 1 - facts["sum_share"]
    low, high = (100 * share for share in facts["sum_share_range"])
    share = f"The sum is {100 * facts['sum_share']:.1f}% of the whole (turns: {low:.1f} to {high:.1f})"
    if rest < -AGREEMENT:
        each = units.seconds(-rest * facts["whole_seconds"] / facts["operators"])
        return f"{share}: to be timed costs each of {facts['operators']} operators about {each}."
    if rest > AGREEMENT:
        return f"{share}; the rest is views, the dispatcher, autograd, hooks and Python."
    return f"{share}."
