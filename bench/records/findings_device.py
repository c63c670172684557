"""Sentences of micro-benchmarks between host and device, of a device's cache, and of several processes."""

from typing import Any

from bench.records.curves import ratio
from bench.records.points import Curve, Point, Sentence, scaled, times
from suites import units

QUEUE_FULL = 3.0
"""A launch that takes so many times as long as the first ones waits for the queue."""


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
    """After how many launches one waits; what one costs is least where the clock's part in it is."""
    points = curve.select()
    first = min(point.value.value for point in points)
    waiting = [point for point in points if point.value.value > QUEUE_FULL * first]
    full = _room(waiting) if waiting else None
    most = points[-1].size
    depth = (
        f"waits once about {full:.0f} are in the queue" if full else f"ran {most:.0f} launches ahead without waiting"
    )
    return f"the host {depth}; a launch costs it {units.seconds(first)} before", {"launches": full, "seconds": first}


def _room(waiting: list[Point]) -> float:
    """How many launches a queue holds: so many less than the most that were made as kernels ended meanwhile.

    What a kernel takes is the slope of the two longest series; of a single one that waited its length is all there is.
    """
    *_, before, last = (waiting[0], *waiting)
    seconds = last.size * last.value.value
    slope = (seconds - before.size * before.value.value) / max(1.0, last.size - before.size)
    return float(round(last.size - seconds / slope)) if slope > 0 else last.size


def overlap(curve: Curve) -> Sentence | None:
    """How much of the shorter is hidden behind the longer: of copy and compute, of two products of one size."""
    found = {variant: curve.select(variant)[0] for variant in curve.variants}
    if len({point.case.size for point in found.values()}) != 1:
        return None
    seconds = {variant: point.value.value for variant, point in found.items()}
    parts, figures = [], dict[str, Any](seconds)
    if {"compute", "copy", "both"} <= seconds.keys():
        hidden = (seconds["compute"] + seconds["copy"] - seconds["both"]) / min(seconds["compute"], seconds["copy"])
        parts.append(
            f"{units.percent(hidden)} of the shorter of the two is hidden: computing "
            f"{units.seconds(seconds['compute'])}, copying {units.seconds(seconds['copy'])}, both "
            f"{units.seconds(seconds['both'])}"
        )
        figures["hidden"] = hidden
    if {"compute", "products"} <= seconds.keys():
        figures["hidden_product"] = 2 - seconds["products"] / seconds["compute"]
        parts.append(
            f"two products at once take {units.seconds(seconds['products'])}, one {units.seconds(seconds['compute'])}"
        )
    return ("; ".join(parts), figures) if parts else None


def cache(curve: Curve) -> Sentence | None:
    """How much faster data is read that the step before has left in the cache, at the size that gains most."""
    flushed = {point.case.size: point for point in curve.select("flushed")}
    both = [(point, flushed[point.case.size]) for point in curve.select("warm") if point.case.size in flushed]
    if not both:
        return None
    warm, cold = max(both, key=lambda pair: pair[0].value.value / pair[1].value.value)
    gained = ratio(warm.value, cold.value)
    text = (
        f"{units.octets(warm.size)} that lie in the cache are read {times(gained)} as fast as after it was flushed "
        f"({units.rate(warm.value.value, 'B/s')}, {units.rate(cold.value.value, 'B/s')})"
    )
    return text, vars(gained)


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
            efficiency = scaled(gained, 1 / point.case.processes)
            parts.append(
                f"{point.case.processes} processes train {variant} {times(gained)} as fast as one, "
                f"efficiency {units.percent(efficiency.value)}"
            )
            figures[f"{variant} {point.case.processes}"] = vars(efficiency)
    return ("; ".join(parts), figures) if parts else None
