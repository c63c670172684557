"""Peak memory: of the measuring process on the host, and of the accelerator's allocator."""

import contextlib
import ctypes
import sys
from pathlib import Path
from typing import Protocol

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class HostPeak(Protocol):
    """The most memory that this process held since the last reset."""

    source: str

    def reset(self) -> None:
        """Start anew from what is held now."""

    def peak_bytes(self) -> int:
        """Resident bytes at the peak."""


class KernelPeak:
    """Linux's own high-water mark of resident memory; writing 5 to clear_refs resets it (proc(5))."""

    source = "VmHWM"

    def reset(self) -> None:
        """Give freed memory back first, so that an earlier phase does not count."""
        release()
        _CLEAR_REFS.write_text("5")

    def peak_bytes(self) -> int:
        """VmHWM."""
        return _status_bytes("VmHWM")


class ProcessPeak:
    """Elsewhere: the peak since the process began, which nothing can reset."""

    source = "peak since the process began"

    def reset(self) -> None:
        """Nothing to reset."""

    def peak_bytes(self) -> int:
        """VmHWM where there is one, else getrusage's, which on Linux remembers the process that began this one."""
        with contextlib.suppress(OSError):
            return _status_bytes("VmHWM")
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def host_peak() -> HostPeak:
    """The best way that this machine has."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return ProcessPeak()
    return KernelPeak()


def resident_bytes() -> int:
    """Resident memory of this process now."""
    if _STATUS.exists():
        return _status_bytes("VmRSS")
    import psutil

    return int(psutil.Process().memory_info().rss)


def release() -> None:
    """Give memory that was freed back to the system, where the C library can."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def keep_freed() -> None:
    """Let freed memory stay with this process: on a virtual machine fetching a page anew costs more than using it."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(-4, 0)  # M_MMAP_MAX: nothing is mapped on its own, and so given back on its own
            mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def limit(private_bytes: int) -> None:
    """Let an allocation fail once this process holds `private_bytes` of its own: the limit of a case."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (private_bytes, hard))


def accelerator_peak(device: str) -> tuple[int | None, int | None]:
    """(allocated, reserved) peak bytes of torch's allocator since `reset_accelerator`; None on the CPU."""
    if device == "cpu":
        return None, None
    import torch

    return torch.accelerator.max_memory_allocated(device), torch.accelerator.max_memory_reserved(device)


def reset_accelerator(device: str) -> None:
    """Start the accelerator's peaks anew."""
    if device != "cpu":
        import torch

        torch.accelerator.empty_cache()
        torch.accelerator.reset_peak_memory_stats(device)


def _status_bytes(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {key}")
