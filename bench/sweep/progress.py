"""What a person sees while a sweep runs: lines of text, made of records."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bench.records.record import Record, Status
from bench.records.summary import Summary, summarise, value_of
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
NOISY, WIDE = "NOISY", "wide"


def machine(environment: Mapping[str, Any]) -> str:
    """`Intel Xeon, 2 cores, AVX512; cuda:0 NVIDIA H100; torch 2.14.1`: what is measured, in a line."""
    host, torch = environment["host"], environment["torch"]
    cpu = f"{host['cpu']['model']}, {host['cores']} cores, {torch['cpu_capability']}"
    others = [
        f"{device['name']} {device.get('reason') or device['model'] or '(model unknown)'}"
        for device in environment["devices"][1:]
    ]
    return "; ".join([cpu, *others, f"torch {torch['version']}"])


def word(record: Record) -> str:
    """The verdict, in a word."""
    sampling = record.sampling
    if sampling is not None and record.outcome.status is Status.MEASURED:
        return NOISY if sampling.noisy else WIDE if sampling.wide else WORDS[Status.MEASURED]
    return WORDS[record.outcome.status]


def line(record: Record) -> str:
    """`id  median [low, high]  images/s  ±half width  memory`, or the reason why there is none of it."""
    if record.outcome.status is not Status.MEASURED:
        return f"{record.id}  {record.outcome.reason}"
    found = summarise(record)
    value = value_of(record)
    parts = [
        units.interval(found.median_seconds, found.low_seconds, found.high_seconds),
        units.metric(value.metric, value.value),
        f"±{units.percent(found.half_width)}{_launches(found)}",
        *([units.octets(peak_bytes(record))] if record.work is None else []),
    ]
    noisy = "; ".join(record.sampling.noisy) if record.sampling else ""
    return "  ".join([record.id, *parts, *([noisy] if noisy else [])])


def brief(record: Record) -> str:
    """`id  median`, or the reason why there is none: one launch of several."""
    if record.outcome.status is not Status.MEASURED:
        return f"{record.id}  {record.outcome.reason}  {word(record)}"
    return f"{record.id}  {units.seconds(summarise(record).median_seconds)}"


def _launches(found: Summary) -> str:
    """How the spread between launches compares with the one within."""
    if found.launches == 1:
        return ""
    return f" between {found.launches} launches (±{units.percent(found.within_half_width)} within one)"


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
    """How far a sweep is, and how long the rest will take.

    Args:
        expected_seconds: what each planned case may take, by id, in order; 0 for one that will not be measured.
    """

    def __init__(self, expected_seconds: Mapping[str, float]) -> None:
        self.planned = tuple(expected_seconds)
        self._expected = dict(expected_seconds)
        self._left = dict(expected_seconds)
        self._ended: list[str] = []
        self._spent_seconds = 0.0
        self._start = time.monotonic()

    def __len__(self) -> int:
        return len(self.planned)

    def begin(self) -> None:
        """A case begins."""
        self._start = time.monotonic()

    def advance(self, case_id: str, left_seconds: float) -> None:
        """A part of it is done; the rest may take `left_seconds`."""
        if self._left[case_id]:
            self._spent_seconds += time.monotonic() - self._start
        self._left[case_id] = left_seconds

    def end(self, case_id: str) -> None:
        """It has ended."""
        self.advance(case_id, 0.0)
        self._ended.append(case_id)

    @property
    def done(self) -> str:
        """`[ 13/108]`, of the cases that have ended."""
        return f"[{len(self._ended):{len(str(len(self)))}}/{len(self)}]"

    @property
    def eta_seconds(self) -> float | None:
        """What the rest may take, less or more as the cases so far took less or more; None before the first."""
        left = sum(self._left.values())
        done = sum(self._expected.values()) - left
        return self._spent_seconds * left / done if done else None
