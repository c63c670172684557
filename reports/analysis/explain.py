"""`dlhw explain`: in ten lines, why a case takes as long as it does, and what helped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.machine.bounds import Bounds, bounds, classify, is_compiled, work_of
from bench.machine.ceilings import Ceilings
from bench.records.curves import Ratio, ratio
from bench.records.record import Counts, Record, Status
from bench.records.summary import page_faults, summarise, value_of
from reports.analysis.roofline import ceilings_of
from reports.results import frames
from suites import cases, units
from suites.errors import DlhwError, did_you_mean

OPERATORS_SHOWN = 3
TOGGLES = ("precision", "memory_format", "compile_mode", "threads", "batch_size")
"""Axes that a person may set otherwise, with the same net on the same device."""
OF_GPUS = {"cudnn_benchmark": "off", "power_limit": "default"}
"""More of them, that few devices have, and what they are where a case does not say."""


@dataclass(frozen=True)
class Explanation:
    """Lines of (subject, text), and the numbers behind them."""

    lines: tuple[tuple[str, str], ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """Another value of one axis, and how many times as fast it is, per image."""

    axis: str
    value: Any
    gain: Ratio
    case: str
    disturbed: bool = False


def explain(paths: Sequence[Path], case_id: str) -> Explanation:
    """Explain the case of this id, from its record, its neighbours and the ceilings of its machine.

    Raises:
        DlhwError: there is no such case in these files, or it was not measured; the text says why.
    """
    files = [frames.results(path) for path in paths]
    file, record = _find(files, case_id)
    known = ceilings_of(files)[file.common["fingerprint"]]
    neighbours = [other for other in file.records if other.outcome.status is Status.MEASURED]
    found = settings(record, neighbours)
    lines: list[tuple[str, str]] = [("time", _time(record)), *_bound_lines(record, known), *_memory(record)]
    lines += [("page faults", text) for text in _page_faults(record)]
    lines += [("note", note) for note in (record.notes or {}).values()]
    lines += [("settings", text) for text in _setting_lines(record, found)]
    facts: dict[str, Any] = {"case": record.id, "toggles": [asdict(setting) for setting in found]}
    if record.traffic is not None and record.flops is not None:
        work = work_of(record)
        limits = bounds(work, known)
        facts |= {"bounds": limits.known(), "bound": classify(work.seconds, limits)[0], "seconds": work.seconds}
    if faults := page_faults(record):
        facts |= {"page_faults": asdict(faults)}
    return Explanation(tuple(lines), facts)


def _find(files: Sequence[frames.Results], case_id: str) -> tuple[frames.Results, Record]:
    there = [(file, record) for file in files for record in file.records if record.id == case_id]
    if not there:
        cases.parse(case_id)
        ids = [record.id for file in files for record in file.records]
        raise DlhwError(f"--case {case_id}: not in these results{did_you_mean(case_id, ids)}; dlhw table shows the ids")
    file, record = there[-1]
    if record.outcome.status is not Status.MEASURED:
        raise DlhwError(f"--case {case_id}: {record.outcome.status}: {record.outcome.reason}")
    if record.work is not None:
        raise DlhwError(f"--case {case_id}: a micro-benchmark explains others: dlhw findings")
    return file, record


def _time(record: Record) -> str:
    found = summarise(record)
    noisy = "; ".join(record.sampling.noisy) if record.sampling else ""
    launches = "1 process" if found.launches == 1 else f"{found.launches} processes"
    return (
        f"{units.interval(found.median_seconds, found.low_seconds, found.high_seconds)} a step, "
        f"{units.metric(value_of(record).metric, value_of(record).value)}, {launches}"
        + (f"; NOISY: {noisy}" if noisy else "")
    )


def _bound_lines(record: Record, known: Ceilings) -> Iterator[tuple[str, str]]:
    if record.flops is None or record.traffic is None:
        yield "bounds", "unknown: the net's FLOPs or bytes could not be counted"
        return
    work = work_of(record)
    found = bounds(work, known)
    yield "arithmetic", _arithmetic(record, found)
    yield "memory traffic", _traffic(record, found)
    yield "dispatch", _dispatch(record, found)
    bound, decided_by = classify(work.seconds, found)
    if record.counts is not None:
        yield "work", _counted(record.counts)
    yield "so it is", f"{bound or 'not classified'}: {decided_by}"


def _arithmetic(record: Record, found: Bounds) -> str:
    work = work_of(record)
    said = f"{units.rate(work.flops, 'FLOP')} at {units.rate(work.flops / work.seconds, 'FLOP/s')}"
    if found.compute is None:
        return f"{said}; this machine's best is not known"
    peak = work.flops / found.compute
    return (
        f"{said}, {units.percent(found.compute / work.seconds)} of the best seen here "
        f"({units.rate(peak, 'FLOP/s')}): at that rate {units.seconds(found.compute)}"
    )


def _traffic(record: Record, found: Bounds) -> str:
    assert record.traffic is not None
    assert record.flops is not None
    traffic, step = record.traffic, record.flops.step
    said = (
        f"at least {units.octets(traffic.compulsory_bytes)} ({step / traffic.compulsory_bytes:.3g} FLOPs a byte), "
        f"as eager operators {units.octets(traffic.operator_bytes)} ({step / traffic.operator_bytes:.3g})"
    )
    if found.bandwidth is None:
        return f"{said}; this machine's bandwidth is not known"
    which = "the least" if is_compiled(record) else "the operators'"
    return f"{said}; {which} take {units.seconds(found.bandwidth)} at the bandwidth seen here"


def _dispatch(record: Record, found: Bounds) -> str:
    assert record.traffic is not None
    if is_compiled(record):
        return f"{record.traffic.operators} eager operators, fused into nobody knows how many kernels"
    said = f"{record.traffic.operators} operators"
    return f"{said}: {units.seconds(found.dispatch)} of asking" if found.dispatch is not None else said


def _counted(counts: Counts) -> str:
    """What needs no clock to be told."""
    if counts.operators is None or counts.dispatched is None:
        return counts.reasons.get("operators", "not counted")
    most = sorted(counts.operators.items(), key=lambda item: (-item[1], item[0]))[:OPERATORS_SHOWN]
    said = f"{counts.dispatched} operators dispatched, most of all {', '.join(f'{n} {name}' for name, n in most)}"
    said += f"; {counts.allocations} allocations of {units.octets(counts.allocated_bytes)}"
    if counts.graphs is not None:
        said += f"; compiled to {counts.graphs} graphs, {counts.kernels} kernels of Inductor's own"
    return said + (f"; {units.rate(counts.instructions)} instructions" if counts.instructions is not None else "")


def _memory(record: Record) -> Iterator[tuple[str, str]]:
    memory = record.memory
    if memory is None:
        return
    on_device = memory.peak_allocated_bytes is not None
    peak = memory.peak_allocated_bytes if on_device else memory.peak_host_bytes
    before = "" if on_device else f", {units.octets(memory.base_host_bytes)} of it before there was a net"
    yield "memory", f"{units.octets(peak)} at the peak{before}; weights {units.octets(memory.parameter_bytes)}"


def _page_faults(record: Record) -> Iterator[str]:
    if found := page_faults(record):
        share = units.percent(found.kernel_share)
        yield (
            f"{units.number(found.a_step)} a step; the kernel was at work for {share} of the time: memory given back "
            "is mapped anew, which another allocator may spare (docs/method.md, Page faults)"
        )


def settings(record: Record, others: Sequence[Record]) -> list[Setting]:
    """Cases that differ from this one in one of `TOGGLES`, the largest gain first."""
    found = []
    for other in others:
        differing = [axis for axis in {**record.case, **other.case}
                     if axis != "parameters" and other.case.get(axis) != record.case.get(axis)]  # fmt: skip
        if len(differing) == 1 and differing[0] in (*TOGGLES, *OF_GPUS):
            gain = ratio(value_of(other), value_of(record))
            axis, disturbed = differing[0], bool(other.disturbed or record.disturbed)
            found.append(Setting(axis, other.case.get(axis, OF_GPUS.get(axis)), gain, other.id, disturbed))
    return sorted(found, key=lambda setting: -setting.gain.value)


def _setting_lines(record: Record, found: Sequence[Setting]) -> Iterator[str]:
    """The best of each axis; what was not tried."""
    best: dict[str, Setting] = {}
    for setting in found:
        best.setdefault(setting.axis, setting)
    for position, setting in enumerate(best.values()):
        sure = setting.gain.certain and not setting.disturbed
        most = "helped most here: " if position == 0 and setting.gain.value > 1 and sure else ""
        gain = setting.gain
        interval = "" if gain.low is None else f" [{units.number(gain.low)}, {units.number(gain.high)}]"
        unsure = ", but one of the two was disturbed" if setting.disturbed else "" if sure else ", which may be noise"
        times = f"{units.number(gain.value)} times{interval}"
        yield f"{most}{setting.axis} {setting.value}: {times} as many images/s{unsure}"
    missing = [axis for axis in TOGGLES if axis not in best]
    if missing:
        yield f"not in these results, with all else equal: other values of {', '.join(missing)}"
