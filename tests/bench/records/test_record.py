"""The format of a result: it comes back as it went, and its statistics are exact."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records.record import (  # fmt: skip
    Counts,
    Launch,
    Outcome,
    Record,
    Sampling,
    Status,
    Traffic,
    Work,
    fingerprint,
    outcomes,
    plain,
)
from tests.support.samples import ENVIRONMENT, LENET, compiled, ended, measured, micro

SYNCHRONISED = Sampling(
    launches=(
        Launch(samples=3, warmup_steps=5, steady=False, median_seconds=0.5),
        Launch(samples=4, warmup_steps=6, steady=True, median_seconds=0.25),
    ),
    steps_per_sample=10, stop_reason="max_seconds", noisy=("a", "b"), synchronised_seconds=(0.1, 0.2),
)  # fmt: skip
CHANGED = {key: (value + 1 if isinstance(value, int) else "another") for key, value in ENVIRONMENT["host"].items()}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@pytest.mark.parametrize(
    "record",
    [
        measured(),
        measured(sampling=SYNCHRONISED, compile=compiled(), sensors={"energy_joules": None}, backends={"conv": "ieee"}),
        measured(memory=None, flops=None, check=None, sampling=None, cost=None),
        ended("out_of_memory", "it needs 5 GiB"),
    ],
)
def test_a_record_comes_back_as_it_went(record):
    there = json.loads(json.dumps(record.to_json()))
    assert Record.from_json(there) == replace(record, case={**record.case, "input_shape": [1, 28, 28]})


def test_what_a_later_schema_adds_is_passed_over():
    data = measured().to_json()
    data["colour"] = data["memory"]["colour"] = data["sampling"]["launches"][0]["colour"] = "red"
    assert Record.from_json(data).to_json() == measured().to_json()


def test_what_an_earlier_schema_lacks_is_unknown():
    record = Record.from_json({"id": LENET.id, "case": {}, "outcome": {"status": "failed"}})
    assert (record.outcome, record.seconds, record.memory) == (Outcome(Status.FAILED, ""), (), None)


def test_extra_info_holds_all_but_samples_and_outcome():
    info = measured(sampling=SYNCHRONISED).extra_info()
    assert list(info) == [
        "schema", "case", "memory", "flops", "traffic", "work", "details", "notes", "compile", "sensors", "check",
        "sampling", "backends", "cost", "machine_offset",
    ]  # fmt: skip
    assert info["schema"] == 1
    assert info["case"] == {**LENET.to_json(), "parameters": 61706}
    assert info["sampling"]["synchronised_seconds"] == [0.1, 0.2]


@settings(deadline=None)
@given(JSON)
def test_json_is_plain_already(value):
    assert plain(value) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_json_has_no_number_for_is_unknown(number):
    assert plain({"a": [number, (1.5, number)], "b": {"c": number}}) == {"a": [None, [1.5, None]], "b": {"c": None}}


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), Status, 1j])
def test_what_is_no_json_is_refused_and_not_made_text(value):
    with pytest.raises(TypeError):
        plain({"a": [value]})


def test_outcomes_are_of_all_that_was_not_measured():
    late = replace(LENET, batch_size=64)
    timeout = ended("timeout", "no end after 3 s", replace(LENET, batch_size=16))
    found = {LENET.id: measured(), timeout.id: timeout}
    planned = {case_id: {"kind": "net"} for case_id in (LENET.id, timeout.id, late.id)}
    assert outcomes(planned, found) == [
        {"id": timeout.id, "case": timeout.case, "status": "timeout", "reason": "no end after 3 s"},
        {"id": late.id, "case": {"kind": "net"}, "status": "skipped", "reason": "not run: the sweep ended before it"},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"python": "3.12.0"},
        {"torch": {**ENVIRONMENT["torch"], "version": "2.12.0"}},
        {"torch": {**ENVIRONMENT["torch"], "git": "def"}},
        {"torch": {**ENVIRONMENT["torch"], "cuda": "13.0"}},
        {"torch": {**ENVIRONMENT["torch"], "cpu_capability": "AVX512"}},
        {"devices": []},
        {"devices": [*ENVIRONMENT["devices"], {"name": "cuda:0", "uuid": "GPU-1", "driver": "580"}]},
        *({"host": {**ENVIRONMENT["host"], key: value}} for key, value in CHANGED.items()),
        {"host": {**ENVIRONMENT["host"], "cgroup_cpus": 1.5}},
    ],
)
def test_the_fingerprint_changes_with_what_results_depend_on(part):
    assert fingerprint({**ENVIRONMENT, **part}) != fingerprint(ENVIRONMENT)


@pytest.mark.parametrize("key", ["uuid", "driver", "name"])
def test_the_fingerprint_tells_devices_apart(key):
    device = {"name": "cuda:0", "uuid": "GPU-1", "driver": "580"}
    one, other = ({**ENVIRONMENT, "devices": [{**device, key: value}]} for value in ("1", "2"))
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "part",
    [
        {"datetime": "tomorrow"},
        {"compile_problems": {"cpu": "no compiler"}},
        {"unknown_architectures": {"a": "b"}},
        {"host": {**ENVIRONMENT["host"], "load": 3.5, "free_bytes": 1, "governor": "powersave"}},
        {"devices": [{**ENVIRONMENT["devices"][0], "temperature_celsius": 80}]},
        {"torch": {**ENVIRONMENT["torch"], "parallel_info": "OMP_NUM_THREADS : 1"}},
    ],
)
def test_the_fingerprint_leaves_out_what_changes_by_itself(part):
    assert fingerprint({**ENVIRONMENT, **part}) == fingerprint(ENVIRONMENT)


def test_the_fingerprint_is_of_contents_not_of_their_order():
    turned = {key: ENVIRONMENT[key] for key in reversed(ENVIRONMENT)}
    turned["host"] = dict(reversed(turned["host"].items()))
    assert fingerprint(turned) == fingerprint(ENVIRONMENT)


def test_a_micro_benchmarks_record_comes_back_whole():
    record = measured(
        work=Work(metric="bytes_per_second", amount=2**20),
        traffic=Traffic(compulsory_bytes=10, operator_bytes=30, operators=3, by_size={"4": 30}),
        details={"note": "x"},
    )
    again = Record.from_json(json.loads(json.dumps(record.to_json())))
    assert (again.work, again.traffic, again.details) == (record.work, record.traffic, record.details)
    assert record.extra_info()["work"] == {"metric": "bytes_per_second", "amount": 2**20}


def test_what_was_counted_of_a_net_comes_back_whole():
    counts = Counts(
        operators={"aten::mm": 2, "aten::relu": 1}, flops=10, bytes=20, allocations=3, allocated_bytes=30, graphs=1,
        kernels=0, reasons={"instructions": "no counter"},
    )  # fmt: skip
    record = measured(counts=counts)
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert "counts" not in record.extra_info()
    assert record.extra_info()["work"] == {
        "operators": {"aten::mm": 2, "aten::relu": 1}, "flops": 10, "bytes": 20, "allocations": 3,
        "allocated_bytes": 30, "graphs": 1, "kernels": 0, "instructions": None,
        "reasons": {"instructions": "no counter"},
    }  # fmt: skip
    assert counts.dispatched == 3
    assert Counts().dispatched is None


def test_a_micro_benchmarks_record_is_equal_to_what_comes_back():
    record = micro("matmul-8x9x10-bf16-cuda:0-t1", 1e9, details={"dataset": "made up"}, backends={"matmul": "bf16"})
    there = json.loads(json.dumps(record.to_json()))
    assert Record.from_json(there) == record
    assert there["case"]["size"] == [8, 9, 10]


def test_a_detail_that_is_no_number_is_unknown():
    assert measured(details={"loss": float("nan"), "inner": [float("inf")]}).to_json()["details"] == {
        "loss": None, "inner": [None],
    }  # fmt: skip


@pytest.mark.parametrize("part", ["work", "traffic"])
def test_a_damaged_part_is_refused(part):
    with pytest.raises(TypeError):
        Record.from_json({**measured().to_json(), part: [1, 2]})
