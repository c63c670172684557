"""Instructions that the processor retires in a step, by the kernel's counters (perf_event_open(2), through ctypes).

Counted outside the kernel, over all threads that there are. Virtual machines mostly have no such counter, containers
mostly may not ask for it: then None, and why.
"""

import ctypes
import os
import platform
import statistics
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
"""Numbers of the system call: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h."""
HARDWARE, INSTRUCTIONS = 0, 1
"""Of linux/perf_event.h: PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS."""
EXCLUDE_KERNEL, EXCLUDE_HYPERVISOR = 1 << 5, 1 << 6
ATTRIBUTE_BYTES = 112
"""PERF_ATTR_SIZE_VER5: any kernel since 4.1 knows so much of the structure."""
STEPS = 3
"""The middle one counts: the first may find its caches of decisions cold."""


def of_step(step: Callable[[], object], refresh: Callable[[], None] | None = None) -> tuple[int | None, str]:
    """Instructions of one call of `step`, the middle of three; or None and why.

    Args:
        refresh: is called before each, and not counted.
    """
    try:
        with _counters() as read:
            return round(statistics.median(_counted(step, refresh, read) for _ in range(STEPS))), ""
    except OSError as error:
        return None, f"not counted: perf_event_open: {error.strerror}"


def _counted(step: Callable[[], object], refresh: Callable[[], None] | None, read: Callable[[], int]) -> int:
    if refresh:
        refresh()
    before = read()
    step()
    return read() - before


@contextmanager
def _counters() -> Iterator[Callable[[], int]]:
    """One for each thread of this process; what is yielded reads their sum.

    Raises:
        OSError: there are none, or not for us.
    """
    with ExitStack() as closing:
        files = [_open(int(entry.name)) for entry in Path("/proc/self/task").iterdir()]
        for file in files:
            closing.callback(os.close, file)
        yield lambda: sum(int.from_bytes(os.read(file, 8), "little") for file in files)


def _open(thread: int) -> int:
    number = PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        raise OSError(0, f"its number on {platform.machine()} is not known")
    # type, size, config, sample_period, sample_type, read_format, then one word of flags (perf_event_open(2))
    told = struct.pack(
        "=IIQQQQQ", HARDWARE, ATTRIBUTE_BYTES, INSTRUCTIONS, 0, 0, 0, EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR
    )
    attribute = ctypes.create_string_buffer(told, ATTRIBUTE_BYTES)
    libc = ctypes.CDLL(None, use_errno=True)
    file = libc.syscall(number, attribute, thread, -1, -1, 0)
    if file < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(file)
