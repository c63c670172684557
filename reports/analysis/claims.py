"""What the course's notes claim, held against what was measured: holds, does not hold, or depends.

Each claim is a function of records; a verdict needs an interval that excludes the contrary.
"""

import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.records.curves import Ratio, ratio
from bench.records.record import Record, Status
from bench.records.summary import Value, summarise, value_of
from suites import units


@dataclass(frozen=True)
class Judgement:
    """A claim, what came of it, and the figures behind that, in text and in numbers."""

    claim: str
    verdict: str
    figures: str
    numbers: dict[str, Any]


Parts = list[tuple[str, bool | None, dict[str, Any]]]
"""(what was found, whether it is as claimed or None where the samples cannot tell, its numbers)."""


INDEXED = ("architecture", "operation")


class Measured:
    """The measured records, to be asked for."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = [record for record in records if record.outcome.status is Status.MEASURED]
        self._of: dict[tuple[str, Any], list[Record]] = {}
        for name, record in itertools.product(INDEXED, self._records):
            self._of.setdefault((name, record.case.get(name)), []).append(record)

    def all(self, **wanted: Any) -> list[Record]:
        """Those whose case has these values."""
        index = next((name for name in INDEXED if name in wanted), None)
        records = self._records if index is None else self._of.get((index, wanted[index]), [])
        return [
            record for record in records
            if all(record.case.get(name) == value for name, value in wanted.items())
        ]  # fmt: skip

    def pairs(self, axis: str, first: Any, second: Any, **wanted: Any) -> list[tuple[Record, Record]]:
        """Records that differ in nothing but this axis."""
        others = {_without(axis, record): record for record in self.all(**wanted, **{axis: second})}
        found = ((record, others.get(_without(axis, record))) for record in self.all(**wanted, **{axis: first}))
        return [(record, other) for record, other in found if other is not None]


def _without(axis: str, record: Record) -> tuple[Any, ...]:
    dropped = {axis, "parameters"}
    return tuple(sorted((name, str(value)) for name, value in record.case.items() if name not in dropped))


def judge(records: Iterable[Record]) -> list[Judgement]:
    """A judgement for each claim that these records have something to say about."""
    everything = [record for record in records if record.outcome.status is Status.MEASURED]
    measured, found = Measured(everything), []
    undisturbed = Measured(record for record in everything if not record.disturbed)
    for claim, parts_of in CLAIMS.items():
        parts = parts_of(measured if claim in COUNTED else undisturbed)
        if parts:
            found.append(_judgement(claim, parts))
        elif parts_of(measured):
            found.append(Judgement(claim, "not certain", "all that it could be told by was disturbed", {}))
    return found


def _judgement(claim: str, parts: Parts) -> Judgement:
    held = [hold for _, hold, _ in parts]
    if all(held):
        verdict = "holds"
    elif all(hold is False for hold in held):
        verdict = "does not hold"
    else:
        verdict = "depends" if True in held and False in held else "not certain"
    numbers = {f"{index}": part for index, (_, _, part) in enumerate(parts)}
    return Judgement(claim, verdict, "; ".join(text for text, _, _ in parts), numbers)


def inplace_relu(measured: Measured) -> Parts:
    """Peak memory over what the process held before, launch by launch."""
    parts: Parts = []
    for plain, inplace in measured.pairs("architecture", "resnet18", "resnet18_inplace"):
        before, after = _peaks(plain), _peaks(inplace)
        if not before or not after:
            continue
        saved = statistics.median(before) - statistics.median(after)
        low, high = min(before) - max(after), max(before) - min(after)
        total = statistics.median(before)
        alone = min(len(before), len(after)) < 2
        hold = None if alone or low <= 0 <= high else saved > 0
        text = (
            f"{_where(plain)}: saves {units.octets(saved)} [{units.octets(low)}, {units.octets(high)}] of "
            f"{units.octets(total)} ({_launches(plain)})"
        )
        parts.append((text, hold, {"saved_bytes": saved, "low": low, "high": high, "peak_bytes": total}))
    return parts


def _peaks(record: Record) -> list[float]:
    """Of each launch, without what a process holds anyway where that is the host's memory."""
    if record.sampling is None or record.memory is None:
        return []
    base = record.memory.base_host_bytes or 0 if record.memory.peak_allocated_bytes is None else 0
    return [launch.peak_bytes - base for launch in record.sampling.launches if launch.peak_bytes is not None]


def fewer_parameters(measured: Measured) -> Parts:
    """Parameters and time, against AlexNet at the same batch."""
    parts: Parts = []
    for name in ("nin", "googlenet"):
        for alexnet, other in _per_image(measured, "alexnet", name):
            weights = other.case["parameters"] / alexnet.case["parameters"]
            work = _flops(other) / _flops(alexnet)
            time = _seconds_ratio(other, alexnet)
            text = (
                f"{name} {_where(other)}{_sizes(other, alexnet)}: {units.number(weights)} of AlexNet's parameters, "
                f"{units.number(work)} of its FLOPs, {_share(time)} of its time per image; {_rate_per_byte(other)}"
            )
            parts.append((text, weights < 1, {"parameters": weights, "flops": work, "time": vars(time)}))
    return parts


def _per_image(measured: Measured, first: str, second: str) -> list[tuple[Record, Record]]:
    """Pairs of nets at the same batch, whatever size of image each is made for."""
    keys = ("mode", "batch_size", "precision", "memory_format", "compile_mode", "device", "threads",
            "cudnn_benchmark", "power_limit")  # fmt: skip
    seconds = {tuple(map(record.case.get, keys)): record for record in measured.all(architecture=second)}
    firsts = {tuple(map(record.case.get, keys)): record for record in measured.all(architecture=first)}
    return [(firsts[key], seconds[key]) for key in firsts if key in seconds and key[1] == _common_batch(measured)]


def _common_batch(measured: Measured) -> int | None:
    """The batch at which VGG was measured: the one that all these nets share."""
    return next((record.case["batch_size"] for record in measured.all(architecture="vgg11")), None)


def _rate_per_byte(record: Record) -> str:
    if record.memory is None or record.flops is None:
        return "weights unknown"
    per_byte = record.flops.forward_per_image / record.memory.parameter_bytes
    return f"{units.number(per_byte)} FLOPs per image and byte of weights"


def vgg_price(measured: Measured) -> Parts:
    """Time, FLOPs and memory of VGG-11 over AlexNet's."""
    parts: Parts = []
    for alexnet, vgg in _per_image(measured, "alexnet", "vgg11"):
        time, work = _seconds_ratio(vgg, alexnet), _flops(vgg) / _flops(alexnet)
        text = f"{_where(vgg)}: {_share(time)} times the time, {units.number(work)} times the FLOPs"
        hold = time.value > 1 if time.certain else None
        parts.append((text, hold, {"time": vars(time), "flops": work}))
    return parts


def batch_norm(measured: Measured) -> Parts:
    """Seconds a step, steps to the loss, and their product."""
    steps = {name: _steps(measured, name) for name in ("lenet", "lenet_bn")}
    parts: Parts = []
    for plain, normalised in _pairs_of_lenets(measured):
        time = _seconds_ratio(normalised, plain)
        text = f"{_where(plain)}: a step takes {_share(time)} times as long"
        numbers: dict[str, Any] = {"step": vars(time)}
        hold: bool | None = None
        if all(steps.values()):
            fewer = statistics.median(steps["lenet_bn"]) / statistics.median(steps["lenet"])
            low, high = min(steps["lenet_bn"]) / max(steps["lenet"]), max(steps["lenet_bn"]) / min(steps["lenet"])
            whole = Ratio(time.value * fewer, (time.low or time.value) * low, (time.high or time.value) * high)
            text += (
                f", {units.number(fewer)} [{units.number(low)}, {units.number(high)}] as many steps reach the loss "
                f"(range of {len(steps['lenet'])} seeds), so it takes {_share(whole)} of the time"
            )
            hold = whole.value < 1 if whole.certain else None
            numbers |= {"steps": fewer, "whole": vars(whole)}
        parts.append((text, hold, numbers))
    return parts


def _pairs_of_lenets(measured: Measured) -> list[tuple[Record, Record]]:
    return measured.pairs("architecture", "lenet", "lenet_bn", mode="training")


def _steps(measured: Measured, name: str) -> list[float]:
    return [value_of(record).value for record in measured.all(operation="convergence", variant=name)]


def one_by_one(measured: Measured) -> Parts:
    """FLOPs a byte and FLOP/s of 1 x 1 convolutions, against 3 x 3 ones of the same shape."""
    parts: Parts = []
    for layout in ("contiguous", "channels_last"):
        for one, three in measured.pairs("variant", f"k1_{layout}", f"k3_{layout}", operation="convolution"):
            rates = ratio(value_of(one), value_of(three))
            low, high = (_intensity(record, kernel) for record, kernel in ((one, 1), (three, 3)))
            size = "x".join(map(str, one.case["size"]))
            text = (
                f"{size} {layout} {one.case['precision']}: {low:.3g} FLOPs a byte against {high:.3g}, "
                f"{_share(rates)} of the FLOP/s"
            )
            hold = rates.value < 1 if rates.certain else None
            parts.append((text, hold, {"rate": vars(rates), "intensity": low, "intensity_3x3": high}))
    return parts


def _intensity(record: Record, kernel: int) -> float:
    """FLOPs over the bytes of input, output and weights, each once."""
    images, channels, pixels = record.case["size"]
    octets = {"fp32": 4, "tf32": 4}.get(record.case["precision"], 2)
    moved = octets * (2 * images * channels * pixels**2 + channels**2 * kernel**2)
    return float(2 * images * channels**2 * kernel**2 * pixels**2 / moved)


def larger_batches(measured: Measured) -> Parts:
    """Time per image of the smallest batch, over the best."""
    parts: Parts = []
    series: dict[tuple[Any, ...], list[Record]] = {}
    for record in measured.all(kind="net"):
        key = tuple(str(value) for name, value in record.case.items() if name != "batch_size")
        series.setdefault(key, []).append(record)
    for records in series.values():
        ordered = sorted(records, key=lambda record: record.case["batch_size"])
        if len(ordered) < 3:
            continue
        values = {record.id: value_of(record) for record in ordered}
        best = max(ordered, key=lambda record: values[record.id].value)
        gained = ratio(values[best.id], values[ordered[0].id])
        text = (
            f"{best.case['architecture']} {_where(best, batch=False)}: batch {best.case['batch_size']} does "
            f"{_share(gained)} times the images a second of batch {ordered[0].case['batch_size']}"
        )
        last = ordered[-1]
        if last is not best:
            text += f", batch {last.case['batch_size']} {_share(ratio(values[last.id], values[ordered[0].id]))} times"
        hold = False if best is ordered[0] else True if gained.certain else None
        parts.append((text, hold, {"gain": vars(gained), "best_batch": best.case["batch_size"]}))
    return parts


CLAIMS: dict[str, Callable[[Measured], Parts]] = {
    "nn.ReLU(inplace=True) saves memory": inplace_relu,
    "NiN and GoogLeNet do with fewer parameters than AlexNet": fewer_parameters,
    "VGG is slower than AlexNet": vgg_price,
    "batch normalisation reaches the same loss sooner": batch_norm,
    "1x1 convolutions have too little arithmetic for their bytes to run as fast as 3x3 ones": one_by_one,
    "larger batches take less time per image": larger_batches,
}
"""Claim -> what was found. Source: the notes of the d2l course, its sections 7.1 to 7.6."""
COUNTED = frozenset({"nn.ReLU(inplace=True) saves memory"})
"""Claims that rest on no time, and so bear a disturbance."""


def _flops(record: Record) -> int:
    assert record.flops is not None
    return record.flops.step


def _seconds_ratio(first: Record, second: Record) -> Ratio:
    return ratio(_seconds(first), _seconds(second))


def _seconds(record: Record) -> Value:
    found = summarise(record)
    return Value("seconds", found.median_seconds, found.low_seconds, found.high_seconds)


def _share(found: Ratio) -> str:
    interval = "" if found.low is None else f" [{units.number(found.low)}, {units.number(found.high)}]"
    return f"{units.number(found.value)}{interval}"


def _where(record: Record, *, batch: bool = True) -> str:
    case = record.case
    words: Sequence[str] = [case["mode"], f"b{case['batch_size']}" if batch else "", case["precision"], case["device"]]
    return " ".join(filter(None, words))


def _sizes(first: Record, second: Record) -> str:
    """Said where the two nets are made for images of different sizes."""
    own, other = (record.case["input_shape"][-1] for record in (first, second))
    return "" if own == other else f", {own} px against {other}"


def _launches(record: Record) -> str:
    count = len(record.sampling.launches) if record.sampling else 0
    return f"range of {count} launches" if count > 1 else "one launch each: no interval"
