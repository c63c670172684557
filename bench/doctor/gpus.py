"""What `dlhw doctor` says of an NVIDIA GPU's settings, and of who else is on it: as the driver tells, by NVML."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bench.doctor.diagnostics import Diagnostic, Verdict
from bench.machine import nvml
from bench.machine.nvml import Gpu, Reading

SAME = 0.995
"""Clocks are set in steps."""


def advice(device: Mapping[str, Any], torch_cuda: str | None) -> Iterator[Diagnostic]:
    """One diagnostic for each thing that is known and can be set; none for what the driver does not tell."""
    if not device.get("uuid") or not device["name"].startswith("cuda"):
        return
    found = nvml.gpu_of(device["uuid"])
    if found.reason:
        return
    gpu = found.value
    facts, _ = nvml.split({**gpu.facts(), **gpu.settings()})
    name = device["name"]
    yield from filter(None, (rule(name, facts) for rule in RULES))
    yield from _slices(name, facts, gpu)
    yield from _users(name, gpu.processes())
    yield from _driver(name, nvml.query("nvmlSystemGetCudaDriverVersion"), torch_cuda)


def clocks(name: str, facts: Mapping[str, Any]) -> Diagnostic | None:
    """Whether someone has set clocks lower than the GPU can do."""
    most, chosen = facts.get("max_sm_clock_hertz"), facts.get("applications_sm_clock_hertz")
    if most is None or chosen is None:
        return None
    said = f"application clock {_mega(chosen)} of at most {_mega(most)} MHz"
    if chosen < SAME * most:
        return Diagnostic(
            name=f"clocks of {name}", value=said, verdict=Verdict.WARNING, facts={"most": most, "chosen": chosen},
            advice="what is measured is a slower GPU: nvidia-smi -rac sets it back; a fixed rate (nvidia-smi -lgc) is "
            "more repeatable, if it is the same everywhere",
        )  # fmt: skip
    return Diagnostic(
        name=f"clocks of {name}", value=said, facts={"most": most, "chosen": chosen},
        advice="the rate follows heat and load: nvidia-smi -lgc fixes it, as root, at one that it can hold",
    )  # fmt: skip


def power_limit(name: str, facts: Mapping[str, Any]) -> Diagnostic | None:
    """Whether its power is limited to less than its maker meant."""
    now, usual = facts.get("power_limit_watts"), facts.get("default_power_limit_watts")
    if now is None or usual is None:
        return None
    value = f"{now:.0f} W, by default {usual:.0f} W"
    numbers = {"power_limit_watts": now, "default_power_limit_watts": usual}
    if now < SAME * usual:
        return Diagnostic(
            name=f"power limit of {name}", value=value, verdict=Verdict.WARNING, facts=numbers,
            advice=f"it is slowed down under load: nvidia-smi -pl {usual:.0f}, as root, or compare with nobody's at "
            "the default",
        )  # fmt: skip
    return Diagnostic(name=f"power limit of {name}", value=value, verdict=Verdict.GOOD, facts=numbers)


def persistence(name: str, facts: Mapping[str, Any]) -> Diagnostic | None:
    """Whether the driver stays loaded; where it is off, the GPU's own line warns."""
    if not facts.get("persistence"):
        return None
    return Diagnostic(name=f"persistence of {name}", value="on: the driver stays loaded", verdict=Verdict.GOOD)


def ecc(name: str, facts: Mapping[str, Any]) -> Diagnostic | None:
    """Whether memory is corrected, which costs some GPUs bandwidth and capacity; and whether it had errors."""
    if "ecc" not in facts:
        return None
    now, later, errors = facts["ecc"], facts.get("ecc_pending", facts["ecc"]), facts.get("uncorrected_ecc_errors", 0)
    said = "on" if now else "off"
    numbers = {"ecc": now, "ecc_pending": later, "uncorrected_ecc_errors": errors}
    if errors:
        return Diagnostic(
            name=f"ECC of {name}", value=f"{said}; {errors} errors that could not be corrected", verdict=Verdict.BAD,
            facts=numbers, advice="its memory is damaged: results may be wrong; nvidia-smi -q -d ECC tells where",
        )  # fmt: skip
    if later != now:
        return Diagnostic(
            name=f"ECC of {name}", value=f"{said}, {'on' if later else 'off'} after the next reset", facts=numbers,
            verdict=Verdict.WARNING, advice="reset the GPU or reboot before you compare: bandwidth may change with it",
        )  # fmt: skip
    return Diagnostic(
        name=f"ECC of {name}", value=said, facts=numbers,
        advice="compare with GPUs of the same setting: with GDDR memory it costs bandwidth" if now else "",
    )  # fmt: skip


RULES: tuple[Callable[[str, Mapping[str, Any]], Diagnostic | None], ...] = (clocks, power_limit, persistence, ecc)


def _slices(name: str, facts: Mapping[str, Any], gpu: Gpu) -> Iterator[Diagnostic]:
    if gpu.sliced:
        yield Diagnostic(
            name=f"MIG of {name}", value="it is a slice of a GPU", verdict=Verdict.WARNING,
            advice="power, energy and clocks are the whole GPU's, and the other slices' work is in them",
        )  # fmt: skip
    elif facts.get("mig"):
        yield Diagnostic(
            name=f"MIG of {name}", value="on, but this is the whole GPU", verdict=Verdict.WARNING,
            advice="nvidia-smi -mig 0 as root gives all of it to one process",
        )  # fmt: skip


def _users(name: str, found: Reading) -> Iterator[Diagnostic]:
    """Nobody of ours computes on it now."""
    if found.reason:
        return
    if found.value:
        pids = ", ".join(map(str, sorted(found.value)))
        yield Diagnostic(
            name=f"others on {name}", value=f"processes {pids} compute on it", verdict=Verdict.WARNING,
            facts={"pids": list(found.value)},
            advice="end them, wait, or take another GPU (CUDA_VISIBLE_DEVICES): they take time, power and memory",
        )  # fmt: skip
        return
    yield Diagnostic(name=f"others on {name}", value="nobody computes on it", verdict=Verdict.GOOD)


def _driver(name: str, found: Reading, torch_cuda: str | None) -> Iterator[Diagnostic]:
    """The CUDA that the driver knows against the one that torch was built with."""
    if found.reason or torch_cuda is None:
        return
    driver = found.value // 1000, found.value % 1000 // 10
    major, minor = (int(part) for part in torch_cuda.split(".")[:2])
    value = f"knows CUDA {driver[0]}.{driver[1]}; torch was built with {torch_cuda}"
    facts = {"driver": list(driver), "torch": torch_cuda}
    if driver[0] < major:
        yield Diagnostic(
            name=f"driver of {name}", value=value, verdict=Verdict.BAD, facts=facts,
            advice=f"too old: update it, or install a torch for CUDA {driver[0]}",
        )  # fmt: skip
    elif driver < (major, minor):
        yield Diagnostic(
            name=f"driver of {name}", value=value, verdict=Verdict.WARNING, facts=facts,
            advice="works by minor version compatibility, which leaves out what needs a newer driver: update it",
        )  # fmt: skip
    else:
        yield Diagnostic(name=f"driver of {name}", value=value, verdict=Verdict.GOOD, facts=facts)


def _mega(hertz: float) -> str:
    return f"{hertz / 1e6:.0f}"
