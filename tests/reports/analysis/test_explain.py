"""Why a case takes as long as it does, in lines made of known figures."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bench.records.record import Counts, Flops, Traffic
from reports.analysis.explain import explain
from reports.cli import app
from suites.errors import DlhwError
from tests.support.samples import LENET, ended, faulting, measured, micro, write

ID = LENET.id
TRAFFIC = Traffic(compulsory_bytes=2**20, operator_bytes=4 * 2**20, operators=11, by_size={"22": 4 * 2**20})
FLOPS = Flops(forward_per_image=10**7, step=8 * 10**7)
HARDWARE = (
    micro("matmul-64x64x64-fp32-cpu-t2", 40e9), micro("copy-67108864-fp32-cpu-t2", 2.0**32, metric="bytes_per_second"),
    micro("dispatch-1-fp32-cpu-t2", 1e-6, metric="seconds"),
)  # fmt: skip


def net(seconds=0.004, spread=0.0, **changes):
    samples = tuple(seconds * (1 + spread * sign) for sign in (-1, -1, -1, 0, 1, 1, 1))
    parts = {name: changes.pop(name) for name in ("noisy", "traffic") if name in changes}
    return measured(replace(LENET, **changes), samples, **{"flops": FLOPS, "traffic": TRAFFIC} | parts)


@pytest.fixture
def lines(tmp_path):
    """The lines of one case among these records."""
    return lambda *records, case=ID: [
        f"{subject}: {text}" for subject, text in explain([write(tmp_path / "r.json", *records)], case).lines
    ]


def test_ten_lines(lines):
    found = lines(
        net(), net(0.001, precision="bf16"), net(0.0039, spread=0.1, memory_format="channels_last"),
        net(0.008, threads=1), net(0.0025, compile_mode="default"), net(0.016, batch_size=32), *HARDWARE,
    )  # fmt: skip
    assert found == [
        "time: 4.00 ms [4.00, 4.00] a step, 2,000 img/s, 1 process",
        "arithmetic: 80.0 MFLOP at 20.0 GFLOP/s, 50.0% of the best seen here (40.0 GFLOP/s): at that rate 2.00 ms",
        "memory traffic: at least 1.00 MiB (76.3 FLOPs a byte), as eager operators 4.00 MiB (19.1); "
        "the operators' take 977 us at the bandwidth seen here",
        "dispatch: 11 operators: 11.0 us of asking",
        "so it is: compute-bound: compute alone explains 50.0% of the time "
        "(compute 2.00 ms, bandwidth 977 us, dispatch 11.0 us)",
        "memory: 300 MiB at the peak, 200 MiB of it before there was a net; weights 241 KiB",
        "settings: helped most here: precision bf16: 4.00 times [4.00, 4.00] as many images/s",
        "settings: compile_mode default: 1.60 times [1.60, 1.60] as many images/s",
        "settings: memory_format channels_last: 1.03 times [0.932, 1.14] as many images/s, which may be noise",
        "settings: batch_size 32: 1.00 times [1.00, 1.00] as many images/s, which may be noise",
        "settings: threads 1: 0.500 times [0.500, 0.500] as many images/s",
    ]


def test_the_best_of_each_axis_and_what_was_not_tried(lines):
    found = lines(net(), net(0.001, precision="bf16"), net(0.003, precision="fp16"), net(0.1, mode="training"))
    assert found[-2:] == [
        "settings: helped most here: precision bf16: 4.00 times [4.00, 4.00] as many images/s",
        "settings: not in these results, with all else equal: other values of memory_format, compile_mode, threads, "
        "batch_size",
    ]


def test_a_gain_that_noise_may_explain_helped_nobody(lines):
    found = lines(net(spread=0.2), net(0.0039, spread=0.2, precision="bf16"))
    assert not any("helped most" in line for line in found)


def test_cases_that_differ_in_two_ways_are_no_pair(lines):
    found = lines(net(), net(0.001, precision="bf16", memory_format="channels_last"))
    assert not any(line.startswith("settings: precision") for line in found)


def test_of_a_compiled_case_the_kernels_are_nobodys_knowledge(lines):
    compiled = net(compile_mode="default")
    found = lines(compiled, *HARDWARE, case=compiled.id)
    assert "dispatch: 11 eager operators, fused into nobody knows how many kernels" in found
    assert any("the least take 244 us at the bandwidth seen here" in line for line in found)


def test_page_faults_are_told(lines):
    record = faulting((250_000.0, 0.3), (750_000.0, 0.5), samples=100, median_seconds=0.004, record=net())
    assert [line for line in lines(record) if line.startswith("page faults")] == [
        "page faults: 2,000 a step; the kernel was at work for 40.0% of the time: memory given back is mapped anew, "
        "which another allocator may spare (docs/method.md, Page faults)"
    ]


def test_what_was_counted_is_said(lines):
    counts = Counts(
        operators={"aten::convolution": 2, "aten::sigmoid": 4, "aten::addmm": 3, "aten::t": 3}, allocations=11,
        allocated_bytes=2**20, graphs=1, kernels=5, instructions=1_200_000,
    )  # fmt: skip
    assert (
        "work: 12 operators dispatched, most of all 4 aten::sigmoid, 3 aten::addmm, 3 aten::t; 11 allocations of "
        "1.00 MiB; compiled to 1 graphs, 5 kernels of Inductor's own; 1.20 M instructions"
    ) in lines(replace(net(), counts=counts))


def test_without_ceilings_the_case_is_not_classified(lines):
    found = lines(net())
    assert "arithmetic: 80.0 MFLOP at 20.0 GFLOP/s; this machine's best is not known" in found
    assert any(line.startswith("so it is: not classified: ceilings unknown") for line in found)


def test_what_could_not_be_counted_is_said(lines):
    assert "bounds: unknown: the net's FLOPs or bytes could not be counted" in lines(net(traffic=None), *HARDWARE)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (ID.replace("t2", "t3"), f"not in these results (did you mean '{ID}'?); dlhw table shows the ids"),
        (ID.replace("b8", "b64"), "timeout: no end after 3 s"),
        ("matmul-64x64x64-fp32-cpu-t2", "a micro-benchmark explains others: dlhw findings"),
        ("lenet", "is no case id; one reads"),
    ],
)
def test_a_case_that_cannot_be_explained_is_one_clear_error(lines, case, words):
    with pytest.raises(DlhwError) as caught:
        lines(net(), ended("timeout", "no end after 3 s", replace(LENET, batch_size=64)), *HARDWARE, case=case)
    assert words in str(caught.value)


def test_the_command_prints_lines_or_numbers(tmp_path):
    path = write(tmp_path / "r.json", net(), net(0.001, precision="bf16"), *HARDWARE)
    run = CliRunner().invoke
    assert run(app, ["explain", str(path), "--case", ID]).output.startswith("time\t4.00 ms [4.00, 4.00] a step")
    data = json.loads(run(app, ["explain", str(path), "--case", ID, "--json"]).output)
    assert data["bounds"]["compute"] == pytest.approx(0.002)
    assert data["toggles"][0]["gain"]["value"] == pytest.approx(4.0)
    assert data["bound"] == "compute-bound"


def test_a_setting_that_was_disturbed_has_not_helped_most(lines):
    other = net(0.001, precision="bf16")
    disturbed = replace(other, sampling=replace(other.sampling, noisy=("steal 9%",)))
    (found,) = [line for line in lines(net(), disturbed, *HARDWARE) if "precision bf16" in line]
    assert found.startswith("settings: precision bf16")
    assert found.endswith("as many images/s, but one of the two was disturbed")
