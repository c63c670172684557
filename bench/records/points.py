"""What the sentences of `bench.records.findings` are made of: points of a curve, and words for ratios."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.records.curves import Ratio, ratio
from bench.records.summary import Value
from suites import units
from suites.micro import Micro


@dataclass(frozen=True)
class Point:
    """A micro-benchmark and its figure."""

    case: Micro
    value: Value

    @property
    def size(self) -> float:
        """The last number: the one that a curve runs along."""
        return float(self.case.size[-1])


@dataclass(frozen=True)
class Curve:
    """The points of one operation on one device.

    Attributes:
        host: what the environment says of it; its caches.
        nets: (net, images a second) that the same run measured.
    """

    points: Sequence[Point]
    host: Mapping[str, Any]
    nets: Sequence[tuple[Mapping[str, Any], Value]] = ()

    def select(self, variant: str | None = None, threads: int | None = None) -> list[Point]:
        """Points of a variant, of a number of threads, ascending by size."""
        found = (
            point
            for point in self.points
            if variant in (None, point.case.variant) and threads in (None, point.case.threads)
        )
        return sorted(found, key=lambda point: point.case.size)

    @property
    def threads(self) -> list[int]:
        """Numbers of threads that there are."""
        return sorted({point.case.threads for point in self.points})

    @property
    def variants(self) -> list[str]:
        """Variants that there are."""
        return list(dict.fromkeys(point.case.variant for point in self.points))


Sentence = tuple[str, dict[str, Any]]


def times(found: Ratio) -> str:
    """`3.10 times [3.02, 3.19]`; said where the samples cannot tell it from once."""
    if found.low is None or found.high is None:
        return f"{units.number(found.value)} times (too few samples for an interval)"
    text = f"{units.number(found.value)} times [{units.number(found.low)}, {units.number(found.high)}]"
    return text if found.certain else f"{text}, which may be noise,"


def differ(first: Value, second: Value) -> bool:
    """Whether two values certainly do."""
    return ratio(first, second).certain


def scaled(found: Ratio, factor: float) -> Ratio:
    """The ratio and its bounds, all times `factor`."""
    bounds = [None if bound is None else bound * factor for bound in (found.low, found.high)]
    return Ratio(found.value * factor, *bounds)
