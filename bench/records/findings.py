"""One sentence for each micro-benchmark: what its curve says about this machine.

Pure functions of records, standard library only. A sentence about a difference gives its interval, or says that the
samples cannot tell.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.records.curves import Plateau, Ratio, crossing, plateaus, ratio
from bench.records.record import Record, Status
from bench.records.summary import Value, value_of
from suites import units
from suites.micro import OPERATIONS, Micro

ALIGNED = 8
"""Sizes that are multiples of it are what the hardware likes."""
QUEUE_FULL = 3.0
"""A launch that takes so many times as long as the first ones waits for the queue."""


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        subject: operation and device, and what else tells it from its neighbours.
        question: the operation's.
        text: the finding, in a sentence.
        figures: the numbers in it, SI units.
    """

    operation: str
    subject: str
    question: str
    text: str
    figures: Mapping[str, Any] = field(default_factory=dict)


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


def findings(records: Iterable[Record], host: Mapping[str, Any]) -> list[Finding]:
    """An finding for each operation and device that has enough measured records, in the order of `OPERATIONS`."""
    measured = [record for record in records if record.outcome.status is Status.MEASURED]
    nets = [(record.case, value_of(record)) for record in measured if record.work is None]
    points = [Point(Micro.from_json(record.case), value_of(record)) for record in measured if record.work is not None]
    found = []
    for operation, known in OPERATIONS.items():
        own = [point for point in points if point.case.operation == operation]
        for device in dict.fromkeys(point.case.device for point in own):
            there = [point for point in own if point.case.device == device]
            sentence = ANSWERS[operation](Curve(there, host if device == "cpu" else {}, nets))
            if sentence is not None:
                found.append(Finding(operation, f"{operation} {device}", known.question, *sentence))
    return found


def memory_latency(curve: Curve) -> Sentence | None:
    """Plateaus of dependent reads, beside the caches that the system reports."""
    chase = curve.select("chase")
    if not chase:
        return None
    found = plateaus([(point.size, point.value.value) for point in chase])
    text = f"a dependent read takes {_plateaus(found, units.seconds)}{_reported(curve.host)}"
    return text, {"plateaus": [vars(plateau) for plateau in found], "caches": curve.host.get("caches")}


def stride(curve: Curve) -> Sentence | None:
    """What the worst stride costs, and columns against rows."""
    steps, rows, columns = curve.select("step"), curve.select("rows"), curve.select("columns")
    parts, figures = [], {}
    if len(steps) > 1:
        worst = ratio(steps[-1].value, steps[0].value)
        parts.append(
            f"every {steps[-1].size:.0f}th number costs {_times(worst)} what the next one does "
            f"({units.seconds(steps[-1].value.value)} and {units.seconds(steps[0].value.value)})"
        )
        figures["step"] = vars(worst)
    if rows and columns:
        against = ratio(columns[0].value, rows[0].value)
        parts.append(f"a matrix read by columns takes {_times(against)} the time of one read by rows")
        figures["columns_over_rows"] = vars(against)
    return ("; ".join(parts), figures) if parts else None


def bandwidth(curve: Curve) -> Sentence | None:
    """Plateaus of the falling part, for each number of threads: what is left of them is dispatch."""
    parts, figures = [], {}
    for threads in curve.threads:
        points = [(point.size, point.value.value) for point in curve.select(threads=threads)]
        half = max(value for _, value in points) / 2
        begin = next(index for index, (_, value) in enumerate(points) if value >= half)
        found = plateaus(points[begin:])
        parts.append(f"{_threads(threads)}: {_plateaus(found, lambda value: units.rate(value, 'B/s'))}")
        figures[f"t{threads}"] = [vars(plateau) for plateau in found]
    return f"by the size of an array, {'; '.join(parts)}{_reported(curve.host)}", figures


def threads(curve: Curve) -> Sentence | None:
    """Speed-up over one thread, of what computes and of what moves data."""
    parts, figures = [], {}
    for variant in curve.variants:
        points = sorted(curve.select(variant), key=lambda point: point.case.threads)
        if len(points) < 2 or points[0].case.threads != 1:
            continue
        most = points[-1].case.threads
        gained = ratio(points[-1].value, points[0].value)
        parts.append(f"{_threads(most)} make a {variant} {_times(gained)} as fast as one")
        figures[variant] = {"threads": most, **vars(gained)}
    return ("; ".join(parts), figures) if parts else None


def dispatch(curve: Curve) -> Sentence | None:
    """The floor t0, and n1/2: as many elements take as long as asking (Hockney & Jesshope, 1981)."""
    parts, figures = [], {}
    for threads in curve.threads:
        points = [(point.size, point.value.value) for point in curve.select(threads=threads)]
        floor = statistics.median(value for _, value in points[:3])
        half = crossing(points, 2 * floor)
        work = f", as long as the work on {half:,.0f} elements" if half else ""
        parts.append(f"{_threads(threads)}: an operation costs {units.seconds(floor)} beside its work{work}")
        figures[f"t{threads}"] = {"floor_seconds": floor, "half_elements": half}
    return "; ".join(parts), figures


def vectorised(curve: Curve) -> Sentence | None:
    """The loop over the vector."""
    loop, vector = curve.select("loop"), curve.select("vector")
    if not loop or not vector:
        return None
    lost = ratio(loop[0].value, vector[0].value)
    return f"an element costs {_times(lost)} as much in a Python loop as in one operation", vars(lost)


def best_rates(curve: Curve) -> Sentence | None:
    """The best rate of each precision, with all threads, and where it was reached."""
    most = max(curve.threads)
    parts, figures = [], dict[str, Any]()
    for precision in dict.fromkeys(point.case.precision for point in curve.select(threads=most)):
        points = [point for point in curve.select(threads=most) if point.case.precision == precision]
        best = max(points, key=lambda point: point.value.value)
        where = "x".join(map(str, best.case.size)) + (f" {best.case.variant}" if best.case.variant else "")
        parts.append(f"{precision} {units.rate(best.value.value, 'FLOP/s')} ({where})")
        figures[precision] = {"flops_per_second": best.value.value, "case": best.case.id}
    return f"at best {', '.join(parts)}, {_threads(most)}", figures


def alignment(curve: Curve) -> Sentence | None:
    """Sizes that are multiples of 8, against the median, the best and the worst of the others."""
    parts, figures = [], {}
    for variant in curve.variants:
        for precision in dict.fromkeys(point.case.precision for point in curve.select(variant)):
            points = [point for point in curve.select(variant) if point.case.precision == precision]
            liked = [point.value.value for point in points if point.case.size[0] % ALIGNED == 0]
            others = [point.value.value for point in points if point.case.size[0] % ALIGNED]
            if not liked or len(others) < 2:
                continue
            middle = statistics.median(liked)
            gain = Ratio(middle / statistics.median(others), middle / max(others), middle / min(others))
            parts.append(f"{variant} {precision} {_times(gain)}".rstrip(","))
            figures[f"{variant} {precision}"] = vars(gain)
    text = f"multiples of {ALIGNED} are so much faster than the sizes around them: {'; '.join(parts)}"
    return (text, figures) if parts else None


def fusion(curve: Curve) -> Sentence | None:
    """The longest chain, eager against compiled."""
    compiled = {point.case.size: point for point in curve.select("compiled")}
    both = [(point, compiled[point.case.size]) for point in curve.select("eager") if point.case.size in compiled]
    if not both:
        return None
    eager, fused = max(both, key=lambda pair: pair[0].case.size)
    gained = ratio(eager.value, fused.value)
    return f"{eager.case.size[0]} operations in one kernel are {_times(gained)} as fast as one by one", vars(gained)


def transfer(curve: Curve) -> Sentence | None:
    """The largest transfer's bandwidth, and the smallest's time, by direction and memory."""
    parts, figures = [], {}
    for variant in curve.variants:
        points = curve.select(variant)
        best, first = max(point.value.value for point in points), points[0]
        seconds = first.size / first.value.value
        parts.append(
            f"{variant.replace('_', ' ')} {units.rate(best, 'B/s')}, {first.size:.0f} B in {units.seconds(seconds)}"
        )
        figures[variant] = {"bytes_per_second": best, "least_seconds": seconds}
    return "; ".join(parts), figures


def launch(curve: Curve) -> Sentence | None:
    """The cost to the host, and the wait."""
    enqueue, wait = curve.select("enqueue"), curve.select("synchronise")
    if not enqueue or not wait:
        return None
    asked, waited = enqueue[0].value.value, wait[0].value.value
    text = f"a launch costs the host {units.seconds(asked)}; with the wait for its end it takes {units.seconds(waited)}"
    return text, {"enqueue_seconds": asked, "synchronise_seconds": waited}


def queue(curve: Curve) -> Sentence | None:
    """The number of launches after which one waits; what one costs is least where the clock's part in it is."""
    points = curve.select()
    first = min(point.value.value for point in points)
    full = next((point.size for point in points if point.value.value > QUEUE_FULL * first), None)
    most = points[-1].size
    depth = (
        f"waits once about {full:.0f} are in the queue" if full else f"ran {most:.0f} launches ahead without waiting"
    )
    return f"the host {depth}; a launch costs it {units.seconds(first)} before", {"launches": full, "seconds": first}


def overlap(curve: Curve) -> Sentence | None:
    """How much of the shorter of copy and compute is hidden behind the longer."""
    found = {variant: curve.select(variant)[0].value.value for variant in curve.variants}
    if found.keys() != {"compute", "copy", "both"}:
        return None
    hidden = (found["compute"] + found["copy"] - found["both"]) / min(found["compute"], found["copy"])
    text = (
        f"{units.percent(hidden)} of the shorter of the two is hidden: computing {units.seconds(found['compute'])}, "
        f"copying {units.seconds(found['copy'])}, both {units.seconds(found['both'])}"
    )
    return text, {**found, "hidden": hidden}


def all_reduce(curve: Curve) -> Sentence | None:
    """The best bandwidth, and what the smallest costs."""
    points = curve.select()
    best = max(points, key=lambda point: point.value.value)
    least = points[0]
    processes = least.case.processes
    seconds = least.size * 2 * (processes - 1) / processes / least.value.value
    text = (
        f"{processes} processes add up {units.octets(best.size)} at {units.rate(best.value.value, 'B/s')} "
        f"of bus bandwidth; {units.octets(least.size)} take {units.seconds(seconds)}"
    )
    return text, {"bytes_per_second": best.value.value, "least_seconds": seconds}


def scaling(curve: Curve) -> Sentence | None:
    """Efficiency: the rate of k processes over k times that of one, each with as many images."""
    parts, figures = [], {}
    for variant in curve.variants:
        points = curve.select(variant)
        alone = next((point for point in points if point.case.processes == 1), None)
        for point in points:
            if alone is None or point is alone:
                continue
            gained = ratio(point.value, alone.value)
            efficiency = _scaled(gained, 1 / point.case.processes)
            parts.append(
                f"{point.case.processes} processes train {variant} {_times(gained)} as fast as one, "
                f"efficiency {units.percent(efficiency.value)}"
            )
            figures[f"{variant} {point.case.processes}"] = vars(efficiency)
    return ("; ".join(parts), figures) if parts else None


def loader(curve: Curve) -> Sentence | None:
    """The best number of workers for each size of image, and the nets that certainly eat more than it gives."""
    parts, figures = [], {}
    for variant in curve.variants:
        best = max(curve.select(variant), key=lambda point: point.value.value)
        pixels = int(variant.lstrip("abcdefghijklmnopqrstuvwxyz"))
        fed = [(case, value) for case, value in curve.nets if case["input_shape"][-1] == pixels]
        hungry = [(case, value) for case, value in fed if value.value > best.value.value and _differ(value, best.value)]
        said = f"{pixels} px {units.images_per_second(best.value.value)} with {best.case.size[0]} workers"
        if hungry:
            case, value = max(hungry, key=lambda pair: pair[1].value)
            said += (
                f": starves {len(hungry)} of {len(fed)} cases, most {case['architecture']} {case['mode']} "
                f"{case['precision']}, which eats {units.images_per_second(value.value)}"
            )
        elif fed:
            said += f": enough for all {len(fed)} cases of that size, as far as can be told"
        parts.append(said)
        figures[variant] = {
            "images_per_second": best.value.value, "workers": best.case.size[0],
            "starved": len(hungry), "nets": len(fed),
        }  # fmt: skip
    return "; ".join(parts), figures


def convergence(curve: Curve) -> Sentence | None:
    """The median over seeds, and their range."""
    parts, figures = [], {}
    for variant in curve.variants:
        steps = [point.value.value for point in curve.select(variant)]
        middle = statistics.median(steps)
        seeds = f"{len(steps)} seeds: {min(steps):.0f} to {max(steps):.0f}"
        parts.append(f"{variant} reaches the loss in {middle:.0f} steps ({seeds})")
        figures[variant] = {"steps": steps}
    return "; ".join(parts), figures


ANSWERS: Mapping[str, Callable[[Curve], Sentence | None]] = {
    "memory_latency": memory_latency,
    "stride": stride,
    "copy": bandwidth,
    "triad": bandwidth,
    "threads": threads,
    "dispatch": dispatch,
    "vectorised": vectorised,
    "matmul": best_rates,
    "convolution": best_rates,
    "alignment": alignment,
    "fusion": fusion,
    "transfer": transfer,
    "launch": launch,
    "queue": queue,
    "overlap": overlap,
    "all_reduce": all_reduce,
    "scaling": scaling,
    "loader": loader,
    "convergence": convergence,
}


def _plateaus(found: Sequence[Plateau], text: Callable[[float], str]) -> str:
    parts = [f"{text(plateau.value)} up to {units.octets(plateau.last)}" for plateau in found[:-1]]
    return ", ".join([*parts, f"{text(found[-1].value)} beyond" if parts else f"{text(found[-1].value)} at all sizes"])


def _reported(host: Mapping[str, Any]) -> str:
    caches = host.get("caches") or ()
    known = ", ".join(f"L{cache['level']} {units.octets(cache['bytes'])}" for cache in caches)
    return f" (the system reports {known})" if known else ""


def _times(found: Ratio) -> str:
    """`3.10 times [3.02, 3.19]`; said where the samples cannot tell it from once."""
    if found.low is None or found.high is None:
        return f"{units.number(found.value)} times (too few samples for an interval)"
    text = f"{units.number(found.value)} times [{units.number(found.low)}, {units.number(found.high)}]"
    return text if found.certain else f"{text}, which may be noise,"


def _differ(first: Value, second: Value) -> bool:
    return ratio(first, second).certain


def _scaled(found: Ratio, factor: float) -> Ratio:
    bounds = [None if bound is None else bound * factor for bound in (found.low, found.high)]
    return Ratio(found.value * factor, *bounds)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
