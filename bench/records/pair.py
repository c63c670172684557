"""The format of what two measuring processes say of one case: one line of the gate's journal. Standard library only.

Times in seconds, memory in bytes. The ratio is a function of the raw slices and is never stored beside them.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal, Self

from bench.records.record import Outcome, Status, plain

Control = Literal["", "negative", "positive"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What one pair of processes says of one case.

    Attributes:
        base, head: medians of the slices in the order of time, a turn each; none is left out.
        disturbed: of each turn, why it does not count; empty where it does.
        outcomes: of base and of head, where one was not measured.
        peak_bytes: of memory while slices ran, above what the process held before the case came.
        compile_seconds: of the first step, which compiles; None for eager cases.
        compiled: what it made: `graphs`, `graph_breaks`, `kernels`; None for eager cases.
    """

    base: tuple[float, ...] = ()
    head: tuple[float, ...] = ()
    disturbed: tuple[str, ...] = ()
    outcomes: tuple[Outcome | None, Outcome | None] = (None, None)
    peak_bytes: tuple[int | None, int | None] = (None, None)
    compile_seconds: tuple[float | None, float | None] = (None, None)
    compiled: tuple[Mapping[str, int | None] | None, Mapping[str, int | None] | None] = (None, None)

    @cached_property
    def log_ratio(self) -> float | None:
        """Of time, head over base: the median over blocks; None with no more than half of them undisturbed.

        A block is two turns, A B B A. Of two slices of one process in a row the second finds its caches warm; in a
        block either side has one of each kind, and what the machine does to both, drifts included, drops out.
        """
        blocks = range(0, len(self.base) - 1, 2)
        kept = [
            math.log(self.head[at] * self.head[at + 1] / (self.base[at] * self.base[at + 1])) / 2
            for at in blocks
            if not any(self.disturbed[at : at + 2])
        ]
        return statistics.median(kept) if 2 * len(kept) > len(blocks) else None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One pair of one case, and what it was for.

    Attributes:
        stage: 1 looks at all cases, 2 confirms candidates with fresh pairs.
        number: of the pair within its stage.
        control: `negative` holds base against base; `positive` the same, one of them slowed down.
        injected: how much slower the second half was made on purpose, as 0.05.
        seconds: that all of it took.
    """

    stage: int
    number: int
    case: str
    control: Control = ""
    injected: float = 0.0
    seconds: float = 0.0
    pair: Pair

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dict(plain(asdict(self)))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Make the entry of which `to_json` made `data`.

        Raises:
            LookupError, TypeError, ValueError: it did not.
        """
        found = data["pair"]
        outcomes = [_outcome(outcome) for outcome in found["outcomes"]]
        listed = {name: tuple(found[name]) for name in (field.name for field in fields(Pair)) if name in found}
        pair = Pair(**listed | {"outcomes": (outcomes[0], outcomes[1])})
        if not len(pair.base) == len(pair.head) == len(pair.disturbed) or min((*pair.base, *pair.head), default=1) <= 0:
            raise ValueError("turns do not match")
        return cls(**{field.name: data[field.name] for field in fields(cls)} | {"pair": pair})


def _outcome(data: Mapping[str, Any] | None) -> Outcome | None:
    return None if data is None else Outcome(Status(data["status"]), data["reason"])
