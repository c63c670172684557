"""What a person sees while a sweep runs: lines of text, made of records."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
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
        planned: ids of the cases, in order.
        remaining_seconds: tells what the rest is thought to take.
    """

    def __init__(self, planned: Iterable[str], remaining_seconds: Callable[[], float]) -> None:
        self.planned = tuple(planned)
        self._remaining_seconds = remaining_seconds
        self._seen: set[str] = set()

    def __len__(self) -> int:
        return len(self.planned)

    def see(self, case_id: str) -> None:
        """A case has its figure, or will have none."""
        self._seen.add(case_id)

    @property
    def done(self) -> str:
        """`[ 13/108]`, of the cases that were seen."""
        return f"[{len(self._seen):{len(str(len(self)))}}/{len(self)}]"

    @property
    def eta_seconds(self) -> float:
        """What the rest is thought to take."""
        return self._remaining_seconds()


def eta(shown: Progress) -> str:
    """`ETA 3 min 5 s`."""
    return f"ETA {units.duration(shown.eta_seconds)}"
