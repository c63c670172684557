"""What a person sees while a sweep runs: lines of text, made of records."""

import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from bench.record import Record, Status, median_interval
from suites import units

WORDS = {
    Status.MEASURED: "ok",
    Status.SKIPPED: "skipped",
    Status.OUT_OF_MEMORY: "OUT OF MEMORY",
    Status.TIMEOUT: "TIMEOUT",
    Status.CRASHED: "CRASHED",
    Status.FAILED: "FAILED",
    Status.WRONG_RESULT: "WRONG RESULT",
}
NOISY = "NOISY"


def word(record: Record) -> str:
    """The verdict, in a word."""
    noisy = record.sampling is not None and record.sampling.noisy
    return NOISY if noisy else WORDS[record.outcome.status]


def line(record: Record) -> str:
    """`id  median [low, high]  images/s  ±half width  memory`, or the reason why there is none of it."""
    if record.outcome.status is not Status.MEASURED:
        return f"{record.id}  {record.outcome.reason}"
    median = statistics.median(record.seconds)
    low, high = median_interval(record.seconds) or (None, None)
    half_width = None if low is None or high is None else (high - low) / 2 / median
    parts = [
        units.interval(median, low, high),
        units.images_per_second(record.case["batch_size"] / median),
        f"±{units.percent(half_width)}",
        units.octets(peak_bytes(record)),
    ]
    noisy = "; ".join(record.sampling.noisy) if record.sampling else ""
    return "  ".join([record.id, *parts, *([noisy] if noisy else [])])


def peak_bytes(record: Record) -> int | None:
    """The peak that a person asks for: of the accelerator where there is one, else of the process."""
    if record.memory is None:
        return None
    allocated = record.memory.peak_allocated_bytes
    return record.memory.peak_host_bytes if allocated is None else allocated


def tally(records: Iterable[Record]) -> str:
    """`94 ok, 2 NOISY, 1 OUT OF MEMORY`."""
    counts = Counter(word(record) for record in records)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"


class Progress:
    """How far a sweep is, and how long the rest will take, judged by the cases measured so far."""

    def __init__(self, planned: Sequence[str]) -> None:
        self.planned = tuple(planned)
        self._done = 0
        self._measured = 0
        self._seconds = 0.0
        self._start = time.monotonic()

    def __len__(self) -> int:
        return len(self.planned)

    def begin(self) -> None:
        """A case begins."""
        self._start = time.monotonic()

    def end(self, *, measured: bool) -> None:
        """It has ended; one that was skipped took no time worth counting."""
        self._done += 1
        if measured:
            self._measured += 1
            self._seconds += time.monotonic() - self._start

    @property
    def done(self) -> str:
        """`[ 13/108]`, of the cases that have ended."""
        return f"[{self._done:{len(str(len(self)))}}/{len(self)}]"

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to go; None before the first measured case."""
        if not self._measured:
            return None
        return self._seconds / self._measured * (len(self) - self._done)
