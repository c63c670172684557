"""What machine this is: torch, devices and host, as plain data. Called in a measuring process, never in pytest's."""

import itertools
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.machine import cgroup
from bench.machine import host as machine
from bench.worker.nets.graphs import module_of
from suites.architectures import find
from suites.errors import DlhwError

VARIABLES = (
    "OMP_", "KMP_", "MKL_", "GOMP_", "CUDA_", "TORCH", "PYTORCH_", "ONEDNN_", "LD_PRELOAD", "MALLOC_", "GLIBC_TUNABLES",
    "TCMALLOC_", "MIMALLOC_",
)  # fmt: skip
"""What their names begin with: they change what is measured, and are in the results."""
OURS = {"PYTORCH_NVML_BASED_CUDA_CHECK"}
COMPILE_SWITCHES = ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE")


def describe(architectures: Sequence[str] = (), *, speeds: bool = False) -> dict[str, Any]:
    """All facts: `python`, `torch`, `devices`, `host`, and why each of `architectures` leads to no net.

    With `speeds` what a short probe says of each accelerator's.
    """
    return {
        "python": platform.python_version(),
        "torch": _torch(),
        "devices": [_with_speed(device) for device in devices()] if speeds else devices(),
        "host": host(),
        "compile_problems": _compile_problems(),
        "unknown_architectures": _unknown(architectures),
    }


def devices() -> list[dict[str, Any]]:
    """The CPU, then every accelerator on which an allocation works; others with the reason why not."""
    found = [{"name": "cpu", "model": _cpu()["model"], "uuid": None, "memory_bytes": host()["memory_bytes"]}]
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None:
        return found
    return found + [_accelerator(accelerator.type, index) for index in range(torch.accelerator.device_count())]


def host() -> dict[str, Any]:
    """Cores, memory and limits of the host, and the CPU's identity."""
    return {
        "cpu": _cpu(),
        "cores": usable_cores(),
        "cores_online": os.cpu_count(),
        "cgroup_cpus": cgroup.quota(),
        "caches": _caches(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "transparent_hugepages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "virtualised": "hypervisor" in _cpu()["flags"] if _cpu()["flags"] else None,
        "system": platform.system(),
        "kernel": platform.release(),
    }


def usable_cores() -> int:
    """Cores that this process may run on, no more than its cgroup's quota, rounded up."""
    cores = len(machine.CORES) or os.cpu_count() or 1
    quota = cgroup.quota()
    return cores if quota is None else max(1, min(cores, -int(-quota // 1)))


def _torch() -> dict[str, Any]:
    backends: Any = torch.backends
    return {
        "version": torch.__version__,
        "git": torch.version.git_version,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "cudnn": torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "mkldnn_bf16": bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()),
        "mkldnn_fp16": bool(torch.ops.mkldnn._is_mkldnn_fp16_supported()),
        "parallel_info": torch.__config__.parallel_info(),
        "build": torch.__config__.show(),
        "default_precision": {
            "cuda.matmul": str(backends.cuda.matmul.fp32_precision),
            "cudnn.conv": str(backends.cudnn.conv.fp32_precision),
        },
        "environment": {
            key: value for key, value in sorted(os.environ.items()) if key.startswith(VARIABLES) and key not in OURS
        },
    }


def _accelerator(kind: str, index: int) -> dict[str, Any]:
    """What is known of a device; why it cannot be measured, where it fails at anything, which costs it alone."""
    name = f"{kind}:{index}"
    try:
        torch.zeros(1, device=name)
        torch.accelerator.synchronize(name)
        return _described(kind, index, name)
    except Exception as error:  # noqa: BLE001 - a driver may raise anything, and the other devices may work
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return {"name": name, "model": None, "uuid": None, "memory_bytes": None, "reason": reason}


def _with_speed(device: dict[str, Any]) -> dict[str, Any]:
    """A device that the probe fails on keeps the sizes that it would have had without."""
    if device["name"] == "cpu" or device["reason"] or not device["memory_bytes"]:
        return device
    from bench.worker import speed

    try:
        return device | {"speed": speed.probe(device["name"], device["memory_bytes"])}
    except Exception as error:  # noqa: BLE001 - a driver may raise anything, and cases tell it in their own words
        return device | {"speed": None, "speed_reason": str(error).partition("\n")[0]}


def _described(kind: str, index: int, name: str) -> dict[str, Any]:
    """By torch's properties of the device; of some kinds, such as `mps`, it has none."""
    describe = getattr(getattr(torch, kind, None), "get_device_properties", None)
    properties = describe(index) if describe else None
    uuid = getattr(properties, "uuid", None)
    major, minor = getattr(properties, "major", None), getattr(properties, "minor", None)
    return {
        "name": name,
        "model": getattr(properties, "name", None),
        "uuid": None if uuid is None else f"GPU-{uuid}".replace("GPU-GPU-", "GPU-"),
        "memory_bytes": getattr(properties, "total_memory", None),
        "reason": None,
        "capability": None if major is None else f"{major}.{minor}",
        "cudnn": kind == "cuda" and bool(torch.backends.cudnn.is_available()),
        "graphs": module_of(name) is not None,
        "multiprocessors": getattr(properties, "multi_processor_count", None),
        "tf32": kind == "cuda" and torch.version.hip is None and major is not None and major >= 8,
    }


def _compile_problems() -> dict[str, str]:
    """Why torch.compile cannot work, by type of device: no compiler, no Triton, or no way for such a device."""
    accelerator = torch.accelerator.current_accelerator()
    kind = accelerator.type if accelerator else "cpu"
    if switch := next((name for name in COMPILE_SWITCHES if os.environ.get(name) == "1"), ""):
        kinds = {"cpu", "cuda", kind}
        return dict.fromkeys(sorted(kinds), f"torch.compile is switched off: {switch}=1 is in the environment")
    problems = {}
    if not _has_cpp_compiler():
        problems["cpu"] = "torch.compile needs a C++ compiler (g++ or clang++, or CXX naming one), and finds none"
    for folder in (tempfile.gettempdir(), str(Path(torch.__file__).parent)):
        if re.search(r"\s", folder):
            problems["cpu"] = f"torch.compile cannot work in a folder with spaces in its name: {folder!r}"
    from torch.utils._triton import has_triton_package

    if not has_triton_package():
        problems["cuda"] = "torch.compile needs the package triton for GPUs"
    elif not any(shutil.which(name) for name in (os.environ.get("CC", "cc"), "gcc", "clang")):
        problems["cuda"] = "torch.compile needs a C compiler for Triton's launchers, and finds none"
    if kind not in {"cpu", "cuda"} and not _generates_code_for(kind):
        problems[kind] = f"torch.compile's own backend, inductor, generates no code for {kind}"
    return problems


def _has_cpp_compiler() -> bool:
    """As torch._inductor.cpp_builder looks for it, without the second that importing that takes."""
    named = shlex.split(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))
    return bool(os.environ.get("TORCH_INDUCTOR_INSTALL_GXX")) or bool(named and shutil.which(named[0]))


def _generates_code_for(kind: str) -> bool:
    """Inductor asks the module of a device that a package has added: without the second that importing inductor takes
    it can be seen that such a module brings nothing, unless somebody has told inductor before.
    """
    if (
        kind == torch._C._get_privateuse1_backend_name()
        and "torch._inductor.codegen.common" not in sys.modules
        and not hasattr(getattr(torch, kind, None), "Scheduling")
    ):
        return False
    from torch._inductor.codegen import common

    common.init_backend_registration()
    return common.get_scheduling_for_device(kind) is not None


def _unknown(architectures: Sequence[str]) -> dict[str, str]:
    unknown = {}
    for name in architectures:
        try:
            find(name)
        except DlhwError as error:
            unknown[name] = str(error)
    return unknown


def _cpu() -> dict[str, Any]:
    """Identity of the processor; where the model's name is useless the numbers still tell."""
    facts = {"model": platform.processor() or platform.machine(), "flags": []}
    text = _read("/proc/cpuinfo")
    if text is None:
        return facts
    pairs = (line.partition(":") for line in text.split("\n\n", maxsplit=1)[0].splitlines())
    first = {key.strip(): value.strip() for key, _, value in pairs}
    return {
        "model": first.get("model name", facts["model"]),
        "family": first.get("cpu family"),
        "model_number": first.get("model"),
        "stepping": first.get("stepping"),
        "flags": sorted((first.get("flags") or first.get("Features") or "").split()),
    }


def _caches() -> list[dict[str, Any]]:
    """Data caches of the first core as the kernel reports them, from the innermost; a guest may be told anything."""
    found: list[dict[str, Any]] = []
    folder = "/sys/devices/system/cpu/cpu0/cache/index"
    for index in itertools.takewhile(lambda index: _read(f"{folder}{index}/level"), itertools.count()):
        names = ("level", "type", "size", "shared_cpu_list")
        level, kind, size, shared = (_read(f"{folder}{index}/{name}") for name in names)
        if level and size and kind in {"Data", "Unified"}:
            found.append({"level": int(level), "bytes": _octets(size), "shared_by": shared})
    return sorted(found, key=lambda cache: int(cache["level"]))


def _octets(size: str) -> int:
    """`32K` and `480M`, as the kernel writes sizes."""
    return int(size.rstrip("KMG")) * {"K": 2**10, "M": 2**20, "G": 2**30}.get(size[-1], 1)


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


if sys.platform == "win32":  # pragma: no cover
    raise ImportError("dlhw runs on Linux and macOS")
