"""The best that a machine was seen to do, and where it is kept."""

import json
from dataclasses import replace

import pytest

from bench.machine import ceilings
from bench.machine.ceilings import Best, Ceilings
from suites.errors import DlhwError
from suites.micro import Micro
from tests.support.samples import ended, measured, micro

RECORDS = (
    micro("matmul-64x64x64-fp32-cpu-t2", 100e9),
    micro("convolution-k3_contiguous-4x64x56-fp32-cpu-t2", 120e9),
    micro("alignment-matmul-64-fp32-cpu-t2", 110e9),
    micro("matmul-64x64x64-bf16-cpu-t2", 300e9),
    micro("matmul-64x64x64-fp32-cpu-t1", 60e9),
    micro("copy-1024-fp32-cpu-t2", 40e9, metric="bytes_per_second"),
    micro("copy-4096-fp32-cpu-t2", 80e9, metric="bytes_per_second"),
    micro("triad-4096-fp32-cpu-t2", 90e9, metric="bytes_per_second"),
    micro("copy-65536-fp32-cpu-t2", 20e9, metric="bytes_per_second"),
    micro("dispatch-1-fp32-cpu-t2", 1.2e-6, metric="seconds"),
    micro("dispatch-4-fp32-cpu-t2", 1.0e-6, metric="seconds"),
    micro("vectorised-loop-4-fp32-cpu-t2", 1.0e-9, metric="seconds"),
    measured(),
    ended("timeout", "too slow", Micro.parse("matmul-99x9x9-fp32-cpu-t2")),
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def values(found):
    return {name: (pytest.approx(best.value), best.case) for name, best in found.items()}


def test_the_best_of_each_kind_and_the_case_that_reached_it():
    found = ceilings.measured(RECORDS)
    assert values(found.flops_per_second) == {
        "cpu-t2-fp32": (120e9, "convolution-k3_contiguous-4x64x56-fp32-cpu-t2"),
        "cpu-t2-bf16": (300e9, "matmul-64x64x64-bf16-cpu-t2"),
        "cpu-t1-fp32": (60e9, "matmul-64x64x64-fp32-cpu-t1"),
    }
    assert values(found.dispatch_seconds) == {"cpu-t2": (1.0e-6, "dispatch-4-fp32-cpu-t2")}
    assert {size: round(best.value / 1e9) for size, best in found.bytes_per_second["cpu-t2"].items()} == {
        2 * 1024: 40, 2 * 4096: 80, 3 * 4096: 90, 2 * 65536: 20,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("octets", "gigabytes"),
    [(1, 90), (2048, 90), (3 * 4096, 90), (3 * 4096 + 1, 20), (2 * 65536, 20), (10**12, 20)],
)
def test_a_working_set_is_as_fast_as_the_best_that_is_no_smaller(octets, gigabytes):
    best = ceilings.measured(RECORDS).bandwidth("cpu", 2, octets)
    assert best.value == pytest.approx(gigabytes * 1e9)


def test_what_was_not_measured_has_no_ceiling():
    assert ceilings.measured(RECORDS).bandwidth("cpu", 1, 64) is None
    assert not ceilings.measured([measured()]).known
    assert ceilings.measured(RECORDS).known


def test_autocast_is_held_against_the_type_that_it_computes_in():
    assert ceilings.key("cpu", 2, "amp_bf16") == ceilings.key("cpu", 2, "bf16") == "cpu-t2-bf16"
    assert ceilings.key("cuda:0", 8) == ceilings.key("cuda:0", 1) == "cuda:0"


def test_what_is_kept_comes_back(cache):
    found = ceilings.measured(RECORDS)
    path = ceilings.keep(found, "f00d")
    assert path == cache / "dlhw" / "ceilings" / "f00d.json"
    assert ceilings.kept("f00d") == found
    assert ceilings.kept("beef") == Ceilings()
    assert [each.name for each in path.parent.iterdir()] == ["f00d.json"]


def test_the_better_of_old_and_new_is_kept(cache):
    slow, fast = Best(1.0, "slow"), Best(2.0, "fast")
    ceilings.keep(Ceilings({"a": fast, "b": slow}, {"c": {64: slow}}, {"d": fast}), "f00d")
    ceilings.keep(Ceilings({"a": slow, "e": slow}, {"c": {64: fast, 8: slow}}, {"d": slow}), "f00d")
    assert ceilings.kept("f00d") == Ceilings(
        {"a": fast, "b": slow, "e": slow}, {"c": {64: fast, 8: slow}}, {"d": slow}
    )  # fmt: skip


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"flops_per_second": {}}', '{"flops_per_second": {"a": {"value": "x"}}}']
)
def test_a_damaged_file_is_one_clear_error_and_stays(cache, damage):
    path = ceilings.path_of("f00d")
    path.parent.mkdir(parents=True)
    path.write_text(damage)
    for use in (ceilings.kept, lambda name: ceilings.keep(ceilings.measured(RECORDS), name)):
        with pytest.raises(DlhwError, match=r"f00d\.json: damaged; delete it, and measure again"):
            use("f00d")
    assert path.read_text() == damage


def test_a_cache_that_cannot_be_written_is_one_clear_error(cache):
    (cache / "dlhw").write_text("in the way")
    with pytest.raises(DlhwError, match=r"f00d\.json: Not a directory"):
        ceilings.keep(ceilings.measured(RECORDS), "f00d")


def test_the_file_is_plain_json(cache):
    data = json.loads(ceilings.keep(ceilings.measured(RECORDS), "f00d").read_text())
    assert data["flops_per_second"]["cpu-t1-fp32"]["case"] == "matmul-64x64x64-fp32-cpu-t1"
    assert set(data["bytes_per_second"]["cpu-t2"]) == {"2048", "8192", "12288", "131072"}


def test_without_xdg_the_cache_is_at_home(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ceilings.path_of("f00d") == tmp_path / ".cache" / "dlhw" / "ceilings" / "f00d.json"


def test_what_was_disturbed_is_nobodys_best():
    best = micro("matmul-64x64x64-fp32-cpu-t2", 900e9)
    disturbed = replace(best, sampling=replace(best.sampling, noisy=("steal 9%",)))
    assert ceilings.measured([*RECORDS, disturbed]) == ceilings.measured(RECORDS)
