"""Results of asv, of both versions of its format."""

import json

import pytest

from reports.results.imports import asv
from suites.errors import DlhwError
from tests.support.foreign import asv_file, bench, frame_of, pytest_file, write

COMBINED = [["10", "20"], ["'quick'", "'merge'"]]


@pytest.fixture
def read(tmp_path):
    return lambda document, machine=None: asv.read(write(tmp_path / "c0ffee-env.json", document), machine)


@pytest.fixture
def frame(tmp_path):
    return lambda found: frame_of(found, tmp_path)


def test_a_time_is_taken_with_its_machine(read, frame):
    found = read(asv_file({"sorting.Suite.time_sort": [[0.25], [], "v1", 0, 1.5]}))
    row = frame(found).iloc[0].dropna().to_dict()
    assert row.items() >= {
        "operation": "sorting.Suite.time_sort", "median_seconds": 0.25, "samples": 1, "machine": "farm",
        "device_model": "Model 7", "torch": "none, Python 3.12", "status": "measured",
    }.items()  # fmt: skip
    assert found.notes == ()


def test_samples_are_taken_where_they_are(read, frame):
    found = read(asv_file({"time_a": [[0.2], [], "v", 0, 1, None, [[0.1, 0.2, 0.3]]],
                           "time_b": [[0.2], [], "v", 0, 1, None, [[0.1, None]]]}))  # fmt: skip
    assert frame(found)["samples"].tolist() == [3, 1]
    assert found.notes == ("time_b: a sample is missing: its samples are left out",)


def test_each_combination_of_parameters_is_a_benchmark_the_last_one_fastest(read, frame):
    found = read(asv_file({"m.time_sort": [[1.0, 2.0, 3.0, 4.0], COMBINED]}))
    assert frame(found)[["operation", "median_seconds"]].to_numpy().tolist() == [
        ["m.time_sort(10, 'quick')", 1.0], ["m.time_sort(10, 'merge')", 2.0],
        ["m.time_sort(20, 'quick')", 3.0], ["m.time_sort(20, 'merge')", 4.0],
    ]  # fmt: skip


def test_what_failed_or_was_skipped_is_a_row_that_says_so(read, frame):
    found = read(asv_file({"m.time_sort": [[1.0, None, float("nan"), 4.0], COMBINED], "m.time_gone": []}))
    table = frame(found)
    assert dict(zip(table["operation"], table["status"], strict=True)) == {
        "m.time_sort(10, 'quick')": "measured", "m.time_sort(20, 'merge')": "measured",
        "m.time_sort(10, 'merge')": "failed", "m.time_sort(20, 'quick')": "skipped", "m.time_gone": "failed",
    }  # fmt: skip
    assert found.notes == (
        "m.time_sort(10, 'merge'): failed under asv",
        "m.time_sort(20, 'quick'): asv has NaN: the benchmark says that it does not apply",
        "m.time_gone: failed under asv",
    )


def test_a_null_for_all_combinations_fails_each(read, frame):
    found = read(asv_file({"m.time_sort": [None, COMBINED], "m.time_ok": [[1.0]]}))
    assert (frame(found)["status"] == "failed").sum() == 4


def test_what_measures_no_time_is_told(read, frame):
    results = {name: [[5.0]] for name in ("m.mem_a", "m.peakmem_a", "m.track_a", "m.other")}
    found = read(asv_file(results | {"m.TimeIt.run": [[1.0]], "m.timeraw_x": [[1.0]], "m.S.time_a": [[1.0]]}))
    assert frame(found)["operation"].tolist() == ["m.TimeIt.run", "m.timeraw_x", "m.S.time_a"]
    assert found.notes == tuple(f"{name}: by its name it measures no time (time_...)" for name in results)


def test_version_1_has_numbers_nulls_and_objects(read, frame):
    document = {
        "version": 1, "commit_hash": "abc", "python": "2.7", "requirements": {}, "date": 0,
        "params": {"machine": "barn"},
        "results": {
            "time_plain": 0.5, "time_gone": None, "time_one": {"result": 0.25},
            "time_many": {"result": [1.0, None], "params": [["1", "2"]], "samples": [[0.9, 1.0, 1.1], None],
                          "stats": [{"ci_99": [0.9, 1.1]}, None]},
        },
    }  # fmt: skip
    found = read(document)
    table = frame(found)
    measured = table[table["status"] == "measured"]
    assert measured[["operation", "median_seconds", "samples"]].to_numpy().tolist() == [
        ["time_plain", 0.5, 1], ["time_one", 0.25, 1], ["time_many(1)", 1.0, 3],
    ]  # fmt: skip
    assert found.notes == ("time_gone: failed under asv", "time_many(2): failed under asv")
    assert set(table["machine"]) == {"barn"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([[1.0, 2.0], [["1", "2", "3"]]], "2 results of 3 combinations of its params"),
        ([[1.0], "n"], "its params are no lists"),
        ([["soon"]], "its result is 'soon', no number"),
        ([[0]], "its result is 0"),
        ([[1e300]], "its result is 1e+300 s, no time of a step"),
        ([[float("inf")]], "its result is inf"),
        ("x", "its result is 'x', no number"),
        ([None, [["1"] * 2000] * 3], "1 results of 8000000000 combinations of its params"),
    ],
)
def test_a_bad_benchmark_costs_itself(read, frame, row, problem):
    found = read(asv_file({"time_bad": row, "time_good": [[1.0]]}))
    assert found.notes == (f"time_bad: {problem}",)
    assert frame(found)["operation"].tolist() == ["time_good"]


def test_without_columns_nothing_is_guessed(read):
    with pytest.raises(DlhwError, match="does not say what the columns of its results are"):
        read(asv_file({"time_a": [[1.0]]}, result_columns=None))


def test_a_file_without_a_machine_and_one_with_torch(read, frame):
    found = read(asv_file({"time_a": [[1.0]]}, params={}, requirements={"torch": "2.1"}))
    assert frame(found)[["machine", "torch"]].to_numpy().tolist() == [["unknown", "2.1"]]
    assert found.notes == ("it does not say its machine: taken as unknown; --machine names it",)


def test_files_of_other_tools_are_named(read):
    with pytest.raises(DlhwError, match="no results of asv, but of pytest-benchmark: dlhw import pytest-benchmark"):
        read(pytest_file(bench("a", median=1.0)))
    with pytest.raises(DlhwError, match="no results file of asv: it has no results"):
        read({"machine": "farm", "version": 1})


def test_of_a_folder_the_results_are_taken_alone(tmp_path):
    folder = tmp_path / "results" / "farm"
    folder.mkdir(parents=True)
    for name in ("a-env.json", "b-env.json", "machine.json", "a-env.dlhw.json"):
        (folder / name).write_text(json.dumps({}))
    (tmp_path / "results" / "benchmarks.json").write_text("{}")
    assert asv.files([tmp_path / "results"]) == [folder / "a-env.json", folder / "b-env.json"]
    assert asv.files([folder / "a-env.json"]) == [folder / "a-env.json"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DlhwError, match="no results of asv in this folder"):
        asv.files([tmp_path / "empty"])
