"""Which system is faster, and by how much: geometric means over the nets that all of them have measured.

A system is a machine, or one of its devices where it has several. Relative performance as Fleming and Wallace (1986),
doi 10.1145/5666.5673, have it: only a geometric mean of ratios gives the same answer whatever it is held against.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from reports.analysis.dataset import MACHINE_FREE, grouped, plain
from suites import units

Way = Literal["same", "best"]
Measure = Literal["speed", "dollar", "joule"]
Key = tuple[Any, ...]
NET = ("architecture", "input_shape")
SETTING = ("precision", "memory_format", "compile_mode")
WAYS: Mapping[Way, str] = {"same": "the same settings", "best": "each machine's best setting"}
LEADS: Mapping[Measure, str] = {
    "speed": "is the fastest", "dollar": "does most per dollar", "joule": "does most per joule",
}  # fmt: skip
TABLE = ("system", "ratio", "ratio_low", "ratio_high", "nets", "cases", "noisy", "without_interval", "predicted")
NETS = (
    "system", *NET, "ratio", "ratio_low", "ratio_high", "value", "setting", "cases", "noisy", "without_interval",
    "predicted",
)  # fmt: skip


@dataclass(frozen=True)
class Relative:
    """Who is faster.

    Attributes:
        table: a row a system, the fastest first, with the columns `TABLE`; a ratio of 2 is twice the reference's speed.
        nets: a row a system and net, with the columns `NETS`; `value` in images a second, a dollar or a joule.
        reference: the system whose ratio is 1.
        left_out: systems that have measured something, and share no net, or no case, with those of the table.
    """

    table: pd.DataFrame
    nets: pd.DataFrame
    reference: str = ""
    left_out: tuple[str, ...] = ()
    way: Way = "same"
    measure: Measure = "speed"
    mode: str = "inference"

    @property
    def finding(self) -> str:
        """One sentence; empty where there are not two systems to compare."""
        if len(self.table) < 2:
            return ""
        best, second = self.table.iloc[0], self.table.iloc[1]
        ratio = best["ratio"] / second["ratio"]
        nets = "1 net" if best["nets"] == 1 else f"{best['nets']} nets"
        return (
            f"{best['system']} {LEADS[self.measure]} in {self.mode}: {units.number(ratio)} times "
            f"{second['system']}, over the {nets} that all {len(self.table)} have measured, at {WAYS[self.way]}."
            f"{self._predicted}"
        )

    @property
    def _predicted(self) -> str:
        guessed = int(self.table["predicted"].sum())
        return f" Predicted, not measured: {guessed} of {int(self.table['cases'].sum())} cases." if guessed else ""


@dataclass(frozen=True)
class _Held:
    """What a system has measured in one way; `half` is the half width of the interval of log(value)."""

    value: float
    half: float | None
    row: Mapping[str, Any] = field(repr=False)


def systems(cases: pd.DataFrame) -> pd.Series:
    """The name of each row's system."""
    nets = cases[cases["kind"] == "net"]
    several = nets.groupby("machine")["device"].nunique() > 1
    machine, device = (cases[name].astype("string").fillna("unknown") for name in ("machine", "device"))
    return machine.where(~machine.map(several).fillna(False).astype(bool), machine + " " + device)


def relative(
    cases: pd.DataFrame, *, mode: str = "inference", way: Way = "same", measure: Measure = "speed", reference: str = ""
) -> Relative:
    """Compare all systems of `cases` over what all have in common.

    Where no net is common to all, the largest group of systems that has one is compared, and the others are left out.
    Each net counts as much as any other, however many cases it has.

    Args:
        way: `same` compares equal cases; `best` the fastest case of each net and size of image, whatever it is.
        reference: a system or machine; where it is not among those compared, the slowest of them.
    """
    held = _held(cases, mode, way, measure)
    there = sorted({system for each in held.values() for system in each})
    group = _largest_group(held)
    common = {key: each for key, each in held.items() if group <= each.keys()}
    if not group:
        return Relative(_frame([], TABLE), _frame([], NETS), "", (), way, measure, mode)
    base = _reference(common, group, reference)
    nets = [_net(system, base, net, keys) for net, keys in _by_net(common).items() for system in sorted(group)]
    table = [_system(system, [row for row in nets if row["system"] == system]) for system in group]
    table.sort(key=lambda row: (-row["ratio"], row["system"]))
    left = tuple(system for system in there if system not in group)
    return Relative(_frame(table, TABLE), _frame(nets, NETS), base, left, way, measure, mode)


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame([{name: row[name] for name in columns} for row in rows], columns=list(columns))


def _held(cases: pd.DataFrame, mode: str, way: Way, measure: Measure) -> dict[Key, dict[str, _Held]]:
    """What is comparable -> system -> the best that it did there."""
    own = cases[(cases["kind"] == "net") & (cases["mode"] == mode)]
    own = own[(own["status"] == "measured") | own["predicted"].eq(True)]
    rows = plain(own.assign(system=systems(cases)[own.index]))
    rows.sort(key=lambda row: row["status"] != "measured")
    found: dict[Key, dict[str, _Held]] = {}
    for key, group in grouped(rows, MACHINE_FREE if way == "same" else NET).items():
        for row in group:
            value = VALUES[measure](row)
            best = found.setdefault(key, {}) if value is not None else {}
            if value is not None and _better(value, row, best.get(row["system"])):
                best[row["system"]] = _Held(value, None if measure == "joule" else _half(row), row)
    return found


def _better(value: float, row: Mapping[str, Any], known: _Held | None) -> bool:
    """What was predicted stands only where nothing was measured."""
    if known is None:
        return True
    return value > known.value and (row["status"] == "measured" or known.row["status"] != "measured")


def _speed(row: Mapping[str, Any]) -> float | None:
    return row["batch_size"] / row["median_seconds"] if row["median_seconds"] else None


def _per_dollar(row: Mapping[str, Any]) -> float | None:
    cost = row.get("dollars_per_million")
    return 1e6 / cost if cost else None


VALUES: Mapping[Measure, Callable[[Mapping[str, Any]], float | None]] = {
    "speed": _speed, "dollar": _per_dollar, "joule": lambda row: row["images_per_joule"],
}  # fmt: skip


def _half(row: Mapping[str, Any]) -> float | None:
    if row["low_seconds"] is None or row["high_seconds"] is None:
        return None
    return math.log(row["high_seconds"] / row["low_seconds"]) / 2


def _largest_group(held: Mapping[Key, Mapping[str, _Held]]) -> frozenset[str]:
    """The most systems that share a key; of as many, those that share most keys."""
    groups = {frozenset(each) for each in held.values()}
    shared = {group: sum(group <= each.keys() for each in held.values()) for group in groups}
    return max(groups, key=lambda group: (len(group), shared[group], sorted(group)), default=frozenset())


def _by_net(common: Mapping[Key, dict[str, _Held]]) -> dict[Key, list[dict[str, _Held]]]:
    found: dict[Key, list[dict[str, _Held]]] = {}
    for key, each in common.items():
        found.setdefault(key[: len(NET)], []).append(each)
    return found


def _reference(common: Mapping[Key, Mapping[str, _Held]], group: frozenset[str], wanted: str) -> str:
    means = {
        system: statistics.fmean(math.log(each[system].value) for each in common.values()) for system in sorted(group)
    }
    named = [system for system in means if system == wanted]
    of_machine = [system for system in means if system.startswith(f"{wanted} ")] if wanted else []
    return next(iter(named or of_machine), min(means, key=means.__getitem__))


def _net(system: str, base: str, net: Key, cases: Sequence[Mapping[str, _Held]]) -> dict[str, Any]:
    """One system's ratio on one net: the geometric mean of those of its common cases."""
    pairs = [(each[system], each[base]) for each in cases]
    best = max((own for own, _ in pairs), key=lambda own: own.value)
    mean = statistics.fmean(math.log(own.value / other.value) for own, other in pairs)
    half = 0.0 if system == base else _together([held.half for pair in pairs for held in pair], len(pairs))
    return {
        "system": system, **dict(zip(NET, net, strict=True)), **_interval(mean, half), "half": half, "log": mean,
        "value": best.value, "setting": setting(best.row), "cases": len(pairs),
        "noisy": sum(bool(own.row["noisy"]) for own, _ in pairs),
        "without_interval": sum(own.half is None for own, _ in pairs),
        "predicted": sum(own.row["status"] != "measured" for own, _ in pairs),
    }  # fmt: skip


def _system(system: str, nets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    mean, half = statistics.fmean(row["log"] for row in nets), _together([row["half"] for row in nets], len(nets))
    return {
        "system": system, **_interval(mean, half), "nets": len(nets),
        **{name: sum(row[name] for row in nets) for name in ("cases", "noisy", "without_interval", "predicted")},
    }  # fmt: skip


def _together(halves: Iterable[float | None], count: int) -> float | None:
    """The half width of a mean of independent figures; None where one of them is not known."""
    known = list(halves)
    return None if None in known else math.sqrt(math.fsum((half or 0.0) ** 2 for half in known)) / count


def _interval(mean: float, half: float | None) -> dict[str, float | None]:
    low, high = (None, None) if half is None else (math.exp(mean - half), math.exp(mean + half))
    return {"ratio": math.exp(mean), "ratio_low": low, "ratio_high": high}


def setting(row: Mapping[str, Any]) -> str:
    """`bf16 channels_last b64`: what a person would switch; plain settings are not named."""
    words = [str(row["precision"])]
    words += [str(row[name]) for name in SETTING[1:] if row[name] not in {"contiguous", "eager", None}]
    return " ".join([*words, f"b{row['batch_size']}"])


def net_name(architecture: str, input_shape: str | None) -> str:
    """`resnet18 96 px`; of no square image the whole shape."""
    numbers = (input_shape or "").split("x")
    if len(numbers) == 3 and numbers[1] == numbers[2]:
        return f"{architecture} {numbers[1]} px"
    return f"{architecture} {input_shape or ''}".strip()
