"""One sentence for each micro-benchmark: what its curve says about this machine.

Pure functions of records, standard library only. A sentence about a difference gives its interval, or says that the
samples cannot tell.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.records import findings_device as device
from bench.records.curves import Plateau, Ratio, crossing, plateaus, ratio
from bench.records.points import Curve, Point, Sentence, differ, times
from bench.records.record import Record, Status
from bench.records.summary import value_of
from suites import units
from suites.micro import OPERATIONS, Micro

ALIGNED = 8
"""Sizes that are multiples of it are what the hardware likes."""


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


def findings(records: Iterable[Record], host: Mapping[str, Any]) -> list[Finding]:
    """An finding for each operation and device that has enough measured records, in the order of `OPERATIONS`."""
    measured = [record for record in records if record.outcome.status is Status.MEASURED]
    points = [Point(Micro.from_json(record.case), value_of(record)) for record in measured if record.work is not None]
    nets = [(record.case, value_of(record)) for record in measured if record.work is None] if points else []
    found = []
    for operation, known in OPERATIONS.items():
        own = [point for point in points if point.case.operation == operation]
        for place in dict.fromkeys(point.case.device for point in own):
            there = [point for point in own if point.case.device == place]
            sentence = ANSWERS[operation](Curve(there, host if place == "cpu" else {}, nets))
            if sentence is not None:
                found.append(Finding(operation, f"{operation} {place}", known.question, *sentence))
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
            f"every {steps[-1].size:.0f}th number costs {times(worst)} what the next one does "
            f"({units.seconds(steps[-1].value.value)} and {units.seconds(steps[0].value.value)})"
        )
        figures["step"] = vars(worst)
    if rows and columns:
        against = ratio(columns[0].value, rows[0].value)
        parts.append(f"a matrix read by columns takes {times(against)} the time of one read by rows")
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
        parts.append(f"{_threads(most)} make a {variant} {times(gained)} as fast as one")
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
    return f"an element costs {times(lost)} as much in a Python loop as in one operation", vars(lost)


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
            parts.append(f"{variant} {precision} {times(gain)}".rstrip(","))
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
    return f"{eager.case.size[0]} operations in one kernel are {times(gained)} as fast as one by one", vars(gained)


def loader(curve: Curve) -> Sentence | None:
    """The best number of workers for each size of image, and the nets that certainly eat more than it gives."""
    parts, figures = [], {}
    for variant in curve.variants:
        best = max(curve.select(variant), key=lambda point: point.value.value)
        pixels = int(variant.lstrip("abcdefghijklmnopqrstuvwxyz"))
        fed = [(case, value) for case, value in curve.nets if case["input_shape"][-1] == pixels]
        hungry = [(case, value) for case, value in fed if value.value > best.value.value and differ(value, best.value)]
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
    "transfer": device.transfer,
    "launch": device.launch,
    "queue": device.queue,
    "overlap": device.overlap,
    "cache": device.cache,
    "all_reduce": device.all_reduce,
    "scaling": device.scaling,
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


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
