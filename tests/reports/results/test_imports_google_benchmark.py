"""Results of google-benchmark: repetitions, statistics over them, errors, units."""

import pytest

from reports.results.imports import google_benchmark
from suites.errors import DlhwError
from tests.support.foreign import bench, frame_of, google_file, pytest_file, run, write


@pytest.fixture
def read(tmp_path):
    return lambda document, machine=None: google_benchmark.read(write(tmp_path / "g.json", document), machine)


@pytest.fixture
def frame(tmp_path):
    return lambda found: frame_of(found, tmp_path)


def statistic(name, kind, time, **parts):
    return run(f"{name}_{kind}", time, run_name=name, run_type="aggregate", aggregate_name=kind, **parts)


def test_a_run_is_taken_with_its_machine(read, frame):
    found = read(google_file(run("BM_sort/8", 250.0, threads=4)))
    row = frame(found).iloc[0].dropna().to_dict()
    assert row["median_seconds"] == pytest.approx(250e-9)
    assert row.items() >= {
        "operation": "BM_sort/8", "threads": 4, "machine": "rack", "torch": "none", "samples": 1,
        "datetime": "2026-02-03T04:05:06+00:00",
    }.items()  # fmt: skip
    assert found.notes == ()


@pytest.mark.parametrize(("unit", "second"), [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0)])
def test_units(read, frame, unit, second):
    found = read(google_file(run("BM_a", 3.0, time_unit=unit)))
    assert frame(found)["median_seconds"].tolist() == pytest.approx([3 * second])


def test_repetitions_are_samples_and_statistics_over_them_are_not_counted_again(read, frame):
    runs = [run("BM_a", time, repetitions=3, repetition_index=index) for index, time in enumerate((3.0, 1.0, 2.0))]
    found = read(google_file(*runs, *(statistic("BM_a", kind, 2.0) for kind in ("mean", "median", "stddev", "cv"))))
    table = frame(found)
    assert table[["operation", "samples"]].to_numpy().tolist() == [["BM_a", 3]]
    assert table["median_seconds"].tolist() == pytest.approx([2e-9])
    assert found.notes == ()


def test_where_statistics_alone_were_kept_the_median_is_taken_and_it_is_said(read, frame):
    found = read(google_file(
        statistic("BM_a", "mean", 4.0), statistic("BM_a", "median", 3.0), statistic("BM_a", "stddev", 1.0),
        statistic("BM_b", "mean", 5.0), statistic("BM_c", "cv", 0.1),
    ))  # fmt: skip
    assert frame(found)["median_seconds"].tolist() == pytest.approx([3e-9, 5e-9])
    assert found.notes == (
        "BM_a: no repetitions in it: their median is taken", "BM_b: no repetitions in it: their mean is taken",
        "BM_c: neither repetitions nor a median or mean of them, but cv",
    )  # fmt: skip


def test_before_run_type_the_name_tells_a_statistic(read, frame):
    runs = [{"name": name, "iterations": 9, "real_time": time, "cpu_time": time, "time_unit": "ns"}
            for name, time in (("BM_a", 1.0), ("BM_a", 3.0), ("BM_a_mean", 2.0), ("BM_a_stddev", 1.0))]  # fmt: skip
    fit = {"name": "BM_a_BigO", "cpu_coefficient": 1.0, "real_coefficient": 1.0, "big_o": "N", "time_unit": "ns"}
    found = read(google_file(*runs, fit, {"name": "BM_a_RMS", "rms": 0.1}))
    assert frame(found)[["operation", "samples"]].to_numpy().tolist() == [["BM_a", 2]]
    assert found.notes == ()


def test_errors_and_skips_are_rows_that_say_so(read, frame):
    failed = run("BM_bad", 0.0, error_occurred=True, error_message="no such device\nat all")
    skipped = run("BM_no", 0.0, skipped=True, skip_message="too large here")
    found = read(google_file(failed, skipped, run("BM_a", 1.0)))
    table = frame(found).set_index("operation")
    assert table["status"].to_dict() == {"BM_a": "measured", "BM_bad": "failed", "BM_no": "skipped"}
    assert table["reason"]["BM_no"] == "too large here"
    assert found.notes == (r"BM_bad: no such device\nat all", "BM_no: too large here")


def test_of_repetitions_those_that_failed_are_told(read, frame):
    found = read(google_file(run("BM_a", 2.0), run("BM_a", 0.0, error_occurred=True), run("BM_a", float("nan"))))
    assert frame(found)["samples"].tolist() == [1]
    assert found.notes == ("BM_a: its real_time is nan; 1 of 3 repetitions failed",)


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"real_time": None}, "its real_time is missing"),
        ({"real_time": 0}, "its real_time is 0"),
        ({"real_time": float("inf")}, "its real_time is inf"),
        ({"real_time": "1"}, None),
        ({"time_unit": "h"}, "its time_unit is 'h', none of ns, us, ms, s"),
        ({"time_unit": ["s"]}, "its time_unit is ['s'], none of ns, us, ms, s"),
    ],
)
def test_a_bad_run_costs_itself(read, parts, problem):
    found = read(google_file(run("BM_bad", 1.0, **parts), run("BM_good", 1.0), 7, {"real_time": 1}))
    told = () if problem is None else (f"BM_bad: {problem}",)
    assert found.notes == ("benchmark 3: it has no name", "benchmark 4: it has no name", *told)


def test_without_a_context_the_machine_is_unknown_or_as_a_person_says(read, frame):
    document = {"benchmarks": [run("BM_a", 1.0)]}
    assert frame(read(document))["machine"].tolist() == ["unknown"]
    assert frame(read(document, "desk"))["machine"].tolist() == ["desk"]


def test_files_of_other_tools_and_without_times_are_refused(read):
    with pytest.raises(DlhwError, match="no results of google-benchmark, but of pytest-benchmark"):
        read(pytest_file(bench("a", median=1.0)))
    with pytest.raises(DlhwError, match="nothing in it can be imported: BM_a: broken"):
        read(google_file(run("BM_a", 0.0, error_occurred=True, error_message="broken")))
    with pytest.raises(DlhwError, match="no results file of google-benchmark: it has no benchmarks"):
        read({"context": {}})
