"""Process-wide settings that a net, or the module it is in, may change, and that a row's label would then belie.

They are taken down before a net is built, set again afterwards, and read back around what is timed.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from bench.machine import host
from bench.worker.tracing import active_tracers


@dataclass(frozen=True)
class Setting:
    """How a setting is read, and how it is set again; None where torch lets it be set but once."""

    read: Callable[[], Any]
    write: Callable[[Any], object] | None


def _affinity() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def _bind(cores: tuple[int, ...]) -> None:
    """All threads, unless OpenMP has bound each to a core of its own."""
    if os.environ.get("OMP_PROC_BIND", "false").lower() == "false":
        host.stay_on(cores)
    elif cores:
        os.sched_setaffinity(0, cores)


def _set_default_device(value: torch.device) -> None:
    """None is the CPU, without a mode that each call of torch has to go through."""
    torch.set_default_device(None if value.type == "cpu" else value)


def _modes() -> tuple[str, ...]:
    """What each call of torch goes through in Python, such as a default device that was set to the CPU."""
    stacks = (*_get_current_function_mode_stack(), *_get_current_dispatch_mode_stack())
    return tuple(type(mode).__name__ for mode in stacks)


def _flushes_denormals() -> bool:
    """torch can set it and not tell it: half of the smallest normal number is 0 where it is on."""
    return float(torch.tensor([2.0**-1022], dtype=torch.float64, device="cpu").mul(0.5)) == 0.0


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _precisions() -> dict[str, str]:
    return {name: str(backend.fp32_precision) for name, backend in fp32_backends().items()}


def fp32_backends() -> dict[str, Any]:
    """What computes fp32 products and convolutions, each with an `fp32_precision` of its own."""
    backends: Any = torch.backends
    return {
        "cuda.matmul": backends.cuda.matmul,
        "cudnn.conv": backends.cudnn.conv,
        "cudnn.rnn": backends.cudnn.rnn,
        "mkldnn.matmul": backends.mkldnn.matmul,
        "mkldnn.conv": backends.mkldnn.conv,
    }


def _set_precisions(values: Mapping[str, str]) -> None:
    for name, backend in fp32_backends().items():
        backend.fp32_precision = values[name]


def precisions_of(label: str) -> dict[str, str]:
    """How each of them has to compute under a case's precision."""
    return {name: "tf32" if label == "tf32" and name.startswith("cu") else "ieee" for name in fp32_backends()}


def _attention_kernels() -> tuple[bool, ...]:
    kernels: Any = torch.backends.cuda
    return (
        kernels.flash_sdp_enabled(), kernels.mem_efficient_sdp_enabled(), kernels.math_sdp_enabled(),
        kernels.cudnn_sdp_enabled(),
    )  # fmt: skip


def _set_attention_kernels(values: tuple[bool, ...]) -> None:
    kernels: Any = torch.backends.cuda
    setters = (
        kernels.enable_flash_sdp, kernels.enable_mem_efficient_sdp, kernels.enable_math_sdp, kernels.enable_cudnn_sdp,
    )  # fmt: skip
    for setter, value in zip(setters, values, strict=True):
        setter(value)


def _autocast() -> dict[str, bool]:
    return {kind: torch.is_autocast_enabled(kind) for kind in _autocast_devices()}


def _set_autocast(values: Mapping[str, bool]) -> None:
    for kind, value in values.items():
        torch.set_autocast_enabled(kind, value)


def _autocast_devices() -> tuple[str, ...]:
    accelerator = torch.accelerator.current_accelerator()
    return ("cpu",) if accelerator is None else ("cpu", accelerator.type)


def _compilers() -> dict[str, Any]:
    """Configuration of Dynamo and Inductor, where anything has imported them; what cannot be compared is left out."""
    names = ("torch._dynamo.config", "torch._inductor.config")
    modules: dict[str, Any] = {name: sys.modules[name] for name in names if name in sys.modules}
    return {name: module.save_config_portable() for name, module in modules.items()}


def _set_compilers(values: Mapping[str, Any]) -> None:
    now = _compilers()
    for name, wanted in values.items():
        for key, value in wanted.items():
            if now[name].get(key) != value:
                setattr(sys.modules[name], key, value)


def _backend_flag(backend: str, name: str) -> Setting:
    module: Any = getattr(torch.backends, backend)
    return Setting(lambda: getattr(module, name), lambda value: setattr(module, name, value))


COMPILERS = "compilers' configuration"

SETTINGS: dict[str, Setting] = {
    "threads": Setting(torch.get_num_threads, torch.set_num_threads),
    "inter-op threads": Setting(torch.get_num_interop_threads, None),
    "default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype),
    "default device": Setting(torch.get_default_device, _set_default_device),
    "modes": Setting(_modes, lambda _: torch.set_default_device(None)),
    "gradients": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
    "fp32 precision": Setting(_precisions, _set_precisions),
    "deterministic algorithms": Setting(
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        _set_deterministic,
    ),
    "cudnn.benchmark": _backend_flag("cudnn", "benchmark"),
    "cudnn.deterministic": _backend_flag("cudnn", "deterministic"),
    "cudnn.enabled": _backend_flag("cudnn", "enabled"),
    "mkldnn.enabled": _backend_flag("mkldnn", "enabled"),
    "attention kernels": Setting(_attention_kernels, _set_attention_kernels),
    "fused transformer layers": Setting(
        torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled
    ),
    "autocast": Setting(_autocast, _set_autocast),
    "anomaly detection": Setting(torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "denormals flushed": Setting(_flushes_denormals, torch.set_flush_denormal),
    COMPILERS: Setting(_compilers, _set_compilers),
    "cores": Setting(_affinity, _bind),
    "nice": Setting(partial(os.getpriority, os.PRIO_PROCESS, 0), partial(os.setpriority, os.PRIO_PROCESS, 0)),
}


def snapshot() -> dict[str, Any]:
    """Every setting as it is now."""
    return {name: setting.read() for name, setting in SETTINGS.items()}


def restore(wanted: Mapping[str, Any]) -> list[str]:
    """Set again what differs from `wanted`; the names of what did."""
    found = changed(wanted)
    for name in found:
        write = SETTINGS[name].write
        if write is not None:
            _try(write, wanted[name])
    return found


def changed(wanted: Mapping[str, Any]) -> list[str]:
    """Names of the settings that are not as in `wanted`; a compiler that was not there yet is no change."""
    now = snapshot()
    wanted = {**wanted, COMPILERS: _known(wanted, now)}
    now = {**now, COMPILERS: _known(now, wanted)}
    return [name for name in SETTINGS if now[name] != wanted[name]]


def problem(wanted: Mapping[str, Any]) -> str:
    """What is not as in `wanted`, or looks over this process's shoulder, for people; empty where all is well."""
    if names := changed(wanted):
        return f"the net changes what it is measured under: {told(names, wanted)}"
    if tracers := active_tracers():
        return f"{', '.join(tracers)} is active in the measuring process, and makes it slower"
    return ""


def belied(label: str) -> str:
    """Which backends compute fp32 otherwise than a case's precision says, for people; empty where none does."""
    now, wanted = _precisions(), precisions_of(label)
    return "" if now == wanted else _difference("fp32 precision", now, wanted)


def told(names: list[str], wanted: Mapping[str, Any]) -> str:
    """`threads are 1, not 2`: what is in force and what should be, for people."""
    now = snapshot()
    return "; ".join(_difference(name, now[name], wanted[name]) for name in names)


def _difference(name: str, now: Any, wanted: Any) -> str:
    if isinstance(now, Mapping) and isinstance(wanted, Mapping):
        keys = [key for key in wanted if key in now and now[key] != wanted[key]]
        if name == COMPILERS:
            return f"{name}: {', '.join(_config_changes(now, wanted)) or 'changed'}"
        return f"{name}: " + ", ".join(f"{key} is {now[key]}, not {wanted[key]}" for key in keys)
    verb = "are" if name.endswith("s") else "is"
    return f"{name} {verb} {now}, not {wanted}"


def _config_changes(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for module in wanted.keys() & now.keys():
        for key, value in wanted[module].items():
            if now[module].get(key) != value:
                yield f"{module.split('.')[1].strip('_')}.{key} is {now[module].get(key)}, not {value}"


def _known(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    return {module: value for module, value in values[COMPILERS].items() if module in others[COMPILERS]}


def _try(write: Callable[[Any], object], value: Any) -> None:
    """What may not be set, such as a lower nice value, is found out when it is read back."""
    try:
        write(value)
    except (OSError, RuntimeError):
        return


class _Threads(TorchDispatchMode):
    """Notices how many threads each operator has, for a net may set them back before it returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(torch.get_num_threads())
        return func(*args, **(kwargs or {}))


@contextmanager
def threads_seen() -> Iterator[set[int]]:
    """How many threads operators had meanwhile; of eager code: a compiler does not compile under it."""
    watching = _Threads()
    with watching:
        yield watching.seen
