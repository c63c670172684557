"""What `dlhw doctor` says of the facts: each finding a pure function, with a verdict and advice."""

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.machine import sensors
from bench.records.record import Record, Status
from bench.records.summary import median_interval, summarise
from suites import units

AGREEMENT = 0.02
OVERHEAD = 0.005
MEMORY = 0.02
MAPPING = 1.0
"""New memory may take twice as long as old."""
OTHER_CORES = 0.1
BETWEEN_LAUNCHES = 0.02
WITHIN_A_LAUNCH = 0.01
EXACT_FORWARD_FLOPS = {
    "lenet": 833_040, "lenet_bn": 563_280, "alexnet": 1_876_292_352, "vgg11": 15_094_464_512, "nin": 1_524_594_704,
    "googlenet": 552_132_608, "resnet18": 637_315_072, "resnet18_inplace": 637_315_072,
}  # fmt: skip
"""FLOPs of one image: two per multiply-add of each layer as the d2l course gives its shapes, added up by hand."""


class Verdict(StrEnum):
    """`FACT` is neither good nor bad."""

    GOOD = "good"
    FACT = "fact"
    WARNING = "warning"
    BAD = "bad"


EXIT_CODES = {Verdict.FACT: 0, Verdict.GOOD: 0, Verdict.WARNING: 1, Verdict.BAD: 2}


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """One line of the report.

    Attributes:
        value: what was found, for people.
        advice: what to do about it, where it is not good.
        facts: the numbers behind it, in SI units.
    """

    name: str
    value: str
    verdict: Verdict = Verdict.FACT
    advice: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def failed(probe: str, why: str) -> Diagnostic:
    """A probe that came to no end."""
    return Diagnostic(
        name=probe.replace("_", " "), value=why, verdict=Verdict.BAD,
        advice="what cannot be examined cannot be trusted either",
    )  # fmt: skip


def processor(facts: Mapping[str, Any]) -> Diagnostic:
    """The CPU, and whether it is a guest's."""
    cpu, virtual = facts["cpu"], facts["virtualised"]
    text = f"{cpu['model']}, {units.octets(facts['memory_bytes'])}, {facts['system']} {facts['kernel']}"
    if virtual:
        return Diagnostic(
            name="processor", value=f"{text}, virtual", facts=cpu,
            advice="clock rate, power and neighbours are out of sight: trust ratios of one run more than times",
        )  # fmt: skip
    return Diagnostic(name="processor", value=text, facts=cpu)


def accelerator(device: Mapping[str, Any]) -> Diagnostic:
    """A GPU: whether it works, its driver and limits."""
    name = device["name"]
    if device.get("reason"):
        return Diagnostic(
            name=name, value=device["reason"], verdict=Verdict.WARNING, facts=device,
            advice="torch sees it, but cannot use it: compare the driver's version with torch's CUDA",
        )  # fmt: skip
    facts = device.get("nvml") or {}
    parts = [
        device["model"] or "unknown",
        units.octets(device["memory_bytes"]),
        f"driver {device['driver']}" if device.get("driver") else "",
        f"limit {facts['power_limit_watts']:.0f} W" if "power_limit_watts" in facts else "",
        f"up to {facts['max_sm_clock_hertz'] / 1e6:.0f} MHz" if "max_sm_clock_hertz" in facts else "",
    ]
    value = ", ".join(part for part in parts if part)
    if facts.get("persistence") is False:
        return Diagnostic(
            name=name, value=f"{value}, persistence mode off", verdict=Verdict.WARNING, facts=device,
            advice="nvidia-smi -pm 1 keeps the driver loaded; otherwise first steps pay for loading it",
        )  # fmt: skip
    return Diagnostic(name=name, value=value, verdict=Verdict.GOOD, facts=device)


def torch_build(torch: Mapping[str, Any], python: str) -> Diagnostic:
    """Which torch."""
    backend = f"CUDA {torch['cuda']}" if torch["cuda"] else f"ROCm {torch['hip']}" if torch["hip"] else "CPU only"
    value = f"{torch['version']} ({backend}), Python {python}"
    return Diagnostic(name="torch", value=value, verdict=Verdict.GOOD, facts={**torch, "build": None})


def precision(defaults: Mapping[str, str]) -> Diagnostic:
    """What torch would do for fp32 if nobody said: not what dlhw does."""
    value = ", ".join(f"{name} {setting}" for name, setting in defaults.items())
    return Diagnostic(
        name="fp32 as torch has it", value=value, facts=defaults,
        advice="dlhw sets IEEE for fp32 and TF32 for tf32, whatever these say, and records what it set",
    )  # fmt: skip


def compiler(problems: Mapping[str, str], devices: Sequence[str]) -> Diagnostic:
    """Whether torch.compile can work."""
    kinds = {device.partition(":")[0] for device in devices}
    found = [problem for kind, problem in problems.items() if kind in kinds]
    if found:
        return Diagnostic(
            name="torch.compile", value="; ".join(found), verdict=Verdict.WARNING, facts=problems,
            advice="install it, or expect the compiled cases to be skipped",
        )  # fmt: skip
    return Diagnostic(name="torch.compile", value="its compilers are here", verdict=Verdict.GOOD, facts=problems)


def cores(facts: Mapping[str, Any]) -> Diagnostic:
    """Cores that may be used, and what limits them."""
    usable, online, quota = facts["cores"], facts["cores_online"], facts["cgroup_cpus"]
    value = f"{usable} of {online} usable"
    numbers = {"usable": usable, "online": online, "cgroup_quota": quota}
    if quota is not None and quota < usable + 1e-9 and quota != int(quota):
        return Diagnostic(
            name="cores", value=f"{value}, quota {quota:g}", verdict=Verdict.WARNING, facts=numbers,
            advice="the container is stopped in the middle of steps whenever its quota is used up: "
            "give it whole cores, or fewer threads (--axis threads=...)",
        )  # fmt: skip
    return Diagnostic(name="cores", value=value, verdict=Verdict.GOOD, facts=numbers)


def thread_settings(variables: Mapping[str, str]) -> Diagnostic:
    """What the environment says of threads."""
    variables = {name: value for name, value in variables.items() if name.startswith(("OMP_", "KMP_", "GOMP_", "MKL_"))}
    if not variables:
        return Diagnostic(
            name="thread settings", value="none in the environment",
            advice="OMP_PROC_BIND=close OMP_PLACES=cores makes several threads more repeatable, "
            "if nothing else wants the cores",
        )  # fmt: skip
    return Diagnostic(name="thread settings", value=" ".join(f"{k}={v}" for k, v in variables.items()), facts=variables)


def shell(dropped: Sequence[str], kept: Sequence[str]) -> Diagnostic:
    """What else of the environment does not reach a measurement, or changes it."""
    parts = [f"set aside: {', '.join(dropped)}"] if dropped else []
    parts += [f"changes times: {', '.join(kept)}"] if kept else []
    return Diagnostic(
        name="environment", value="; ".join(parts) or "nothing that traces, logs or changes times",
        verdict=Verdict.FACT if parts else Verdict.GOOD, facts={"set_aside": dropped, "changes_times": kept},
        advice="what changes times is measured as it is: unset it, if that is not what you want" if kept else "",
    )  # fmt: skip


def governor(facts: Mapping[str, Any]) -> Diagnostic:
    """How the clock rate is chosen."""
    found = facts["governor"]
    if found is None:
        return Diagnostic(name="clock rate", value="governor not visible", facts={"governor": None})
    if found != "performance":
        return Diagnostic(
            name="clock rate", value=f"governor {found}", verdict=Verdict.WARNING, facts={"governor": found},
            advice="the rate follows the load: cpupower frequency-set -g performance, as root",
        )  # fmt: skip
    return Diagnostic(name="clock rate", value="governor performance", verdict=Verdict.GOOD, facts={"governor": found})


def co_running(idle: Mapping[str, float | None], usable: int) -> Diagnostic:
    """Whether others use the cores."""
    others, load = idle["other_cores"], os.getloadavg()[0]
    facts = {"other_cores": others, "load_average": load}
    if others is None:
        return Diagnostic(name="other processes", value=f"load average {load:.1f}", facts=facts)
    value = f"{others:.2f} of {usable} cores in use"
    if others > OTHER_CORES:
        return Diagnostic(
            name="other processes", value=value, verdict=Verdict.WARNING, facts=facts,
            advice="end what else runs (top shows it), or expect NOISY cases",
        )  # fmt: skip
    return Diagnostic(name="other processes", value=value, verdict=Verdict.GOOD, facts=facts)


def steal(idle: Mapping[str, float | None]) -> Diagnostic:
    """Whether the hypervisor takes time away; a guest that sleeps sees less of it than one that works."""
    share = idle["stolen_share"]
    facts = {"stolen_share": share}
    if share is None:
        return Diagnostic(name="stolen time", value="not visible", facts=facts)
    verdict, advice = Verdict.GOOD, ""
    if share > 0.01:
        verdict, advice = Verdict.WARNING, "the host is overbooked: measure at another time or place"
    return Diagnostic(name="stolen time", value=units.percent(share), verdict=verdict, advice=advice, facts=facts)


def kernels(found: Mapping[str, str], flags: Sequence[str]) -> Diagnostic:
    """Instruction sets that convolutions really use."""
    value = ", ".join(f"{name} {kernel}" for name, kernel in found.items())
    able = [flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in flags]
    facts = {"kernels": found, "flags": able}
    text = f"{value} (the CPU has {', '.join(able) or 'none of AVX2, AVX-512, AMX'})"
    if ("amx_bf16" in flags and "amx" not in found["bf16"]) or ("avx512f" in flags and "avx512" not in found["fp32"]):
        return Diagnostic(
            name="convolutions", value=text, verdict=Verdict.WARNING, facts=facts,
            advice="the CPU could do more: is ONEDNN_MAX_CPU_ISA or ATEN_CPU_CAPABILITY set?",
        )  # fmt: skip
    if not {"amx_bf16", "avx512_bf16"} & set(flags):
        return Diagnostic(
            name="convolutions", value=text, facts=facts,
            advice="no bf16 instructions: bf16 is emulated, and slower than fp32",
        )  # fmt: skip
    return Diagnostic(name="convolutions", value=text, verdict=Verdict.GOOD, facts=facts)


def flops(counted: Mapping[str, int]) -> Diagnostic:
    """FLOPs of all nets against the exact counts."""
    wrong = {name: count for name, count in EXACT_FORWARD_FLOPS.items() if counted.get(name) != count}
    facts = {"counted": counted, "exact": EXACT_FORWARD_FLOPS}
    if wrong:
        texts = (f"{name} {counted.get(name)} instead of {exact}" for name, exact in wrong.items())
        return Diagnostic(
            name="FLOPs", value="; ".join(texts), verdict=Verdict.BAD, facts=facts,
            advice="this torch counts otherwise: every FLOP/s figure is off by as much",
        )  # fmt: skip
    return Diagnostic(name="FLOPs", value=f"exact for all {len(counted)} nets", verdict=Verdict.GOOD, facts=facts)


def clock(facts: Mapping[str, float]) -> Diagnostic:
    """Resolution of the clock, and overhead of a sample."""
    share = facts["overhead_seconds"] / facts["lenet_step_seconds"]
    value = (
        f"resolution {units.seconds(facts['tick_seconds'])}; "
        f"a sample costs {units.seconds(facts['overhead_seconds'])}, {100 * share:.2f}% of a step of LeNet b1 "
        f"({units.seconds(facts['lenet_step_seconds'])})"
    )
    verdict, advice = Verdict.GOOD, ""
    if share >= OVERHEAD:
        verdict, advice = Verdict.WARNING, "short steps are overstated: use larger batches"
    return Diagnostic(name="clock", value=value, verdict=verdict, advice=advice, facts=facts)


def known_allocation(device: str, facts: Mapping[str, Any]) -> Diagnostic:
    """Whether 256 MiB are seen as 256 MiB."""
    error = facts["seen_bytes"] / facts["expected_bytes"] - 1
    seen, expected = units.octets(facts["seen_bytes"]), units.octets(facts["expected_bytes"])
    value = f"{expected} are seen as {seen} ({100 * error:+.1f}%, {facts['source']})"
    verdict, advice = Verdict.GOOD, ""
    if abs(facts["seen_bytes"] - facts["expected_bytes"]) > MEMORY * facts["expected_bytes"]:
        verdict, advice = Verdict.BAD, "do not believe memory figures of this machine"
    return Diagnostic(name=f"memory of {device}", value=value, verdict=verdict, advice=advice, facts=facts)


def page_faults(facts: Mapping[str, float]) -> Diagnostic:
    """What memory costs that is given back after each step and mapped anew in the next."""
    cost = max(0.0, facts["first_seconds"] - facts["again_seconds"])
    value = (
        f"1 MiB of new memory takes {units.seconds(2**20 * cost)} and {2**20 * facts['faults']:.0f} faults more than "
        "the same again"
    )
    advice = ""
    if cost > MAPPING * facts["again_seconds"]:
        advice = "training on the CPU may pay for it in every step, as dlhw explain tells: docs/method.md, Page faults"
    return Diagnostic(name="page faults", value=value, advice=advice, facts=facts)


def agreement(device: str, workload: str, facts: Mapping[str, Any]) -> Diagnostic:
    """Our time over torch.utils.benchmark's: median of the alternations' ratios, with its interval."""
    pairs = zip(facts["ours_seconds"], facts["theirs_seconds"], strict=True)
    ratios = [ours / theirs for ours, theirs in pairs]
    ratio = statistics.median(ratios)
    low, high = median_interval(ratios) or (math.nan, math.nan)
    value = (
        f"{workload}: {units.seconds(statistics.median(facts['ours_seconds']))}, "
        f"{100 * (ratio - 1):+.2f}% [{100 * (low - 1):+.2f}, {100 * (high - 1):+.2f}] of torch.utils.benchmark"
    )
    verdict, advice = Verdict.GOOD, ""
    if abs(ratio - 1) > AGREEMENT:
        disturbed = low <= 1 + AGREEMENT and high >= 1 - AGREEMENT
        verdict = Verdict.WARNING if disturbed else Verdict.BAD
        advice = "the machine was not quiet: try again" if disturbed else "one of the two instruments is wrong here"
    return Diagnostic(
        name=f"agreement on {device}", value=value, verdict=verdict, advice=advice,
        facts={"workload": workload, "ratio": ratio, "low": low, "high": high, **facts},
    )  # fmt: skip


def repeatability(record: Record, threads: int) -> Diagnostic:
    """How much fresh processes of the same code differ, beside how much one of them claims to know."""
    name = f"repeatability, {units.count(threads, 'thread')}"
    if record.outcome.status is not Status.MEASURED or record.sampling is None:
        return Diagnostic(
            name=name, value=f"{record.outcome.status}: {record.outcome.reason}", verdict=Verdict.BAD,
            advice="LeNet cannot be measured here",
        )  # fmt: skip
    found = summarise(record)
    medians = [launch.median_seconds for launch in record.sampling.launches]
    spread = statistics.stdev(medians) / statistics.fmean(medians)
    value = (
        f"LeNet b8 {units.seconds(found.median_seconds)}: {found.launches} processes differ by {units.percent(spread)} "
        f"(sd), each knows its own median to ±{units.percent(found.within_half_width)}"
    )
    verdict, advice = Verdict.GOOD, ""
    if spread > BETWEEN_LAUNCHES or found.within_half_width is None or found.within_half_width > WITHIN_A_LAUNCH:
        verdict = Verdict.WARNING
        advice = "one launch does not tell: use --launches 5, and compare nothing closer than this"
        advice += "; fewer or bound threads help" if threads > 1 else ""
    facts = {"launch_medians_seconds": medians, "launch_sd": spread, "within_half_width": found.within_half_width}
    return Diagnostic(
        name=name, value=value, verdict=verdict, advice=advice, facts={**facts, "noisy": record.sampling.noisy}
    )


def energy(name: str, found: Mapping[str, Any]) -> Diagnostic:
    """Whether energy can be counted, and whether counter and integrated power agree."""
    if found["energy_joules"] is None:
        return Diagnostic(
            name=f"energy of {name}", value=found["reason"], verdict=Verdict.WARNING, facts=found,
            advice="no joules here; time and memory do not need them",
        )  # fmt: skip
    value = f"{found['energy_joules']:.0f} J in {found['window_seconds']:.1f} s, {found['mean_power_watts']:.0f} W"
    if found.get("disagreement") is not None:
        value += f"; integrated power differs by {units.percent(found['disagreement'])}"
    if found["reason"] or found.get("throttle_reasons") or found.get("other_processes"):
        why = "; ".join(filter(None, (found["reason"], *sensors.noise(found).values())))
        return Diagnostic(
            name=f"energy of {name}", value=f"{value}; {why}" if why else value,
            verdict=Verdict.WARNING if why else Verdict.GOOD, facts=found,
            advice="cool it, raise its limit, lock its clocks (nvidia-smi -lgc), or end the others" if why else "",
        )  # fmt: skip
    return Diagnostic(name=f"energy of {name}", value=value, verdict=Verdict.GOOD, facts=found)


def fields(name: str, values: Mapping[str, Any], reasons: Mapping[str, str]) -> Diagnostic:
    """Which of the driver's fields answer, and why the others do not."""
    text = f"{len(values)} of {len(values) + len(reasons)} fields answer"
    if reasons:
        text += "; not: " + "; ".join(f"{field} ({reason})" for field, reason in reasons.items())
    verdict = Verdict.FACT if reasons else Verdict.GOOD
    return Diagnostic(name=f"sensors of {name}", value=text, verdict=verdict, facts={"reasons": reasons})


def unsensed(name: str, reason: str) -> Diagnostic:
    """A device without sensors."""
    return Diagnostic(name=f"energy of {name}", value=reason, advice="time and memory do not need it")
