"""A journal becomes the results file that its run would have written."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from bench.records.journal import Journal
from reports.results.frames import load
from reports.results.recover import recover
from suites.errors import DlhwError
from tests.support.samples import ENVIRONMENT, LENET, compiled, ended, measured

ONE, TWO, FOUR = (replace(LENET, batch_size=size) for size in (1, 2, 4))
HEADER = {
    "key": {"fingerprint": "f00d", "suite": "mini", "digest": "d1"},
    "machine_info": {"node": "box", **ENVIRONMENT},
    "commit_info": {"id": "abc"},
    "suite": {"name": "mini", "path": "mini.toml"},
    "arguments": ["bench", "--suite", "mini"],
    "plan": [ONE.id, TWO.id, FOUR.id],
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "r.journal.jsonl"


def append(path, *found, **header):
    journal = Journal(path)
    journal.begin(HEADER | header)
    for record in found:
        journal.append(f"bench/test_inference.py::test_inference[{record.id}]", record)
    journal.close()


def outcomes(data):
    return {outcome["id"]: (outcome["status"], outcome["reason"]) for outcome in data["outcomes"]}


def ids(data):
    return [benchmark["param"] for benchmark in data["benchmarks"]]


def ids_or_error(path):
    try:
        return ids(recover(path)[0]), ""
    except DlhwError as error:
        return [], str(error)


def test_a_recovered_file_is_what_the_run_has_written(mini):
    written = json.loads((mini.folder / "results.json").read_text())
    recovered, warnings = recover(mini.folder / "results.journal.jsonl")
    assert warnings == []
    for data in (written, recovered):
        del data["datetime"]
        for benchmark in data["benchmarks"]:
            benchmark["options"] = {"timer": benchmark["options"]["timer"]}
    assert json.loads(json.dumps(recovered)) == written


def test_a_recovered_file_makes_the_same_table(mini, tmp_path):
    data, _ = recover(mini.folder / "results.journal.jsonl")
    (tmp_path / "results.json").write_text(json.dumps(data))
    columns = ["file", "datetime"]
    written, recovered = load(mini.folder / "results.json"), load(tmp_path / "results.json")
    assert recovered.drop(columns=columns).equals(written.drop(columns=columns))


def test_pytest_benchmark_reads_a_recovered_file(path, tmp_path):
    append(path, measured(ONE), measured(TWO, (0.0, 0.0)))
    (tmp_path / "r.json").write_text(json.dumps(recover(path)[0]))
    compare = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "r.json"], cwd=tmp_path, text=True, capture_output=True,
        check=True,
    )  # fmt: skip
    assert f"test_inference[{ONE.id}]" in compare.stdout


def test_a_run_that_was_cut_short_has_an_outcome_for_every_planned_case(path):
    append(path, measured(ONE), ended("timeout", "no end after 3 s", TWO))
    data, _ = recover(path)
    assert ids(data) == [ONE.id]
    assert outcomes(data) == {
        TWO.id: ("timeout", "no end after 3 s"),
        FOUR.id: ("skipped", "not run: the sweep ended before it"),
    }
    assert data["outcomes"][1]["case"] == FOUR.to_json()


def test_a_measured_case_has_its_statistics_and_its_record(path):
    append(path, measured(ONE, (3.0, 1.0, 2.0), compile=compiled()))
    (benchmark,) = recover(path)[0]["benchmarks"]
    assert benchmark["group"] == "lenet inference"
    assert benchmark["name"] == f"test_inference[{ONE.id}]"
    assert benchmark["fullname"] == f"bench/test_inference.py::test_inference[{ONE.id}]"
    assert benchmark["params"] == {"case": ONE.id}
    assert benchmark["extra_info"] == measured(ONE, (3.0, 1.0, 2.0), compile=compiled()).extra_info()
    stats = benchmark["stats"]
    assert stats["data"] == [3.0, 1.0, 2.0]
    assert [stats[key] for key in ("min", "median", "max", "mean", "rounds", "iterations")] == [1, 2, 3, 2, 3, 1]


def test_the_head_of_the_file_is_the_last_runs(path):
    append(path, measured(ONE), arguments=["first"])
    append(path, measured(TWO), arguments=["second"], machine_info={"node": "box", "later": True})
    data, _ = recover(path)
    assert data["dlhw"] == {
        "schema": 1, "suite": "mini", "arguments": ["second"], "planned": 3, "fingerprint": "f00d", "digest": "d1",
    }  # fmt: skip
    assert data["machine_info"] == {"node": "box", "later": True}
    assert data["commit_info"] == {"id": "abc"}


def test_a_run_and_what_resumed_it_are_one(path):
    append(path, measured(ONE), ended("crashed", "killed by SIGKILL", TWO))
    append(path, measured(TWO), measured(FOUR))
    data, warnings = recover(path)
    assert (ids(data), data["outcomes"], warnings) == ([ONE.id, TWO.id, FOUR.id], [], [])


def test_a_resumed_run_of_fewer_cases_keeps_the_plan(path):
    append(path, measured(ONE))
    append(path, measured(TWO), plan=[TWO.id])
    assert outcomes(recover(path)[0]) == {FOUR.id: ("skipped", "not run: the sweep ended before it")}


def test_another_machines_run_is_left_out_and_said_so(path):
    append(path, measured(ONE), key=HEADER["key"] | {"fingerprint": "beef"})
    append(path, measured(TWO))
    data, warnings = recover(path)
    assert ids(data) == [TWO.id]
    assert warnings == ["left out: 1 run of another machine, torch or suite"]


def test_damaged_lines_are_said_so(path):
    append(path, measured(ONE))
    with path.open("a") as file:
        file.write('{"kind": "record", "node_id": "torn')
    assert recover(path)[1] == ["passed over: 1 damaged line"]


@pytest.mark.parametrize("key", ["datetime", "key", "machine_info", "suite", "arguments", "plan"])
@pytest.mark.parametrize("value", [..., None, 3])
def test_a_damaged_header_is_one_line(path, key, value):
    append(path, measured(ONE))
    header, record = path.read_text().splitlines()
    data = json.loads(header) | {key: value}
    if value is ...:
        del data[key]
    path.write_text(f"{json.dumps(data)}\n{record}\n")
    found, error = ids_or_error(path)
    assert found == ([] if error else [ONE.id])
    assert not error or (error.startswith(str(path)) and "\n" not in error)


def test_a_plan_of_what_is_no_case_is_one_line_with_the_file(path):
    append(path, measured(ONE), plan=["nonsense"])
    with pytest.raises(DlhwError) as caught:
        recover(path)
    assert str(caught.value).startswith(f"{path}")


def test_launches_of_a_run_that_was_killed_make_the_records_that_it_had_not_written_yet(path):
    journal = Journal(path)
    journal.begin(HEADER | {"measure": {"precision": 0.05}})
    for seconds in (0.004, 0.0041, 0.0039):
        journal.append_launch(measured(TWO, (seconds,) * 6))
    journal.append_launch(ended("timeout", "no end", FOUR))
    journal.close()
    data, _ = recover(path)
    assert ids(data) == [TWO.id]
    (found,) = data["benchmarks"]
    assert len(found["extra_info"]["sampling"]["launches"]) == 3
    assert found["stats"]["data"] == [0.004] * 6 + [0.0041] * 6 + [0.0039] * 6
    assert set(outcomes(data)) == {ONE.id, FOUR.id}
