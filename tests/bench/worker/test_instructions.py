"""The processor's own count: where there is one, of the step alone; where there is none, why."""

import ctypes
import errno
import itertools
import os
from pathlib import Path

import pytest

from bench.worker import instructions


class Counter:
    """What the kernel hands out: one file a thread, whose count grows by what `step` does."""

    def __init__(self, folder):
        self.folder, self.retired, self.asked = folder, 0, []
        self.numbers = itertools.count()

    def syscall(self, number, attribute, thread, processor, group, flags):
        self.asked.append((number, bytes(attribute), thread, processor))
        read, write = os.pipe()
        os.close(write)
        return read


@pytest.fixture
def counter(tmp_path, monkeypatch):
    found = Counter(tmp_path)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: found)
    monkeypatch.setattr(os, "read", lambda file, size: found.retired.to_bytes(size, "little"))
    return found


def test_the_middle_of_three_steps_and_no_refreshing(counter):
    grows = iter((900, 500, 510))

    def step():
        counter.retired += next(grows)

    def refresh():
        counter.retired += 10**6

    threads = len(list(Path("/proc/self/task").iterdir()))
    assert instructions.of_step(step, refresh) == (510 * threads, "")
    assert {thread for _, _, thread, _ in counter.asked} == {
        int(each.name) for each in Path("/proc/self/task").iterdir()
    }
    (attribute,) = {attribute for _, attribute, _, _ in counter.asked}
    assert attribute[:16] == bytes([0, 0, 0, 0, 112, 0, 0, 0, 1]) + bytes(7), "hardware, its size, instructions"
    assert attribute[40] == 0b1100000, "neither the kernel's nor the hypervisor's"


def test_a_machine_without_a_counter_has_a_reason(counter, monkeypatch):
    monkeypatch.setattr(counter, "syscall", lambda *_: -1)
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.ENOENT)
    assert instructions.of_step(lambda: None) == (None, "not counted: perf_event_open: No such file or directory")
    monkeypatch.setattr(instructions.platform, "machine", lambda: "riscv64")
    assert "its number on riscv64 is not known" in instructions.of_step(lambda: None)[1]


def test_here_it_is_a_number_or_a_reason():
    found, reason = instructions.of_step(lambda: sum(range(10_000)))
    assert (found is None and reason.startswith("not counted: ")) or (found > 10_000 and not reason)
