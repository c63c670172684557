"""Which machine of a fleet is not like the others of its kind, by how much, and in what.

Every node has measured the same anchor cases before and after its own. Within a kind of hardware the mean logarithm of
a node's times, family by family, is held against the others' by the generalised extreme Studentised deviate test
(Rosner 1983, doi 10.1080/00401706.1983.10487848), which finds several outliers that would hide one another. The
families share the level; it holds where the noise is normal, and not for launches with long tails (docs/fleet.md).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.fleet import ledger, publish
from bench.fleet.ledger import History
from bench.fleet.schedule import END, kind_of
from bench.records.record import Record, Status
from bench.records.summary import summarise
from suites.cases import parse

if TYPE_CHECKING:
    import numpy as np

NULL_ROWS = 20_000
FEWEST_NODES = 4
"""Fewer have no spread to speak of: what is unlike what cannot be told."""
FAMILIES = {"matmul": "arithmetic", "copy": "memory bandwidth"}
"""Operation -> what it is a measure of; nets are a family of their own."""
NETS = "nets"


@dataclass(frozen=True)
class Standing:
    """A node among the others of its kind, in one family.

    Attributes:
        offset: its times against the middle of the others', as a share; 0.05 is 5 % slower.
        spread: standard deviation of the others' offsets; None where there are too few.
        drift: what its anchors at the end took more than those at the beginning, as a share; None without.
        outlier: whether it is not like the others, at the asked level.
    """

    kind: str
    node: str
    family: str
    offset: float
    spread: float | None
    drift: float | None
    outlier: bool


def compare(folder: Path, level: float = 0.05, tolerance: float = 0.02) -> list[Standing]:
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
    for node in sorted({node for node, _ in times}):
        kinds.setdefault(kind_of(history.plans[node]["environment"]), []).append(node)
    return [each for kind, nodes in kinds.items() for each in _of_kind(kind, nodes, times, level, tolerance)]


def anchor_times(folder: Path, history: History) -> dict[tuple[str, str], dict[str, float]]:
    """(node, `anchor-begin` or `anchor-end`) -> case id -> median seconds."""
    found = {}
    for place, attempt in publish.anchors(history).items():
        records = _records(ledger.lines_of(folder, attempt.number))
        found[place] = {record.id: summarise(record).median_seconds for record in records}
    return found


def _records(lines: Sequence[str]) -> list[Record]:
    import json

    entries = [data for line in lines if (data := json.loads(line)).get("kind") == "record"]
    records = [Record.from_json(data["record"]) for data in entries]
    return [record for record in records if record.outcome.status is Status.MEASURED]


def family_of(case_id: str) -> str:
    """What a case is a measure of, and on which type of device."""
    operation, device = case_id.partition("-")[0], parse(case_id).device
    return f"{FAMILIES.get(operation, NETS)}, {device.partition(':')[0]}"


def _of_kind(
    kind: str, nodes: Sequence[str], times: Mapping[tuple[str, str], Mapping[str, float]], level: float,
    tolerance: float,
) -> list[Standing]:  # fmt: skip
    common = set.intersection(*({*cases} for (node, _), cases in times.items() if node in nodes))
    families: dict[str, list[str]] = {}
    for case_id in sorted(common):
        families.setdefault(family_of(case_id), []).append(case_id)
    found = []
    for family, cases in families.items():
        logs = {node: _mean_log(node, cases, times) for node in nodes}
        unlike = outliers(logs, level / len(families))
        for node in nodes:
            others = [value for name, value in logs.items() if name != node and name not in unlike]
            offset = math.expm1(logs[node] - statistics.median(others)) if others else 0.0
            spread = statistics.stdev(others) if len(others) >= FEWEST_NODES - 1 else None
            flagged = node in unlike and abs(offset) > tolerance
            found.append(Standing(kind, node, family, offset, spread, _drift(node, cases, times), flagged))
    return found


def _mean_log(node: str, cases: Sequence[str], times: Mapping[tuple[str, str], Mapping[str, float]]) -> float:
    return statistics.fmean(
        math.log(found[case]) for (name, _), found in times.items() if name == node for case in cases
    )


def _drift(node: str, cases: Sequence[str], times: Mapping[tuple[str, str], Mapping[str, float]]) -> float | None:
    places = {place: found for (name, place), found in times.items() if name == node}
    if len(places) < 2:
        return None
    after, before = places.pop(END), next(iter(places.values()))
    return math.expm1(statistics.fmean(math.log(after[case] / before[case]) for case in cases))


def outliers(values: Mapping[str, float], level: float) -> set[str]:
    """Names of the values that are not of one normal distribution with the others (Rosner 1983).

    Up to a third of them; the largest number whose statistic is beyond its critical value, so that two bad ones do not
    hide one another.
    """
    import numpy as np

    if len(values) < FEWEST_NODES:
        return set()
    names = np.array(list(values))
    removed, statistics_ = _extremes(np.array([list(values.values())]))
    beyond = statistics_[0] > _critical(len(values), level)
    unlike = int(beyond.nonzero()[0].max()) + 1 if beyond.any() else 0
    return set(names[removed[0, :unlike]].tolist())


def _extremes(rows: "np.ndarray[Any, Any]") -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Of each row, again and again, the value farthest from the mean of those left: its index, its distance in sd."""
    import numpy as np

    count = rows.shape[1]
    gone = np.zeros(rows.shape, bool)
    found = []
    for _ in range(count // 3):
        left = np.ma.array(rows, mask=gone)
        spread = left.std(axis=1, ddof=1).filled(0.0)
        distance = np.abs(left - left.mean(axis=1, keepdims=True)).filled(-1.0)
        worst = distance.argmax(axis=1)
        found.append((worst, distance.max(axis=1) / np.where(spread > 0, spread, np.inf)))
        gone[np.arange(len(rows)), worst] = True
    removed, statistics_ = zip(*found, strict=True)
    return np.stack(removed, axis=1), np.stack(statistics_, axis=1)


@cache
def _critical(count: int, level: float) -> "np.ndarray[Any, Any]":
    """Critical values of the statistics: Rosner's, all raised alike until of normal rows `level` have one beyond.

    His are right from 25 values on; of 16 alike they find an outlier in 7.5 % where 5 % are meant.
    """
    import numpy as np
    from scipy.stats import t

    left = count - np.arange(count // 3)
    quantile = t.ppf(1 - level / (2 * left), left - 2)
    rosner = quantile * (left - 1) / np.sqrt((left - 2 + quantile**2) * left)
    _, null = _extremes(np.random.default_rng(1).normal(size=(NULL_ROWS, count)))
    return np.asarray(rosner * np.quantile((null / rosner).max(axis=1), 1 - level))


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
