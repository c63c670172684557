"""Results files to one tidy table; whatever is wrong with a file is one line that names it."""

import copy
import functools
import json
import math
import operator
from dataclasses import replace

import pytest

from bench.records.record import Counts, Launch, Memory, Sampling, Traffic, fingerprint
from reports.results import tables
from reports.results.frames import AXES, COLUMNS, load, records
from suites.axes import AXES as AXES_OF_NETS
from suites.axes import MICRO_AXES
from suites.errors import DlhwError
from tests.support.samples import ENVIRONMENT, LENET, compiled, ended, measured, micro, results, write

BIG = replace(LENET, batch_size=64)
DATA = json.loads(json.dumps(results(measured(compile=compiled(), noisy=("busy",)), ended("timeout", "slow", BIG))))


def places(data, place=()):
    """Every place in nested data, as the keys that lead to it."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield (*place, key)
        if isinstance(value, dict | list):
            yield from places(value, (*place, key))


def changed(place, value):
    """Results in which what is at `place` has another value; `...` takes it away."""
    data = copy.deepcopy(DATA)
    *parents, last = place
    inner = functools.reduce(operator.getitem, parents, data)
    inner[last] = value
    if value is ...:
        del inner[last]
    return data


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.json"


@pytest.fixture
def row(path):
    """The one row of a file with one record, without what is unknown."""
    return lambda record: load(write(path, record)).iloc[0].dropna().to_dict()


@pytest.fixture
def error(path):
    """The error that a file of this content gives, without its folder."""

    def error(content):
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        with pytest.raises(DlhwError) as caught:
            load(path)
        return str(caught.value).replace(f"{path.parent}/", "")

    return error


def cells_or_error(path):
    """The cells of a file's table for people and no error, or none and why there is no table."""
    try:
        return tables.cases(load(path)).to_numpy().flatten().tolist(), ""
    except DlhwError as error:
        return [], str(error)


def test_a_measured_case_is_a_row(row, path):
    assert row(measured()) == {
        "file": str(path), "machine": "box", "fingerprint": "f00d", "suite": "mini",
        "datetime": "2026-01-02T03:04:05+00:00", "torch": "2.11.0", "device_model": "Model 1", "id": LENET.id,
        "kind": "net", "metric": "images_per_second", "value": 2000, "value_low": 8 / 0.007, "value_high": 8000,
        "architecture": "lenet", "mode": "inference", "batch_size": 8, "precision": "fp32",
        "memory_format": "contiguous", "compile_mode": "eager", "device": "cpu", "threads": 2,
        "cudnn_benchmark": "off",
        "input_shape": "1x28x28", "parameters": 61706, "status": "measured", "reason": "", "launches": 1, "samples": 7,
        "median_seconds": 0.004, "low_seconds": 0.001, "high_seconds": 0.007, "half_width": 0.75,
        "within_half_width": 0.75, "latency_seconds": 0.004,
        "images_per_second": 2000, "samples_per_second": 2000,
        "check": "outputs of fp64 eager, 4 images", "step_flops": 833040 * 8, "forward_flops_per_image": 833040,
        "flops_per_second": 833040 * 8 / 0.004, "peak_bytes": 300 * 2**20, "peak_host_bytes": 300 * 2**20,
        "base_host_bytes": 200 * 2**20, "parameter_bytes": 246824, "relative_error": 7.2e-8, "tolerance": 1e-5,
        "noisy": "", "steady": True, "stop_reason": "precision", "cost_seconds": 1.5,
    }  # fmt: skip


def test_a_case_that_was_not_measured_is_a_row(row):
    found = row(ended("timeout", "no end after 3 s"))
    assert (found["id"], found["status"], found["reason"]) == (LENET.id, "timeout", "no end after 3 s")
    assert found["batch_size"] == 8
    assert not {"samples", "median_seconds", "images_per_second", "peak_bytes", "noisy"} & set(found)


def test_too_few_samples_have_no_interval(row):
    found = row(measured(seconds=(0.002,)))
    assert (found["median_seconds"], found["samples"]) == (0.002, 1)
    assert not {"low_seconds", "high_seconds", "half_width"} & set(found)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"compile": compiled(30.5)}, {"compile_seconds": 30.5, "graph_breaks": 1, "compile_cached": False}),
        ({"noisy": ("no steady state", "busy")}, {"noisy": "no steady state; busy"}),
        (
            {
                "memory": Memory(
                    peak_host_bytes=9, base_host_bytes=8, host_source="VmHWM", peak_allocated_bytes=70,
                    peak_reserved_bytes=80, parameter_bytes=1,
                )
            },
            {"peak_bytes": 70, "peak_host_bytes": 9, "peak_allocated_bytes": 70, "peak_reserved_bytes": 80},
        ),
        (
            {
                "sampling": Sampling(
                    launches=tuple(
                        Launch(samples=3, warmup_steps=1, steady=steady, median_seconds=1.0) for steady in (True, False)
                    ),
                    steps_per_sample=1,
                    stop_reason="max_seconds",
                )
            },
            {"steady": False, "stop_reason": "max_seconds"},
        ),
    ],
)  # fmt: skip
def test_parts_of_a_record(row, parts, expected):
    assert {key: row(measured(**parts)).get(key) for key in expected} == expected


def test_a_sharing_machines_offset_is_in_every_interval_but_the_one_within(row):
    seconds = tuple(1 + index / 1000 for index in range(7))
    plain, sharing = row(measured(seconds=seconds)), row(measured(seconds=seconds, machine_offset=0.2))
    assert sharing["machine_offset"] == 0.2
    assert sharing["low_seconds"] < plain["low_seconds"] / 1.19
    assert sharing["value_high"] > plain["value_high"] * 1.19
    assert sharing["half_width"] > plain["half_width"]
    for column in ("median_seconds", "within_half_width", "value"):
        assert sharing[column] == plain[column]


def test_columns_are_always_the_same(path):
    assert list(load(write(path, measured())).columns) == list(COLUMNS)
    assert list(load(write(path)).columns) == list(COLUMNS)
    assert load(write(path)).empty


def test_columns_hold_the_same_kind_of_value_in_every_file(path):
    full = load(write(path, measured(compile=compiled()), ended("timeout", "slow", BIG)))
    others = [
        load(write(path, measured(seconds=(1.0,) * 7, compile=compiled(2.0)))),
        load(write(path, ended("timeout", "slow"))),
        load(write(path)),
    ]
    for other in others:
        assert {column: str(kind) for column, kind in other.dtypes.items() if kind != full.dtypes[column]} == {}


def test_measured_rows_come_first_then_the_rest(path):
    frame = load(write(path, ended("timeout", "slow", BIG), measured()))
    assert list(frame["id"]) == [LENET.id, BIG.id]


def test_many_files_are_one_table(tmp_path):
    paths = [write(tmp_path / "a.json", measured()), write(tmp_path / "b.json", measured(BIG), measured())]
    frame = load(map(str, paths))
    assert list(frame["file"]) == [str(paths[0]), str(paths[1]), str(paths[1])]
    assert list(frame.index) == [0, 1, 2]


def test_the_way_in_for_notebooks(path):
    import reports

    assert len(reports.load(str(write(path, measured())))) == 1
    assert reports.__all__ == ["load"]


def test_every_axis_of_a_suite_is_a_column():
    assert {*AXES_OF_NETS, *MICRO_AXES} - {"image_size"} == set(AXES) - {"input_shape"}
    assert set(AXES) <= set(COLUMNS)


def test_records_are_those_that_were_written():
    found = list(records(json.loads(json.dumps(results(measured(), ended("failed", "ValueError", BIG))))))
    assert [record.to_json() for record in found] == [
        measured().to_json(),
        ended("failed", "ValueError", BIG).to_json(),
    ]


def test_results_without_samples_have_their_median(row):
    data = results(measured())
    del data["benchmarks"][0]["stats"]["data"]
    (record,) = records(json.loads(json.dumps(data)))
    assert record.seconds == (1.0,)


def test_the_fingerprint_is_made_where_none_was_written(path):
    data = results(measured())
    del data["dlhw"]["fingerprint"]
    path.write_text(json.dumps(data))
    assert load(path)["fingerprint"].item() == fingerprint(ENVIRONMENT)


@pytest.mark.parametrize("key", ["machine_info", "devices", "torch", "host"])
def test_a_machine_that_nothing_is_known_of_has_results_all_the_same(path, key):
    data = changed(("dlhw", "fingerprint"), ...)
    (data if key == "machine_info" else data["machine_info"])[key] = {} if key == "machine_info" else None
    path.write_text(json.dumps(data))
    assert load(path)["images_per_second"].iloc[0] == 2000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "results.json:1: not valid JSON, cut short perhaps (Expecting value)"),
        (b'{"benchmarks": [\n{"a"', "results.json:2: not valid JSON, cut short perhaps (Expecting ':' delimiter)"),
        (json.dumps(results(measured()))[:-9].encode(), "results.json:1: not valid JSON, cut short perhaps"),
        (b"\xff\xfe{\x00}\x00", "results.json: this is no text, and so no results file"),
        (b"[" * 100_000, "results.json: "),
        (b'{"benchmarks": ' + b"9" * 5000 + b"}", "results.json: "),
        (b"[]", "results.json: no results file of pytest-benchmark"),
        (b"3", "results.json: no results file of pytest-benchmark"),
        (b'{"a": 1}', "results.json: no results file of pytest-benchmark"),
        (b'{"benchmarks": []}', "results.json: written by pytest-benchmark, but not by dlhw: there are no cases in it"),
        (changed(("dlhw", "schema"), 2), "results.json: written by a later dlhw (schema 2; this one reads 1)"),
    ],
)
def test_what_is_no_results_file_is_one_line(error, content, message):
    assert error(content).startswith(message)
    assert "\n" not in error(content)


@pytest.mark.parametrize(
    ("name", "message"), [("none.json", "none.json: No such file or directory"), (".", ": Is a directory")]
)
def test_what_is_no_file_is_one_line(tmp_path, name, message):
    with pytest.raises(DlhwError) as caught:
        load(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path))
    assert str(caught.value).endswith(message)


def test_results_that_were_cut_short_lead_to_their_journal(error, path):
    path.with_suffix(".journal.jsonl").touch()
    assert error(b"").endswith("; its journal is whole: dlhw recover results.journal.jsonl -o results.json")


@pytest.mark.parametrize("place", [*places(DATA)], ids=lambda place: "/".join(map(str, place)))
def test_damage_anywhere_is_one_line_or_a_table(path, place):
    for value in (..., None, [], "x"):
        path.write_text(json.dumps(changed(place, value)))
        cells, error = cells_or_error(path)
        assert not error or (error.startswith(f"{path}: ") and "\n" not in error), value
        assert all(isinstance(cell, str) for cell in cells), value


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, -1.0])
def test_a_time_that_no_clock_shows_is_no_crash(path, value):
    path.write_text(json.dumps(changed(("benchmarks", 0, "stats", "data"), [value] * 7)))
    cells, error = cells_or_error(path)
    assert bool(cells) != error.startswith(f"{path}: a case in it is damaged")


def test_a_micro_benchmark_is_a_row(row):
    found = row(micro("convolution-k3_contiguous-4x64x56-bf16-cpu-t2", 2e9, amount=8e6))
    assert found.items() >= {
        "kind": "micro", "operation": "convolution", "variant": "k3_contiguous", "size": "4x64x56",
        "precision": "bf16", "device": "cpu", "threads": 2,
    }.items()  # fmt: skip
    assert (found["metric"], found["value"], found["flops_per_second"]) == ("flops_per_second", 2e9, 2e9)
    assert (found["value_low"], found["value_high"], found["median_seconds"]) == (2e9, 2e9, 0.004)
    assert not {"architecture", "batch_size", "images_per_second", "bytes_per_second", "peak_bytes"} & set(found)


@pytest.mark.parametrize("metric", ["bytes_per_second", "images_per_second"])
def test_a_rate_is_in_the_column_of_its_metric(row, metric):
    found = row(micro("loader-own28-0x8-fp32-cpu-t1", 5000.0, metric=metric))
    assert found[metric] == found["value"] == 5000.0
    assert len({"images_per_second", "bytes_per_second", "flops_per_second"} & set(found)) == 1


def test_a_step_has_the_bytes_that_it_moves(row):
    found = row(measured(traffic=Traffic(compulsory_bytes=10, operator_bytes=30, operators=3, by_size={"4": 30})))
    assert (found["compulsory_bytes"], found["operator_bytes"], found["operators"]) == (10, 30, 3)


def test_a_step_has_the_work_that_was_counted(row):
    found = row(measured(counts=Counts(operators={"aten::mm": 2, "aten::t": 1}, allocations=4, allocated_bytes=50)))
    assert (found["dispatched"], found["allocations"], found["allocated_bytes"]) == (3, 4, 50)
    assert "graphs" not in found
