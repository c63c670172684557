"""Whether a case would fit into memory: what a net needs grows by as much with every image.

Learnt from the peaks of measured cases of the same net, mode and precision; the processes' own share is part of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from bench.records.record import Record
from suites.case import Case


class MemoryNeed:
    """Peak bytes of cases, by those of measured ones."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._peaks: dict[Any, dict[int, float]] = defaultdict(dict)
        for record in records:
            peak = _peak(record)
            if peak is not None:
                case = Case.from_json(record.case)
                known = self._peaks[_kind(case)]
                known[case.batch_size] = max(peak, known.get(case.batch_size, 0))

    def of(self, case: Case) -> float | None:
        """Peak bytes of `case`; None where fewer than two batch sizes of its kind were measured."""
        return _on_line(self._peaks.get(_kind(case), {}), case.batch_size)


def _on_line(peaks: Mapping[int, float], batch_size: int) -> float | None:
    """On the line through the least and the largest batch, which is never taken to fall."""
    if len(peaks) < 2:
        return None
    least, most = min(peaks), max(peaks)
    slope = max(0.0, (peaks[most] - peaks[least]) / (most - least))
    return peaks[least] + slope * (batch_size - least)


def _peak(record: Record) -> float | None:
    if record.memory is None:
        return None
    allocated = record.memory.peak_allocated_bytes
    return record.memory.peak_host_bytes if allocated is None else allocated


def _kind(case: Case) -> tuple[Any, ...]:
    return (
        case.architecture, case.input_shape, case.signature, case.mode, case.precision, case.compile_mode, case.device,
    )  # fmt: skip
