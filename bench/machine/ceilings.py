"""The best that a machine was seen to do: what the time of a net is held against.

Standard library only. Ceilings are kept for each machine, so that a sweep can be judged by an earlier hardware run.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from bench.machine import cache
from bench.records.record import Record, Status
from bench.records.summary import value_of

ARRAYS = {"copy": 2, "triad": 3}
"""How many arrays an operation touches."""


@dataclass(frozen=True)
class Best:
    """A figure, and the case that reached it."""

    value: float
    case: str


Key = TypeVar("Key", str, int)
Choose = Callable[[Iterable[Best]], Best]


@dataclass(frozen=True)
class Ceilings:
    """By `key`: device, threads of the CPU, and precision where it matters.

    Attributes:
        flops_per_second: of a matrix product or convolution.
        bytes_per_second: working set in bytes -> bandwidth of a copy or triad over so much memory.
        dispatch_seconds: of an operation that does next to nothing.
    """

    flops_per_second: Mapping[str, Best] = field(default_factory=dict)
    bytes_per_second: Mapping[str, Mapping[int, Best]] = field(default_factory=dict)
    dispatch_seconds: Mapping[str, Best] = field(default_factory=dict)

    def bandwidth(self, device: str, threads: int, octets: float) -> Best | None:
        """The bandwidth of a working set: the best of all sets that are no smaller, for a larger one has no shortcuts.

        Beyond the largest that was measured, that one's.
        """
        curve = self.bytes_per_second.get(key(device, threads))
        if not curve:
            return None
        found = [best for size, best in curve.items() if size >= octets]
        return max(found, key=_value, default=curve[max(curve)])

    def merged(self, other: Self) -> "Ceilings":
        """The better of both everywhere."""
        curves = self.bytes_per_second.keys() | other.bytes_per_second.keys()
        return Ceilings(
            _merged(self.flops_per_second, other.flops_per_second, _highest),
            {
                name: _merged(self.bytes_per_second.get(name, {}), other.bytes_per_second.get(name, {}), _highest)
                for name in curves
            },
            _merged(self.dispatch_seconds, other.dispatch_seconds, _lowest),
        )

    @property
    def known(self) -> bool:
        """Whether there is any."""
        return bool(self.flops_per_second or self.bytes_per_second or self.dispatch_seconds)


def key(device: str, threads: int, precision: str = "") -> str:
    """`cpu-t2-bf16`, `cuda:0-bf16`: the host's threads are the CPU's ceilings alone.

    Autocast's precisions compute in the type that they are named for.
    """
    return "-".join(filter(None, (device, f"t{threads}" * (device == "cpu"), precision.removeprefix("amp_"))))


def measured(records: Iterable[Record]) -> Ceilings:
    """What the micro-benchmarks among `records` reached; what was disturbed shows nobody's best."""
    found = Ceilings()
    for record in records:
        if record.outcome.status is Status.MEASURED and record.work is not None and not record.disturbed:
            found = found.merged(_of(record))
    return found


def _of(record: Record) -> Ceilings:
    case, value = record.case, value_of(record)
    best = Best(value.value, record.id)
    place = key(case["device"], case["threads"])
    if value.metric == "flops_per_second":
        return Ceilings(flops_per_second={key(case["device"], case["threads"], case["precision"]): best})
    arrays = ARRAYS.get(case["operation"])
    if arrays:
        return Ceilings(bytes_per_second={place: {arrays * case["size"][0]: best}})
    return Ceilings(dispatch_seconds={place: best}) if case["operation"] == "dispatch" else Ceilings()


def kept(fingerprint: str) -> Ceilings:
    """What earlier runs on the machine of this fingerprint have left; nothing where there was none.

    Raises:
        DlhwError: the file is there, but damaged.
    """
    data = cache.read(_name(fingerprint))
    if data is None:
        return Ceilings()
    try:
        return Ceilings(
            _revived(data["flops_per_second"]),
            {
                name: {int(size): best for size, best in _revived(curve).items()}
                for name, curve in data["bytes_per_second"].items()
            },
            _revived(data["dispatch_seconds"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise cache.damaged(_name(fingerprint)) from error


def keep(found: Ceilings, fingerprint: str) -> Path:
    """Add what was found to what is kept; the file is whole at any time.

    Raises:
        DlhwError: it cannot be written.
    """
    return cache.write(_name(fingerprint), asdict(kept(fingerprint).merged(found)))


def path_of(fingerprint: str) -> Path:
    """In the user's cache, which XDG_CACHE_HOME may name."""
    return cache.path_of(_name(fingerprint))


def _name(fingerprint: str) -> str:
    return f"ceilings/{fingerprint}"


def _merged(first: Mapping[Key, Best], second: Mapping[Key, Best], better: Choose) -> dict[Key, Best]:
    return {
        name: better(best for best in (first.get(name), second.get(name)) if best) for name in first.keys() | second
    }


def _highest(found: Iterable[Best]) -> Best:
    return max(found, key=_value)


def _lowest(found: Iterable[Best]) -> Best:
    return min(found, key=_value)


def _value(best: Best) -> float:
    return best.value


def _revived(data: Mapping[str, Any]) -> dict[str, Best]:
    return {name: Best(float(best["value"]), str(best["case"])) for name, best in data.items()}
