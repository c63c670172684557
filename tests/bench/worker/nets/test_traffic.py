"""What a step does and the bytes that it moves, against sums done by hand."""

import sys
from dataclasses import replace

import pytest

from bench.records.record import COUNTED, Counts, Traffic
from bench.worker.nets import correctness
from bench.worker.nets import traffic as module
from bench.worker.nets.reference import prepare
from bench.worker.nets.traffic import OperatorCounter, by_size, step_counts
from bench.worker.nets.workload import workload
from tests.support.samples import LENET

NETS = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 4, bias=False)
    def forward(self, x):
        return torch.relu(self.linear(x.flatten(1)))

class InPlace(Tiny):
    def forward(self, x):
        return self.linear(x.flatten(1)).relu_()

class Peeks(Tiny):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x

class Breaks(Tiny):
    def forward(self, x):
        raise ValueError("no such thing")

breaks = Breaks
def tiny(): return Tiny()
def inplace(): return InPlace()
def peeks(): return Peeks()
"""
IMAGES, INPUT, WEIGHT, OUTPUT = 5, 5 * 6 * 4, 4 * 6 * 4, 5 * 4 * 4


@pytest.fixture
def case(tmp_path, monkeypatch):
    (tmp_path / "counted_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "counted_nets", raising=False)

    def case(name="tiny", **changes):
        return replace(LENET, architecture=f"counted_nets:{name}", input_shape=(1, 2, 3), batch_size=IMAGES, **changes)

    return case


@pytest.fixture
def traffic(case):
    return lambda name="tiny", **changes: step_counts(case(name, **changes))[0]


@pytest.fixture
def counts(case):
    return lambda name="tiny", **changes: step_counts(case(name, **changes))[1]


def test_operands_and_results_of_every_operator_and_no_view(traffic):
    product, relu = INPUT + WEIGHT + OUTPUT, 2 * OUTPUT
    assert traffic() == Traffic(
        compulsory_bytes=WEIGHT + INPUT + OUTPUT, operator_bytes=product + relu, operators=2,
        by_size={"8": relu, "9": product},
    )  # fmt: skip


def test_what_is_changed_in_place_is_read_and_written(traffic):
    assert traffic("inplace").operator_bytes == traffic().operator_bytes


def test_half_as_wide_half_the_bytes(traffic):
    found, half = traffic(), traffic(precision="bf16")
    assert (half.operator_bytes * 2, half.compulsory_bytes * 2) == (found.operator_bytes, found.compulsory_bytes)
    assert half.operators == found.operators


def test_autocasts_casts_are_operators_too(traffic):
    found = traffic(precision="amp_bf16")
    casts = INPUT + INPUT // 2 + WEIGHT + WEIGHT // 2
    product, relu = (INPUT + WEIGHT + OUTPUT) // 2, OUTPUT
    assert (found.operators, found.operator_bytes) == (4, casts + product + relu)
    assert found.compulsory_bytes == WEIGHT + INPUT + OUTPUT // 2


def test_training_writes_gradients_and_weights(traffic):
    found = traffic(mode="training")
    assert found.compulsory_bytes == 3 * WEIGHT + INPUT
    assert found.operator_bytes > 2 * traffic().operator_bytes
    assert sum(found.by_size.values()) == found.operator_bytes


def test_a_net_that_needs_values_is_counted_with_real_ones(traffic):
    found, plain = traffic("peeks"), traffic()
    comparison = INPUT + 4 + 4 + 1  # the sum, and whether it is above 0
    assert found.operator_bytes in (plain.operator_bytes + comparison + 1, comparison + 1)
    assert found.operators >= 3


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "amp_bf16", "amp_fp16"])
def test_without_values_all_is_counted_that_real_ones_show(precision, memory_format, mode):
    """A real step of a large batch takes seconds, and its memory."""
    case = replace(LENET, precision=precision, memory_format=memory_format, mode=mode)
    assert module._counted(case, values=False) == module._counted(case, values=True)


def test_a_net_that_runs_nowhere_has_no_figure_but_a_reason(case):
    reasons = dict.fromkeys(COUNTED, "not counted: ValueError: no such thing")
    assert step_counts(case("breaks")) == (None, Counts(reasons=reasons))


def test_the_compiler_changes_nothing_of_what_eager_operators_would_do():
    assert step_counts(replace(LENET, compile_mode="default")) == step_counts(LENET)


def test_another_memory_format_is_copied_where_the_net_needs_its_own():
    plain, last = (step_counts(replace(LENET, memory_format=each)) for each in ("contiguous", "channels_last"))
    flattened = 8 * 16 * 5 * 5 * 4
    assert last[0].operator_bytes - plain[0].operator_bytes == 2 * flattened
    assert last[1].allocated_bytes - plain[1].allocated_bytes == flattened
    assert last[1].operators["aten::clone"] == 1
    assert last[1].flops == plain[1].flops


def test_what_tiny_comes_to(counts):
    assert counts() == Counts(
        operators={"aten::mm": 1, "aten::relu": 1, "aten::t": 1, "aten::view": 1}, flops=IMAGES * 2 * 6 * 4,
        bytes=INPUT + WEIGHT + OUTPUT + 2 * OUTPUT, allocations=2, allocated_bytes=2 * OUTPUT,
    )  # fmt: skip


def test_what_is_changed_in_place_allocates_nothing(counts):
    assert (counts("inplace").allocations, counts("inplace").operators["aten::relu_"]) == (1, 1)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "amp_bf16"])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_the_step_that_is_timed_does_what_was_counted(precision, memory_format, tmp_path):
    case = replace(LENET, mode="training", precision=precision, memory_format=memory_format, threads=1)
    work = workload(case, correctness.load(prepare(case, tmp_path / "lenet.pt").path))
    work.step()
    with OperatorCounter() as real:
        work.step()
    ours = {name: count for name, count in real.operators.items() if name.startswith("aten::")}
    counted = step_counts(case)[1]
    assert counted.operators == ours
    assert (counted.flops, counted.bytes) == (real.flops, sum(real.touched))
    assert (counted.allocations, counted.allocated_bytes) == (len(real.allocated), sum(real.allocated))


def test_the_same_code_twice_comes_to_the_same(counts):
    assert counts(mode="training") == counts(mode="training")


def test_lenet():
    found, _ = step_counts(LENET)
    assert found.operators == 2 * 3 + 3 + 2  # convolution, sigmoid, pool twice; product three times, sigmoid twice
    weights, logits = 61_706 * 4, 8 * 10 * 4
    assert found.compulsory_bytes == weights + 8 * 28 * 28 * 4 + logits


def test_sizes_are_powers_of_two_above():
    assert by_size([1, 2, 3, 4, 5, 1024, 1025]) == {"0": 1, "1": 2, "2": 7, "3": 5, "10": 1024, "11": 1025}
    assert by_size([0]) == {"0": 0}
