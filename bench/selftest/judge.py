"""What the facts of `dlhw selftest` mean: each check a pure function, with a verdict, told by figures."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.doctor.diagnostics import Diagnostic
from bench.doctor.diagnostics import Verdict as Finding
from bench.machine.sensors import DISAGREEMENT
from bench.records.record import Outcome, Record, Status
from bench.records.summary import median_interval
from suites import units

AGREEMENT = 0.02
"""Two instruments that time the same product may differ by this."""
TOO_NOISY = 0.1
"""An interval of their ratio that is wider tells nothing."""
FP32_ERROR = 2.0**-15
"""More than any order of fp32's sums, or a fast convolution's transforms, lead to; TF32's is 2^-12 or so."""
UNIT_ROUNDOFF = {
    "tf32": 2.0**-11, "bf16": 2.0**-8, "fp16": 2.0**-11, "amp_bf16": 2.0**-8, "amp_fp16": 2.0**-11,
}  # fmt: skip
BETWEEN = (1 / 8, 4.0)
"""A product of operands that were rounded to u is about u away from fp64: never by less, in times of u, nor more.

Independent roundings add in squares: each operand's is u * 0.4 in the mean square (Higham & Mary, 2019).
"""
HOST_PEAK_BYTES = 4 * 2**20
"""What else a process on the host may have come to hold meanwhile."""
MISTAKES = frozenset({Status.CRASHED, Status.FAILED, Status.WRONG_RESULT})
"""Outcomes that tell of a mistake; the others are answers about the machine."""


class Verdict(StrEnum):
    """Of a check."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    NOT_HERE = "not here"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report.

    Attributes:
        device: torch's name of it; empty where it is about the whole machine.
        text: what was found, in figures, or the reason.
        facts: the figures, in SI units.
    """

    name: str
    device: str = ""
    verdict: Verdict
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def check(name: str, device: str, good: bool, text: str, facts: Mapping[str, Any]) -> Check:
    """One that was made."""
    return Check(name=name, device=device, verdict=Verdict.PASS if good else Verdict.FAIL, text=text, facts=facts)


def not_here(name: str, device: str, reason: str, facts: Mapping[str, Any] | None = None) -> Check:
    """One that this machine does not permit."""
    return Check(name=name, device=device, verdict=Verdict.NOT_HERE, text=reason, facts=facts or {})


def without_facts(name: str, device: str, outcome: Outcome) -> Check:
    """One that came to no end: what cannot be done here is no failure, anything else is."""
    if outcome.status is Status.SKIPPED:
        return not_here(name, device, outcome.reason)
    return check(name, device, False, f"{outcome.status}: {outcome.reason}", {})


def doctor(findings: Sequence[Diagnostic]) -> Check:
    """The machine's diagnostics in one line: what is BAD fails."""
    bad = [found for found in findings if found.verdict is Finding.BAD]
    warnings = [found for found in findings if found.verdict is Finding.WARNING]
    text = f"{len(findings)} findings, {len(bad)} bad, {len(warnings)} warnings"
    for found in (*bad, *warnings):
        text += f"; {found.name}: {found.value}"
    facts = [{"name": each.name, "verdict": each.verdict, "value": each.value, "advice": each.advice,
              "facts": each.facts} for each in findings]  # fmt: skip
    return check("doctor", "", not bad, text, {"findings": facts})


def present(device: Mapping[str, Any]) -> Check:
    """A device that torch sees: does it work?"""
    model, octets = device.get("model") or "model unknown", units.octets(device.get("memory_bytes"))
    text = device.get("reason") or f"{model}, {octets}"
    return check("device", device["name"], not device.get("reason"), text, device)


def agreement(device: str, facts: Mapping[str, Any]) -> Check:
    """dlhw's time of a product over each other instrument's: a difference that the turns are sure of fails."""
    ours = facts["seconds"]["dlhw"]
    size, text = facts["size"], units.seconds(statistics.median(ours))
    ratios, apart, noisy = {}, False, False
    for name, theirs in facts["seconds"].items():
        if name == "dlhw":
            continue
        found = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        low, high = median_interval(found) or (min(found), max(found))
        ratios[name] = {"ratio": statistics.median(found), "low": low, "high": high}
        text += f"; {_percent(statistics.median(found))} [{_percent(low)}, {_percent(high)}] of {name}"
        apart |= low > 1 + AGREEMENT or high < 1 - AGREEMENT
        noisy |= high - low > 2 * TOO_NOISY
    text = f"a product of {size}: {text}; allowed ±{units.percent(AGREEMENT)}"
    facts = {**facts, "ratios": ratios, "tolerance": AGREEMENT}
    if noisy and not apart:
        return not_here("agreement", device, f"the machine is too busy to tell: {text}", facts)
    return check("agreement", device, not apart, text, facts)


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.2f}%"


def precision(name: str, device: str, facts: Mapping[str, Any]) -> Check:
    """Whether products and convolutions under a label are as far from fp64 as its roundings lead to."""
    title = f"precision {name}"
    if "reason" in facts:
        return without_facts(title, device, Outcome(Status(facts["status"]), facts["reason"]))
    if name == "fp32":
        low, high = 0.0, FP32_ERROR
    else:
        low, high = (share * UNIT_ROUNDOFF[name] for share in BETWEEN)
    wrong = [what for what, error in facts.items() if not low <= error <= high]
    text = ", ".join(f"{what} {error:.2g} from fp64" for what, error in facts.items())
    text += f"; {name} is between {low:.2g} and {high:.2g}"
    if wrong:
        text += f": {' and '.join(wrong)} computed otherwise"
    return check(title, device, not wrong, text, {"relative_errors": dict(facts), "low": low, "high": high})


def memory(device: str, facts: Mapping[str, Any]) -> Check:
    """Peaks of known sizes: to the byte on an accelerator, within HOST_PEAK_BYTES on the host."""
    if device == "cpu" and facts["source"] != "VmHWM":
        return not_here("memory", device, f"{facts['source']}: the peak cannot be reset here", facts)
    allowed = HOST_PEAK_BYTES if device == "cpu" else 0
    pairs = list(zip(facts["expected_bytes"], facts["seen_bytes"], strict=True))
    text = ", ".join(f"{units.octets(expected)} seen as {seen - expected:+,} B" for expected, seen in pairs)
    text += f" ({facts['source']}; allowed ±{allowed:,} B)"
    good = all(abs(seen - expected) <= allowed for expected, seen in pairs)
    return check("memory", device, good, text, {**facts, "allowed_bytes": allowed})


def out_of_memory(device: str, facts: Mapping[str, Any]) -> Check:
    """Asking for more than there is: an outcome, and work goes on."""
    wanted = units.octets(facts["wanted_bytes"])
    if not facts["status"]:
        return check("out of memory", device, False, f"{wanted} were given without an error", facts)
    right = facts["status"] == Status.OUT_OF_MEMORY and facts["error_afterwards"] == 0
    after = "right" if facts["error_afterwards"] == 0 else f"{facts['error_afterwards']:.2g} off"
    text = f"{wanted} asked for: {facts['status']} ({facts['reason']}); a product afterwards is {after}"
    return check("out of memory", device, right, text, facts)


def channels_last(device: str, facts: Mapping[str, Any]) -> Check:
    """Weights, input and output of every convolution in a step."""
    count, lost = len(facts["convolutions"]), facts["lost"]
    text = f"{count - len(lost)} of ResNet-18's {count} convolutions compute in it"
    text += f"; not: {', '.join(lost)}" if lost else ""
    return check("channels_last", device, bool(count) and not lost, text, facts)


def compiled(name: str, device: str, record: Record) -> Check:
    """A compiled case: measured, and as near to fp64 as an eager one has to be."""
    if record.outcome.status is not Status.MEASURED:
        return without_facts(name, device, record.outcome)
    found = record.check
    if found is None or found.relative_error is None or found.tolerance is None:
        return check(name, device, False, "its result could not be checked", record.to_json())
    text = f"{record.id}: {found.relative_error:.2g} from {found.reference}; rounding explains {found.tolerance:.2g}"
    return check(name, device, found.relative_error <= found.tolerance, text, record.to_json())


def energy(device: str, found: Mapping[str, Any]) -> Check:
    """NVML's counter against power over time."""
    joules, apart = found.get("energy_joules"), found.get("disagreement")
    if joules is None or apart is None:
        reason = found.get("reason") or f"{found.get('source')} has no second figure to hold its counter against"
        return not_here("energy", device, reason, found)
    text = f"{joules:.0f} J counted, {found['integrated_joules']:.0f} J by power over {found['window_seconds']:.1f} s: "
    text += f"{units.percent(apart)} apart, allowed {units.percent(DISAGREEMENT)}"
    return check("energy", device, apart <= DISAGREEMENT, text, found)


def mapping(device: str, facts: Mapping[str, Any]) -> Check:
    """Whether the GPU that NVML knows by torch's uuid is the one whose memory fills.

    Args:
        facts: `held_bytes`, and `grown_bytes`: torch's name of each GPU -> by how much its used memory grew.
    """
    held, grown = facts["held_bytes"], facts["grown_bytes"]
    text = f"{units.octets(held)} held: " + ", ".join(f"{name} {units.octets(each)}" for name, each in grown.items())
    others = [each for name, each in grown.items() if name != device]
    good = 0.9 * held <= grown[device] <= 1.5 * held and all(each < 0.5 * held for each in others)
    return check("NVML by UUID", device, good, f"{text} more in use by NVML", facts)


def quick(device: str, records: Iterable[Record], planned: int) -> Check:
    """The quick run: mistakes fail; what took too long, or too much memory, is an answer."""
    found = list(records)
    counts = {status: sum(each.outcome.status is status for each in found) for status in Status}
    text = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "nothing"
    text += f" of {planned} cases"
    wrong = [each for each in found if each.outcome.status in MISTAKES]
    text += "".join(f"; {each.id}: {each.outcome.status}: {each.outcome.reason}" for each in wrong)
    facts = {"planned": planned, "cases": [each.id for each in found]}
    return check("quick", device, counts[Status.MEASURED] > 0 and not wrong, text, facts)
