"""Which machine of a fleet is not like the others of its kind, by how much, and in what.

Every node has measured the same anchor cases before and after its own, by several launches each. Within a kind of
hardware a node's figure, family by family, is held against the others' (reports/fleet/outliers.py). All families of
all kinds share the level: of a fleet of machines that are alike one is named with at most that probability.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.fleet import ledger, publish
from bench.fleet.ledger import History
from bench.fleet.schedule import BEGIN, END, kind_of
from bench.records.record import Record, Status
from bench.records.summary import by_launch
from reports.fleet.outliers import FEWEST_NODES, middle_of, unlike
from suites.cases import parse

FAMILIES = {"matmul": "arithmetic", "copy": "memory bandwidth"}
"""Operation -> what it is a measure of; nets are a family of their own."""
NETS = "nets"
TOLERANCE = 0.02
"""Smaller differences matter to nobody."""
UNKNOWN_OFFSET = "other machines of its kind share this suite, and how far this one is from them is not known"
T_975 = 2.5706
"""Of Student's t with five degrees of freedom: the launches of two anchors, less one."""
Array = np.ndarray[Any, Any]
Anchors = Mapping[str, Mapping[str, Sequence[float]]]
"""`anchor-begin`, `anchor-end` -> case id -> medians of its launches, in seconds."""


@dataclass(frozen=True)
class Standing:
    """A node among the others of its kind, in one family.

    Attributes:
        offset: its times against the middle of the others', as a share; 0.05 is 5 % slower.
        low, high: the 95 % interval of that, by the node's own launches and the others' spread; None with one launch.
        spread: standard deviation of the others' offsets; None where there are too few.
        drift: what its anchors at the end took more than those at the beginning, as a share; None without.
        outlier: whether it is not like the others, at the asked level.
    """

    kind: str
    node: str
    family: str
    offset: float
    low: float | None
    high: float | None
    spread: float | None
    drift: float | None
    outlier: bool


def compare(folder: Path, level: float = 0.05, tolerance: float = TOLERANCE) -> list[Standing]:
    """Every node's standing, by kind and family.

    Args:
        level: share of false findings that is accepted.
        tolerance: smaller offsets are no finding, however sure.

    Raises:
        DlhwError: there is no fleet in `folder`.
    """
    history = ledger.read(folder)
    times = anchor_times(folder, history)
    kinds: dict[str, list[str]] = {}
    for node in sorted(times):
        kinds.setdefault(kind_of(history.plans[node]["environment"]), []).append(node)
    compared = [
        (kind, family, logs) for kind, nodes in kinds.items()
        for family, logs in _families({node: times[node] for node in nodes}).items()
    ]  # fmt: skip
    return [
        each
        for kind, family, logs in compared
        for each in _standings(kind, family, logs, level / len(compared), tolerance)
    ]


def anchor_times(folder: Path, history: History) -> dict[str, Anchors]:
    """Of every node that has measured any."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for (node, place), attempt in publish.anchors(history).items():
        records = _records(ledger.lines_of(folder, attempt.number))
        cases = {record.id: [statistics.median(launch) for launch in by_launch(record)] for record in records}
        found.setdefault(node, {})[place] = cases
    return dict(found)


def _records(lines: Sequence[str]) -> list[Record]:
    entries = [data for line in lines if (data := json.loads(line)).get("kind") == "record"]
    records = [Record.from_json(data["record"]) for data in entries]
    return [record for record in records if record.outcome.status is Status.MEASURED]


def family_of(case_id: str) -> str:
    """What a case is a measure of, and on which type of device."""
    operation, device = case_id.partition("-")[0], parse(case_id).device
    return f"{FAMILIES.get(operation, NETS)}, {device.partition(':')[0]}"


def _families(times: Mapping[str, Anchors]) -> dict[str, dict[str, Array]]:
    """Family -> node -> (cases, anchors, launches), of the cases that all nodes have measured each time."""
    common = set.intersection(*({*cases} for places in times.values() for cases in places.values()))
    families: dict[str, list[str]] = {}
    for case_id in sorted(common):
        families.setdefault(family_of(case_id), []).append(case_id)
    return {
        family: {node: _logs(places, cases) for node, places in times.items()} for family, cases in families.items()
    }


def _logs(places: Anchors, cases: Sequence[str]) -> Array:
    """Of the launches that each of the cases has each time: one that was disturbed is set aside by its sweep."""
    ordered = [places[place] for place in (BEGIN, END) if place in places]
    launches = min(len(found[case]) for found in ordered for case in cases)
    return np.log([[found[case][:launches] for found in ordered] for case in cases])


def _standings(kind: str, family: str, nodes: Mapping[str, Array], level: float, tolerance: float) -> list[Standing]:
    middles = {node: middle_of(logs) for node, logs in nodes.items()}
    named = unlike(nodes, level)
    found = []
    for node, logs in nodes.items():
        others = [float(middles[name][0]) for name in nodes if name != node and name not in named]
        off = float(middles[node][0]) - statistics.median(others) if others else 0.0
        spread = statistics.stdev(others) if len(others) >= FEWEST_NODES - 1 else None
        half = _half_width(node, middles, others) if logs[0].size > 1 else None
        found.append(Standing(
            kind, node, family, math.expm1(off),
            None if half is None else math.expm1(off - half), None if half is None else math.expm1(off + half),
            spread, _drift(logs), node in named and abs(math.expm1(off)) > tolerance,
        ))  # fmt: skip
    return found


def _half_width(node: str, middles: Mapping[str, tuple[Array, Array]], others: Sequence[float]) -> float:
    """Of a node's offset, in logarithms: Student's t for its own error, by few launches, and the others' middle.

    Its error is not thought to be less than the middle one's: six launches may agree by chance.
    """
    own = max(float(middles[node][1]), statistics.median(float(error) for _, error in middles.values()))
    middle = statistics.stdev(others) / math.sqrt(len(others)) if len(others) > 1 else own
    return T_975 * math.hypot(own, middle)


def _drift(logs: Array) -> float | None:
    """Of the medians of the launches at the end against those at the beginning."""
    if logs.shape[1] < 2:
        return None
    before, after = np.median(logs, axis=2).mean(axis=0)
    return math.expm1(after - before)


def machine_offsets(folder: Path) -> dict[str, dict[str | None, float]]:
    """Node -> family -> the 95 % bound of how far it is from the middle of its kind, as a share.

    By the anchors; nothing of nodes that have none, and of kinds of a single node.
    """
    found: dict[str, dict[str | None, float]] = {}
    standings = compare(folder)
    for each in standings:
        among = sum(other.kind == each.kind and other.family == each.family for other in standings)
        if among > 1 and each.low is not None and each.high is not None:
            bound = max(abs(math.log1p(each.low)), abs(math.log1p(each.high)))
            found.setdefault(each.node, {})[each.family] = math.expm1(bound)
    return found


def share_offsets(results: Mapping[str, dict[str, Any]], offsets: Mapping[str, Mapping[str | None, float]]) -> None:
    """Have every measured case of a sharded fleet tell how far its node may be from the others of its kind.

    A case whose family has no anchor has the largest of its node's.

    Args:
        results: node -> its results file's content, which is changed.
    """
    for node, data in results.items():
        known = offsets.get(node, {})
        for benchmark in data["benchmarks"]:
            info = benchmark["extra_info"]
            anchored = info["case"].get("operation") in {None, *FAMILIES}
            family = family_of(benchmark["param"]) if anchored else None
            info["machine_offset"] = known.get(family, max(known.values(), default=None))
            if not known and len(results) > 1:
                info["notes"] = {**(info.get("notes") or {}), "machine": UNKNOWN_OFFSET}


def sentences(found: Sequence[Standing]) -> list[str]:
    """What a person asks: who is off, by how much, in what; and where that cannot be told, why."""
    lines = []
    for kind in dict.fromkeys(each.kind for each in found):
        members = [each for each in found if each.kind == kind]
        nodes = {each.node for each in members}
        if len(nodes) < FEWEST_NODES:
            lines.append(f"{kind}: {len(nodes)} nodes; {FEWEST_NODES} are needed to tell which is unlike the others")
            continue
        bad = [each for each in members if each.outlier]
        lines += [
            f"{each.node} is not like the other {len(nodes) - 1} of its kind: {each.family} "
            f"{100 * abs(each.offset):.1f}% {'slower' if each.offset > 0 else 'faster'} than their middle"
            for each in bad
        ] or [f"{kind}: the {len(nodes)} nodes are alike"]
    return lines
