"""The journal: what was written is read back, whatever became of the file since."""

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.records.journal import Journal, launched, read, reusable
from bench.records.record import Status
from suites.errors import DlhwError
from tests.support.samples import LENET, ended, measured

HEADER = {"key": {"fingerprint": "f00d", "suite": "mini", "digest": "d1"}, "plan": [LENET.id]}
NODE = "bench/test_inference.py::test_inference[x]"
FIRST, SECOND, THIRD = (measured(replace(LENET, batch_size=size)) for size in (1, 2, 4))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "r.journal.jsonl"


def write(path, *records, header=HEADER):
    journal = Journal(path)
    journal.begin(header)
    for record in records:
        journal.append(NODE, record)
    journal.close()


def found(path):
    runs, damaged = read(path)
    return [list(run.records) for run in runs], damaged


def insert(path, number, line):
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:number], line, *lines[number:], b""]))


def test_what_was_written_is_read_back(path):
    write(path, FIRST, SECOND)
    (run,), damaged = read(path)
    assert damaged == 0
    assert {key: run.header[key] for key in ("kind", "schema", *HEADER)} == {"kind": "header", "schema": 1, **HEADER}
    assert [record.to_json() for record in run.records.values()] == [FIRST.to_json(), SECOND.to_json()]
    assert run.node_ids == {FIRST.id: NODE, SECOND.id: NODE}


def test_single_launches_are_kept_beside_the_records(path):
    for header in (HEADER, {"key": "another"}, HEADER):
        journal = Journal(path)
        journal.begin(header)
        journal.append_launch(FIRST)
        journal.append(NODE, SECOND)
        journal.close()
    runs, damaged = read(path)
    assert damaged == 0
    assert [list(run.records) for run in runs] == [[SECOND.id]] * 3
    kept = launched(runs, HEADER["key"])
    assert {case_id: [record.to_json() for record in found] for case_id, found in kept.items()} == {
        FIRST.id: [FIRST.to_json()] * 2
    }


def test_every_record_is_in_the_file_before_append_returns(path):
    journal = Journal(path)
    journal.begin(HEADER)
    for number, record in enumerate((FIRST, SECOND), 2):
        journal.append(NODE, record)
        assert path.read_bytes().count(b"\n") == number
    journal.close()


def test_each_run_adds_its_part(path):
    write(path, FIRST)
    write(path, SECOND, THIRD)
    assert found(path) == ([[FIRST.id], [SECOND.id, THIRD.id]], 0)


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_torn_last_line_costs_that_line_only(path, kept):
    write(path, FIRST, SECOND)
    *lines, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + last[:-1][:kept])
    assert found(path) == ([[FIRST.id]], 1)


def test_what_is_appended_to_a_torn_line_is_whole(path):
    write(path, FIRST, SECOND)
    path.write_bytes(path.read_bytes()[:-30])
    write(path, THIRD)
    assert found(path) == ([[FIRST.id], [THIRD.id]], 1)


def test_a_last_line_that_lacks_only_its_end_is_whole(path):
    write(path, FIRST)
    path.write_bytes(path.read_bytes()[:-1])
    write(path, SECOND)
    assert found(path) == ([[FIRST.id], [SECOND.id]], 0)


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\x00\x00",
        b"\xff\xfe",
        b'{"kind": "record"}',
        b'{"kind": "record", "node_id": "x", "record": []}',
        json.dumps({"kind": "record", "node_id": "x", "record": {**THIRD.to_json(), "memory": []}}).encode(),
        json.dumps({"kind": "record", "node_id": "x", "record": {**THIRD.to_json(), "case": None}}).encode(),
        json.dumps({"kind": "record", "node_id": "x", "record": {**THIRD.to_json(), "seconds": []}}).encode(),
        json.dumps({"kind": "record", "record": THIRD.to_json()}).encode(),
    ],
)
def test_a_damaged_line_in_the_middle_is_passed_over_and_counted(path, line):
    write(path, FIRST, SECOND)
    insert(path, 2, line)
    assert found(path) == ([[FIRST.id, SECOND.id]], 1)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=JSON)
def test_json_that_is_no_record_is_passed_over_and_counted(path, line):
    path.unlink(missing_ok=True)
    write(path, FIRST)
    insert(path, 1, json.dumps(line).encode())
    assert found(path) == ([[FIRST.id]], 1)


def test_empty_lines_are_nothing(path):
    write(path, FIRST)
    insert(path, 1, b"")
    assert found(path) == ([[FIRST.id]], 0)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"nonsense", b"\x80", b'{"kind": "record"}\n'])
def test_what_is_no_journal_is_one_clear_error(path, content):
    path.write_bytes(content)
    with pytest.raises(DlhwError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: this is no journal of dlhw, or its first line is damaged"


def test_a_missing_journal_is_one_clear_error(path):
    with pytest.raises(DlhwError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: No such file or directory"


def test_a_later_version_is_not_guessed_at(path):
    write(path, FIRST)
    path.write_bytes(path.read_bytes().replace(b'"schema": 1', b'"schema": 2', 1))
    with pytest.raises(DlhwError) as caught:
        read(path)
    assert str(caught.value) == f"{path}:1: written by a later dlhw (schema 2; this one reads 1)"


def test_a_full_disk_is_one_clear_error(tmp_path):
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    journal = Journal(full)
    with pytest.raises(DlhwError) as caught:
        journal.begin(HEADER)
    assert str(caught.value) == f"the journal {full} cannot be written: No space left on device"
    with pytest.raises(DlhwError):
        journal.append(NODE, FIRST)
    with contextlib.suppress(DlhwError):
        journal.close()


@pytest.mark.parametrize(("name", "reason"), [(".", "Is a directory"), ("no/r.jsonl", "No such file or directory")])
def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path, name, reason):
    with pytest.raises(DlhwError) as caught:
        Journal(tmp_path / name)
    assert str(caught.value) == f"the journal {tmp_path / name} cannot be written: {reason}"


@pytest.mark.parametrize("part", ["fingerprint", "suite", "digest"])
def test_only_runs_of_the_same_key_are_taken_over(path, part):
    write(path, FIRST)
    write(path, SECOND, header={**HEADER, "key": {**HEADER["key"], part: "another"}})
    write(path, THIRD, header={"plan": []})
    assert list(reusable(read(path)[0], HEADER["key"])) == [FIRST.id]


@pytest.mark.parametrize(
    ("status", "taken"),
    [
        (Status.MEASURED, True),
        (Status.SKIPPED, True),
        (Status.OUT_OF_MEMORY, True),
        (Status.TIMEOUT, True),
        (Status.WRONG_RESULT, True),
        (Status.CRASHED, False),
        (Status.FAILED, False),
    ],
)
def test_accidents_are_tried_again(path, status, taken):
    write(path, FIRST if status is Status.MEASURED else ended(status, "so it is"))
    assert bool(reusable(read(path)[0], HEADER["key"])) == taken


def test_of_two_records_of_a_case_the_later_counts(path):
    again = replace(FIRST, seconds=(9.0,))
    write(path, ended("crashed", "it was killed", replace(LENET, batch_size=1)))
    write(path, FIRST)
    write(path, again)
    assert reusable(read(path)[0], HEADER["key"])[FIRST.id].seconds == (9.0,)


def test_a_case_that_crashed_at_last_is_tried_again(path):
    write(path, FIRST)
    write(path, ended("crashed", "it was killed", replace(LENET, batch_size=1)))
    assert reusable(read(path)[0], HEADER["key"]) == {}
