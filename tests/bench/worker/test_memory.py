"""Memory as a process of its own sees it: what is allocated is what is told."""

import os
import subprocess
import sys

import pytest

from bench.worker import memory
from tests.support.runner import ROOT

MIB = 1 << 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells and limits this")


def run(code):
    """The numbers that `code` prints, in a fresh interpreter."""
    output = subprocess.run(
        [sys.executable, "-P", "-c", f"from bench.worker import memory\nMIB = {MIB}\n{code}"], text=True, check=True,
        capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return [int(word) for word in output.stdout.split()]


@linux
def test_a_known_allocation_is_the_peak_until_the_next_reset():
    held, freed, reset = run("""
peak = memory.host_peak()
peak.reset()
base = memory.resident_bytes()
block = b"x" * (256 * MIB)
print(memory.resident_bytes() - base)
del block
print(peak.peak_bytes() - base)
peak.reset()
print(peak.peak_bytes() - base)
""")
    assert held == pytest.approx(256 * MIB, rel=0.02)
    assert freed == pytest.approx(256 * MIB, rel=0.02)
    assert abs(reset) < 5 * MIB


@linux
def test_memory_that_is_only_reserved_does_not_count():
    (touched,) = run("""
peak = memory.host_peak()
peak.reset()
base = peak.peak_bytes()
import mmap
block = mmap.mmap(-1, 256 * MIB)
block[:MIB] = b"x" * MIB
print(peak.peak_bytes() - base)
""")
    assert touched < 10 * MIB


@linux
def test_a_tensor_is_seen_as_what_it_holds():
    (found,) = run("""
import torch
torch.zeros(1).fill_(1)  # loads the code
peak = memory.host_peak()
peak.reset()
base = memory.resident_bytes()
torch.zeros(64 * MIB).fill_(1)
print(peak.peak_bytes() - base)
""")
    assert found == pytest.approx(256 * MIB, rel=0.02)


def test_without_a_resettable_mark_the_peak_is_that_since_the_process_began():
    (found,) = run("""
base = memory.resident_bytes()
block = b"x" * (256 * MIB)
del block
print(memory.ProcessPeak().peak_bytes() - base)
""")
    assert found == pytest.approx(256 * MIB, rel=0.05)


def test_where_the_mark_cannot_be_reset_another_way_is_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CLEAR_REFS", tmp_path / "missing" / "clear_refs")
    assert memory.host_peak().source == "peak since the process began"


@linux
def test_the_limit_lets_what_fits_pass_and_nothing_else():
    passed, refused = run("""
import resource
memory.limit(128 * MIB)
block = b"x" * (64 * MIB)
print(len(block))
try:
    print(len(b"x" * (128 * MIB)))
except MemoryError:
    print(-1)
""")
    assert (passed, refused) == (64 * MIB, -1)


@linux
def test_torch_is_held_to_the_limit_too():
    (refused,) = run("""
import torch
memory.limit(2048 * MIB)
try:
    torch.ones(1024 * MIB, dtype=torch.float32)
    print(0)
except RuntimeError as error:
    print(int("can't allocate memory" in str(error)))
""")
    assert refused == 1


@linux
def test_freed_memory_is_kept_until_it_is_released():
    returned, kept, released = run("""
base = memory.resident_bytes()

def after_freeing():
    block = b"x" * (64 * MIB)
    del block
    return memory.resident_bytes() - base

print(after_freeing())
memory.keep_freed()
print(after_freeing())
memory.release()
print(memory.resident_bytes() - base)
""")
    assert returned < 5 * MIB
    assert kept == pytest.approx(64 * MIB, rel=0.05)
    assert released < 5 * MIB


@linux
def test_an_earlier_phase_does_not_count_even_where_freed_memory_is_kept():
    (found,) = run("""
memory.keep_freed()
peak = memory.host_peak()
base = memory.resident_bytes()
block = b"x" * (64 * MIB)
del block
peak.reset()
print(peak.peak_bytes() - base)
""")
    assert found < 5 * MIB


def test_the_cpu_has_no_allocator_to_ask():
    assert memory.accelerator_peak("cpu") == (None, None)
