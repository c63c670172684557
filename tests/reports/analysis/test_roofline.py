"""What bounds a case, from ceilings that are known."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.machine import ceilings
from bench.machine.bounds import Bounds, Work, bounds, classify
from bench.machine.ceilings import Best, Ceilings
from bench.records.record import Flops, Traffic
from reports.analysis import roofline
from reports.cli import app
from reports.references.datasheet import PROMISES, promise_for
from tests.support.samples import LENET, ended, measured, micro, results

GIGA = 10**9
KNOWN = Ceilings(
    {"cpu-t2-fp32": Best(100 * GIGA, "matmul"), "cpu-t2-bf16": Best(400 * GIGA, "matmul")},
    {"cpu-t2": {2**10: Best(80 * GIGA, "copy"), 2**20: Best(40 * GIGA, "copy"), 2**30: Best(10 * GIGA, "copy")}},
    {"cpu-t2": Best(1e-6, "dispatch")},
)
WORK = Work(
    seconds=1.0, flops=50 * GIGA, by_size={"10": 8 * GIGA, "20": 4 * GIGA, "25": GIGA}, operators=1000, device="cpu",
    threads=2, precision="fp32",
)  # fmt: skip
TRAFFIC = Traffic(compulsory_bytes=GIGA, operator_bytes=13 * GIGA, operators=1000, by_size=WORK.by_size)


def net(seconds=1.0, flops=50 * GIGA, **changes):
    case = replace(LENET, **changes)
    return measured(
        case, (seconds,) * 7, flops=Flops(forward_per_image=flops // 8, step=flops), traffic=TRAFFIC
    )  # fmt: skip


def test_each_bound_is_the_least_time_of_its_kind():
    assert bounds(WORK, KNOWN) == Bounds(
        compute=pytest.approx(0.5), bandwidth=pytest.approx(0.1 + 0.1 + 0.1), dispatch=pytest.approx(1e-3)
    )


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({"precision": "fp16"}, {"compute"}),
        ({"threads": 1}, {"compute", "bandwidth", "dispatch"}),
        ({"device": "cuda:0"}, {"compute", "bandwidth", "dispatch"}),
        ({"operators": None}, {"dispatch"}),
        ({"precision": "amp_bf16"}, set()),
    ],
)
def test_without_a_ceiling_there_is_no_bound(changes, unknown):
    found = bounds(replace(WORK, **changes), KNOWN)
    assert {"compute", "bandwidth", "dispatch"} - found.known().keys() == unknown


@pytest.mark.parametrize(
    ("seconds", "found", "bound", "words"),
    [
        (1.0, Bounds(compute=0.5, bandwidth=0.3, dispatch=0.1), "compute-bound", "compute alone explains 50.0% of"),
        (1.0, Bounds(compute=0.3, bandwidth=0.5, dispatch=None), "bandwidth-bound", "bandwidth alone explains 50.0%"),
        (1.0, Bounds(compute=0.3, bandwidth=0.2, dispatch=0.4), "overhead-bound", "dispatch alone explains 40.0%"),
        (1.0, Bounds(compute=0.199, bandwidth=0.1, dispatch=0.1), "overhead-bound", "5.0 times the largest bound ("),
        (1.0, Bounds(compute=0.2, bandwidth=0.1, dispatch=0.1), "compute-bound", "compute alone explains 20.0%"),
        (0.4, Bounds(compute=0.5, bandwidth=0.1, dispatch=0.1), "compute-bound", "compute alone explains 125.0%"),
        (1.0, Bounds(compute=None, bandwidth=0.9, dispatch=0.1), None, "ceilings unknown"),
        (1.0, Bounds(compute=0.9, bandwidth=None, dispatch=0.1), None, "pytest bench/ --suite hardware"),
    ],
)
def test_the_largest_bound_decides_and_says_by_how_much(seconds, found, bound, words):
    name, decided_by = classify(seconds, found)
    assert name == bound
    assert words in decided_by


def analysed(record, models=None):
    return roofline.analysis(record, KNOWN, models or {})


def test_a_case_has_its_rates_shares_and_intensities():
    found = analysed(net())
    assert found["bound"] == "compute-bound"
    assert found["share_of_ceiling"] == pytest.approx(0.5)
    assert found["operator_bytes_per_second"] == pytest.approx(13 * GIGA)
    assert found["operator_intensity"] == pytest.approx(50 / 13)
    assert found["compulsory_intensity"] == pytest.approx(50)
    assert (found["ceiling_case"], found["bandwidth_bytes"]) == ("matmul", "operators'")
    assert found["share_of_datasheet"] is None


def test_of_a_compiled_case_only_the_compulsory_bytes_are_sure():
    found = analysed(net(compile_mode="default"))
    assert found["bandwidth_seconds"] == pytest.approx(0.1)  # 1 GB at 10 GB/s: no smaller set was that large
    assert found["dispatch_seconds"] is None
    assert found["bandwidth_bytes"] == "compulsory"


def test_nothing_is_clamped():
    assert analysed(net(seconds=0.25))["share_of_ceiling"] == pytest.approx(2.0)


def test_the_data_sheet_counts_where_the_device_is_known():
    gpu = Ceilings({"cuda:0-t2-fp32": Best(6e12, "matmul")})
    record = net(device="cuda:0", flops=810 * GIGA)
    found = roofline.analysis(record, gpu, {"cuda:0": "Tesla T4"})
    assert found["share_of_datasheet"] == pytest.approx(0.1)
    assert roofline.analysis(record, gpu, {"cuda:0": "Tesla T5"})["share_of_datasheet"] is None
    assert (
        roofline.analysis(net(device="cuda:0", precision="bf16"), gpu, {"cuda:0": "Tesla T4"})["share_of_datasheet"]
        is None
    )


@pytest.fixture
def file(tmp_path):
    def file(name, *records, machine="f00d"):
        data = results(*records)
        data["dlhw"]["fingerprint"] = machine
        (tmp_path / name).write_text(json.dumps(data))
        return tmp_path / name

    return file


HARDWARE = (
    micro("matmul-64x64x64-fp32-cpu-t2", 100e9), micro("copy-512-fp32-cpu-t2", 80e9, metric="bytes_per_second"),
    micro("copy-536870912-fp32-cpu-t2", 10e9, metric="bytes_per_second"),
)  # fmt: skip


def test_ceilings_come_from_the_files_of_the_same_machine(file):
    paths = [file("net.json", net()), file("hw.json", *HARDWARE), file("other.json", net(), machine="beef")]
    frame = roofline.load(paths)
    assert frame["bound"].tolist() == ["bandwidth-bound", pd.NA]
    assert frame["file"].tolist() == [str(paths[0]), str(paths[2])]
    assert list(frame.columns) == list(roofline.COLUMNS)


def test_ceilings_come_from_earlier_runs_too(file, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = file("net.json", net())
    assert roofline.load([path])["bound"].isna().all()
    ceilings.keep(KNOWN, "f00d")
    assert roofline.load([path])["bound"].tolist() == ["compute-bound"]


def run(*arguments):
    return CliRunner().invoke(app, ["roofline", *map(str, arguments)])


def test_the_command_prints_a_row_a_measured_net(file):
    path = file("all.json", net(), net(batch_size=16), ended("timeout", "x", replace(LENET, threads=1)), *HARDWARE)
    header, *rows = run(path).output.splitlines()
    assert header.split("\t") == [
        "batch size", "time a step", "bound", "FLOP/s", "of the ceiling", "FLOPs a byte", "decided by"
    ]  # fmt: skip
    assert [row.split("\t")[:2] for row in rows] == [["8", "1.00 s"], ["16", "1.00 s"]]
    assert "50 compulsory, 3.85 operators'" in rows[0]


def test_the_command_writes_plain_numbers(file):
    rows = json.loads(run(file("all.json", net(), *HARDWARE), "--json", "-").output)
    assert rows[0]["compute_seconds"] == pytest.approx(0.5)
    assert rows[0]["share_of_datasheet"] is None


def test_without_nets_there_is_nothing_to_bound(file):
    from suites.errors import DlhwError

    with pytest.raises(DlhwError, match="no measured net in it whose bytes are known"):
        roofline.load([file("hw.json", *HARDWARE)])


# Data sheets: names as torch gives them.
NAMES = [
    "Tesla V100-SXM2-16GB", "Tesla V100-SXM2-32GB", "Tesla V100-PCIE-16GB", "Tesla T4", "NVIDIA A100-SXM4-40GB",
    "NVIDIA A100-PCIE-40GB", "NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe", "NVIDIA A10", "NVIDIA L4", "NVIDIA L40S",
    "NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA H200", "NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 4090",
    "AMD Instinct MI300X",
]  # fmt: skip


def test_every_promise_is_somebodys_and_no_name_has_two():
    import re

    matching = {name: [pattern for pattern in PROMISES if re.fullmatch(pattern, name)] for name in NAMES}
    assert all(len(found) == 1 for found in matching.values())
    assert {found[0] for found in matching.values()} == set(PROMISES)


@pytest.mark.parametrize(
    "name", ["NVIDIA L40", "NVIDIA A100X", "NVIDIA GeForce RTX 4090 Laptop GPU", "", None, "NVIDIA A10G"]
)
def test_what_is_not_known_has_no_promise(name):
    assert promise_for(name) is None


@pytest.mark.parametrize("name", NAMES)
def test_peaks_are_dense_and_of_the_right_order(name):
    promise = promise_for(name)
    assert promise.source
    assert promise.fp32 < promise.half
    assert 1 < promise.half / promise.bytes_per_second < 1000
    assert promise.flops_per_second("amp_fp16") == promise.half
    if promise.tf32:
        assert 0.98 < promise.half / promise.tf32 / 2 < 1.02  # a tensor core does half as many of twice the width
    else:
        assert promise.flops_per_second("bf16") is None


def test_a_precision_has_its_own_peak():
    a100 = promise_for("NVIDIA A100-SXM4-80GB")
    assert [a100.flops_per_second(p) / 1e12 for p in ("fp32", "tf32", "bf16", "fp16", "amp_bf16")] == [
        19.5, 156, 312, 312, 312,
    ]  # fmt: skip
