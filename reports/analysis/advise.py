"""`dlhw advise`: which settings to use for a net on each machine, what they give, and how sure that is."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from bench.records.curves import Ratio, ratio
from bench.records.summary import Value
from suites import units
from suites.case import UNSAID
from suites.errors import DlhwError, did_you_mean

SETTINGS = (
    "batch_size", "precision", "memory_format", "compile_mode", "threads", "cudnn_benchmark", "power_limit", "device",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is asked for, and what may not be exceeded.

    Attributes:
        max_error: relative distance from fp64.
        prices: machine -> USD an hour.
    """

    architecture: str
    objective: str = "throughput"
    mode: str = "inference"
    max_latency_seconds: float | None = None
    max_memory_bytes: float | None = None
    max_error: float | None = None
    prices: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Advice:
    """For one machine: the settings, what they give, and the runner-up; or why there is none."""

    machine: str
    case: str | None
    settings: Mapping[str, Any]
    gives: str
    next_best: str
    sure: str
    candidates: int
    excluded: Mapping[str, int]


@dataclass(frozen=True)
class Objective:
    """A column, whether more of it is better, its text, and the columns of its interval."""

    column: str
    more: bool
    text: Callable[[float | None], str]
    low: str = ""
    high: str = ""


OBJECTIVES = {
    "throughput": Objective("images_per_second", True, units.images_per_second, "value_low", "value_high"),
    "latency": Objective("latency_seconds", False, units.seconds, "low_seconds", "high_seconds"),
    "energy": Objective("joules_per_image", False, lambda value: f"{units.number(value)} J/image"),
    "cost": Objective(
        "dollars_per_million", False, lambda value: f"{units.number(value)} USD/million images",
        "dollars_low", "dollars_high",
    ),
}  # fmt: skip


def advise(frame: pd.DataFrame, wishes: Wishes) -> list[Advice]:
    """An advice for each machine of `frame`, which `reports.results.frames.load` made.

    Raises:
        DlhwError: the net, the objective or a machine's price leads nowhere.
    """
    if wishes.objective not in OBJECTIVES:
        hint = did_you_mean(wishes.objective, OBJECTIVES)
        raise DlhwError(f"--objective {wishes.objective}: unknown{hint}; there are {', '.join(OBJECTIVES)}")
    nets = frame[frame["kind"] == "net"]
    own = nets[(nets["architecture"] == wishes.architecture) & (nets["mode"] == wishes.mode)]
    if own.empty:
        known = sorted(set(nets["architecture"].dropna()))
        hint = did_you_mean(wishes.architecture, known)
        raise DlhwError(f"--architecture {wishes.architecture}: not in these results in {wishes.mode}{hint}; "
                        f"there are {', '.join(known)}")  # fmt: skip
    priced = _with_cost(own, wishes.prices or {})
    return [_advice(str(machine), rows, wishes) for machine, rows in priced.groupby("machine", sort=False)]


def _with_cost(frame: pd.DataFrame, prices: Mapping[str, float]) -> pd.DataFrame:
    """Dollars for a million images: an hour's price over the images of an hour."""
    unknown = set(prices) - set(frame["machine"])
    if unknown:
        raise DlhwError(
            f"--price {', '.join(sorted(unknown))}: no such machine; {', '.join(frame['machine'].unique())}"
        )
    price = frame["machine"].map(prices).astype("Float64")
    return frame.assign(
        dollars_per_million=price / 3600 / frame["images_per_second"] * 1e6,
        dollars_low=price / 3600 / frame["value_high"] * 1e6,
        dollars_high=price / 3600 / frame["value_low"] * 1e6,
    )


def _advice(machine: str, rows: pd.DataFrame, wishes: Wishes) -> Advice:
    objective = OBJECTIVES[wishes.objective]
    kept, excluded = _allowed(rows, wishes, objective)
    ordered = kept.sort_values(objective.column, ascending=not objective.more, kind="stable")
    if ordered.empty:
        return Advice(machine, None, {}, "nothing that was measured is allowed", "", "", 0, excluded)
    best = ordered.iloc[0]
    following = ordered.iloc[1] if len(ordered) > 1 else None
    settings = {name: best[name] for name in SETTINGS if not pd.isna(best[name]) and best[name] != UNSAID.get(name)}
    return Advice(
        machine, str(best["id"]), settings, _gives(best, objective),
        *_runner_up(best, following, objective), len(ordered), excluded,
    )  # fmt: skip


def _allowed(rows: pd.DataFrame, wishes: Wishes, objective: Objective) -> tuple[pd.DataFrame, dict[str, int]]:
    """The candidates, and how many cases each rule has excluded, the first that applies."""
    rules: dict[str, Any] = {
        "not measured": rows["status"] == "measured",
        f"{wishes.objective} unknown": rows[objective.column].notna(),
    }
    limits = (
        ("latency", "latency_seconds", wishes.max_latency_seconds),
        ("memory", "peak_bytes", wishes.max_memory_bytes),
        ("distance from fp64", "relative_error", wishes.max_error),
    )
    for name, column, limit in limits:
        if limit is not None:
            rules[f"{name} unknown"] = rows[column].notna()
            rules[f"{name} too large"] = rows[column].fillna(0) <= limit
    kept, excluded = pd.Series(True, index=rows.index), {}
    undisturbed = rows["noisy"].fillna("") == ""
    if (undisturbed & pd.concat(rules.values(), axis=1).fillna(False).astype(bool).all(axis=1)).any():
        rules["disturbed"] = undisturbed
    for name, passes in rules.items():
        out = kept & ~passes.fillna(False).astype(bool)
        if out.any():
            excluded[name] = int(out.sum())
        kept &= ~out
    return rows[kept], excluded


def _gives(row: Any, objective: Objective) -> str:
    parts = [objective.text(_number(row[objective.column]))]
    others = (
        ("images_per_second", units.images_per_second), ("latency_seconds", lambda v: f"latency {units.seconds(v)}"),
        ("peak_bytes", units.octets), ("relative_error", lambda v: f"{units.error(v)} from fp64"),
    )  # fmt: skip
    parts += [text(float(row[name])) for name, text in others if name != objective.column and not pd.isna(row[name])]
    return ", ".join(parts)


def _runner_up(best: Any, following: Any, objective: Objective) -> tuple[str, str]:
    """What the next best would cost, and how sure the order of the two is."""
    if not pd.isna(best["noisy"]) and best["noisy"]:
        return "", f"not at all: every candidate was disturbed, this one so: {best['noisy']}"
    if following is None:
        return "", "the only one that is allowed"
    changed = {name: following[name] for name in SETTINGS if str(following[name]) != str(best[name])}
    words = ", ".join(f"{name} {value}" for name, value in changed.items())
    found = _lost(best, following, objective)
    text = f"{words}: {objective.text(_number(following[objective.column]))}, {_share(found)}"
    if found.low is None:
        return text, "no interval: how sure the order is cannot be told"
    return text, "certain, as far as these launches tell" if found.certain else "not certain: the intervals meet"


def _lost(best: Any, following: Any, objective: Objective) -> Ratio:
    first, second = (_value(row, objective) for row in (best, following))
    return ratio(second, first)


def _value(row: Any, objective: Objective) -> Value:
    names = (objective.low, objective.high) if _has_interval(row, objective) else ("", "")
    low, high = (_number(row[name]) if name else None for name in names)
    return Value(objective.column, float(row[objective.column]), low, high)


def _has_interval(row: Any, objective: Objective) -> bool:
    """Seconds have the interval of steps; an accelerator's latency, timed by the host, is another quantity."""
    return objective.column != "latency_seconds" or bool(row["latency_seconds"] == row["median_seconds"])


def _share(found: Ratio) -> str:
    text = f"{100 * (found.value - 1):+.1f}%"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{100 * (found.low - 1):+.1f}, {100 * (found.high - 1):+.1f}]"


def table(found: list[Advice]) -> pd.DataFrame:
    """For people: a row a machine."""
    return pd.DataFrame(
        {
            "machine": [each.machine for each in found],
            "use": [", ".join(f"{name} {value}" for name, value in each.settings.items()) or "-" for each in found],
            "gives": [each.gives for each in found],
            "next best": [each.next_best or "-" for each in found],
            "sure": [each.sure or "-" for each in found],
            "of": [f"{each.candidates} candidates{_excluded(each)}" for each in found],
        }
    )


def _excluded(advice: Advice) -> str:
    texts = [f"{count} {name}" for name, count in advice.excluded.items()]
    return f"; excluded: {', '.join(texts)}" if texts else ""


def documents(found: list[Advice]) -> list[dict[str, Any]]:
    """For scripts."""
    return [{**asdict(each), "settings": {k: str(v) for k, v in each.settings.items()}} for each in found]


def price(text: str) -> tuple[str, float]:
    """`MACHINE=USD_PER_HOUR`.

    Raises:
        DlhwError: it reads otherwise.
    """
    machine, equals, amount = text.rpartition("=")
    try:
        return machine if equals else _refuse(text), float(amount)
    except ValueError:
        return _refuse(text), 0.0


def _refuse(text: str) -> str:
    raise DlhwError(f"--price {text}: expected MACHINE=USD_PER_HOUR, as in box=1.80")


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
