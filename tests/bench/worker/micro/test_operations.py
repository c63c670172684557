"""Operations of the host: each does what it says, and its amount is what it does."""

import contextlib
import itertools
import math
import os
import shutil

import pytest
import torch

from bench.records.record import Status
from bench.worker.events import Events
from bench.worker.micro import compute, measure, memory, prepared
from bench.worker.micro.measure import BUILDERS, MicroMeasurer
from bench.worker.micro.prepared import Order, dtype_of, random
from bench.worker.nets.correctness import Unsuitable
from suites.case import Budget
from suites.micro import OPERATIONS, Micro

BUDGET = Budget(precision=0.5, min_samples=3, min_seconds=0, max_seconds=0.02, warmup_seconds=0.02)
HAS_CC = any(shutil.which(name) for name in (os.environ.get("CC", "cc"), "gcc", "clang"))
HAS_CXX = any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


@pytest.fixture
def order(tmp_path):
    """Makes orders for an operation; what they start is ended with the test."""
    with contextlib.ExitStack() as closing, (tmp_path / "events").open("wb") as events:
        talk = Events(events.fileno())

        def order(operation, variant="", size=(64,), precision="fp32"):
            case = Micro(operation=operation, variant=variant, size=size, precision=precision, device="cpu", threads=1)
            return Order(case, talk, closing)

        yield order


def seen(step):
    """The tensors that a step's closure works on, by name."""
    return {
        name: cell.cell_contents
        for name, cell in zip(step.__code__.co_freevars, step.__closure__ or (), strict=True)
        if isinstance(cell.cell_contents, torch.Tensor)
    }


def test_every_operation_has_a_builder():
    assert set(BUILDERS) == set(OPERATIONS)


def test_a_copy_copies_and_counts_reading_and_writing(order):
    ready = memory.copy(order("copy", size=(4096,)))
    tensors = seen(ready.step)
    tensors["target"].zero_()
    ready.step()
    assert torch.equal(tensors["target"], tensors["source"])
    assert tensors["source"].unique().numel() > 1000
    assert (ready.metric, ready.amount) == ("bytes_per_second", 2 * 4096)


def test_a_triad_is_a_plus_three_b_and_counts_three_arrays(order):
    ready = memory.triad(order("triad", size=(4096,)))
    tensors = seen(ready.step)
    tensors["second"].fill_(2.0)
    ready.step()
    assert torch.equal(tensors["third"], tensors["first"] + 6.0)
    assert (ready.metric, ready.amount) == ("bytes_per_second", 3 * 4096)


@pytest.mark.parametrize("octets", [64, 128, 4096, 100_000])
def test_a_chain_visits_every_line_once_and_comes_back(octets):
    chain = memory._chain(octets)
    begin, lines = chain.data_ptr(), max(2, octets // 64)
    at, visited = begin, []
    for _ in range(lines):
        visited.append(at)
        at = int(chain[(at - begin) // 8])
    assert at == begin
    assert sorted(visited) == [begin + 64 * line for line in range(lines)]
    if lines > 50:
        assert sum(abs(b - a) == 64 for a, b in itertools.pairwise(visited)) < lines / 4


@pytest.mark.skipif(not HAS_CC, reason="needs a C compiler")
def test_a_chase_goes_on_from_where_it_was(order):
    ready = memory.memory_latency(order("memory_latency", "chase", (64 * 1024,)))
    assert (ready.metric, ready.amount) == ("seconds", memory.HOPS)
    kept = next(cell.cell_contents for cell in ready.step.__closure__ if isinstance(cell.cell_contents, dict))
    begin, second = kept["chain"].data_ptr(), int(kept["chain"][0])
    ready.step()
    assert memory.HOPS % 1024 == 0
    assert kept["at"] == begin  # a cycle of 1,024 lines, some times round
    kept["at"] = second
    ready.step()
    assert kept["at"] == second


def test_without_a_compiler_there_is_no_chase(order, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Unsuitable, match="needs a C compiler"):
        memory.memory_latency(order("memory_latency", "chase"))


def test_a_gather_reads_what_its_index_says(order):
    ready = memory.memory_latency(order("memory_latency", "gather", (2**20,)))
    tensors = seen(ready.step)
    ready.step()
    assert torch.equal(tensors["found"], tensors["values"][tensors["index"]])
    assert tensors["index"].max() > 0.99 * 2**18  # the whole of the working set
    assert (ready.metric, ready.amount) == ("seconds", memory.GATHERED)


@pytest.mark.parametrize("variant", ["rows", "columns"])
def test_lines_of_a_matrix_lie_as_they_are_called(order, variant):
    ready = memory.stride(order("stride", variant, (32,)))
    lines = next(cell.cell_contents for cell in ready.step.__closure__ if isinstance(cell.cell_contents, tuple))
    assert {line.stride() for line in lines} == {(1 if variant == "rows" else 32,)}
    assert (len(lines), ready.amount) == (32, 32 * 32)


def test_a_stride_reads_as_many_numbers_however_far_apart(order):
    for elements in (1, 64):
        ready = memory.stride(order("stride", "step", (elements,)))
        assert ready.step.__self__.stride() == (elements,)
        assert (ready.step.__self__.numel(), ready.amount) == (memory.STRIDED, memory.STRIDED)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_matrix_product_is_one_and_counts_two_a_multiply_add(order, precision):
    ready = compute.matmul(order("matmul", size=(8, 16, 4), precision=precision))
    tensors = seen(ready.step)
    ready.step()
    assert tensors["out"].shape == (8, 4)
    assert tensors["out"].dtype is dtype_of(order("matmul", precision=precision).case)
    torch.testing.assert_close(tensors["out"], tensors["left"] @ tensors["right"])
    assert (ready.metric, ready.amount) == ("flops_per_second", 2 * 8 * 16 * 4)


@pytest.mark.parametrize("variant", OPERATIONS["convolution"].variants)
def test_a_convolution_keeps_its_size_and_format_and_counts_as_torch_does(order, variant):
    from torch.utils.flop_counter import FlopCounterMode

    ready = compute.convolution(order("convolution", variant, (2, 16, 8)))
    with FlopCounterMode(display=False) as counter:
        out = ready.step()
    assert out.shape == (2, 16, 8, 8)
    layout = torch.channels_last if variant.endswith("channels_last") else torch.contiguous_format
    assert out.is_contiguous(memory_format=layout)
    assert ready.amount == counter.get_total_flops()


@pytest.mark.parametrize(("variant", "amount"), [("matmul", 2 * 9**3), ("convolution", 2 * 8 * 9 * 9 * 9 * 28 * 28)])
def test_alignment_is_of_a_product_or_a_convolution(order, variant, amount):
    ready = compute.alignment(order("alignment", variant, (9,)))
    ready.step()
    assert (ready.metric, ready.amount) == ("flops_per_second", amount)


def test_threads_are_the_cases_own_axis(order):
    assert compute.threads(order("threads", "matmul", (8,))).amount == 2 * 8**3
    assert compute.threads(order("threads", "copy", (64,))).amount == 128


def test_a_loop_and_a_vector_add_the_same(order):
    found = []
    for variant in ("loop", "vector"):
        ready = compute.vectorised(order("vectorised", variant, (50,)))
        ready.step()
        found.append(seen(ready.step)["out"] if variant == "vector" else seen(ready.step)["out"].clone())
        assert (ready.metric, ready.amount) == ("seconds", 50)
    assert torch.equal(*found)


def test_a_dispatch_adds(order):
    ready = compute.dispatch(order("dispatch", size=(3,)))
    ready.step()
    tensors = seen(ready.step)
    assert torch.equal(tensors["out"], tensors["left"] + tensors["right"])
    assert (ready.metric, ready.amount) == ("seconds", 1)


@pytest.mark.skipif(not HAS_CXX, reason="needs a C++ compiler")
def test_a_compiled_chain_is_the_eager_one(order):
    eager = compute.fusion(order("fusion", "eager", (8, 1000)))
    compiled = compute.fusion(order("fusion", "compiled", (8, 1000)))
    with torch.inference_mode():
        torch.testing.assert_close(compiled.step(), eager.step())
    assert compiled.details["compile_seconds"] > 0
    assert "compile_seconds" not in eager.details


def test_random_numbers_are_seeded_and_of_the_precision(order):
    first, again = random(order("copy", precision="bf16"), 3, 5), random(order("copy", precision="bf16"), 3, 5)
    assert torch.equal(first, again)
    assert (first.shape, first.dtype) == ((3, 5), torch.bfloat16)


def test_many_random_numbers_repeat_but_no_row_is_like_another(order, monkeypatch):
    monkeypatch.setattr(prepared, "DISTINCT", 7)
    found = random(order("copy"), 5, 4)
    assert torch.equal(found.flatten()[:7], found.flatten()[7:14])
    assert len({tuple(row.tolist()) for row in found}) == 5
    assert math.gcd(2**20 + 7, 2**10) == 1


def test_autocasts_precisions_mean_nothing_to_an_operation(order):
    with pytest.raises(ValueError, match="operands of one type; precisions: fp32, tf32, bf16, fp16"):
        dtype_of(order("copy", precision="amp_bf16").case)


@pytest.fixture
def run(tmp_path):
    with (tmp_path / "events").open("wb") as events:

        def run(text, once=False):
            threads = torch.get_num_threads()
            try:
                return MicroMeasurer(Events(events.fileno()), Micro.parse(text), BUDGET).run(once)
            finally:
                torch.set_num_threads(threads)

        yield run


def test_a_measured_operation_is_a_record(run):
    record = run("matmul-16x16x16-fp32-cpu-t1")
    assert (record.id, record.outcome.status) == ("matmul-16x16x16-fp32-cpu-t1", Status.MEASURED)
    assert (record.work.metric, record.work.amount) == ("flops_per_second", 2 * 16**3)
    assert len(record.seconds) == record.sampling.launches[0].samples >= 3
    assert record.case["kind"] == "micro"
    assert record.backends["cuda.matmul"] == "ieee"
    assert set(record.cost) == {"building", "sampling"}


def test_an_operation_that_is_computed_in_another_precision_is_no_figure(run, monkeypatch):
    def build(order):
        torch.backends.cudnn.conv.fp32_precision = "tf32"
        return prepared.Prepared(lambda: None, "seconds", 1)

    monkeypatch.setattr(measure, "BUILDERS", {"copy": build})
    record = run("copy-64-fp32-cpu-t1")
    assert (record.outcome.status, record.outcome.reason) == (
        Status.FAILED, "fp32 precision: cudnn.conv is tf32, not ieee",
    )  # fmt: skip
    assert record.seconds == ()


def test_once_is_once(run, monkeypatch):
    taken = []
    ready = prepared.Prepared(lambda: taken.append(1), "seconds", 1)
    monkeypatch.setattr(measure, "BUILDERS", {"copy": lambda order: ready})
    record = run("copy-64-fp32-cpu-t1", once=True)
    assert (record.outcome.status, taken) == (Status.SKIPPED, [1])
    assert record.seconds == ()


def test_what_was_started_is_ended_whatever_happens(run, monkeypatch):
    ended = []

    def build(order):
        order.closing.callback(ended.append, 1)
        raise MemoryError

    monkeypatch.setattr(measure, "BUILDERS", {"copy": build})
    with pytest.raises(MemoryError):
        run("copy-64-fp32-cpu-t1")
    assert ended == [1]


def test_operations_run_without_autograd_but_for_training(run, monkeypatch):
    modes = []
    for operation in ("copy", "scaling"):
        ready = prepared.Prepared(lambda: modes.append(torch.is_inference_mode_enabled()), "seconds", 1)
        monkeypatch.setitem(BUILDERS, operation, lambda order, ready=ready: ready)
    run("copy-64-fp32-cpu-t1")
    assert set(modes) == {True}
    modes.clear()
    run("scaling-lenet-1x16-fp32-cpu-t1")
    assert set(modes) == {False}
