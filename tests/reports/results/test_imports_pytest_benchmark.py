"""Files of other projects' pytest-benchmark, of all versions, with parts taken out, and odd ones."""

import json

import pytest

from reports.results.imports import pytest_benchmark
from suites.errors import DlhwError
from tests.support.foreign import bench, frame_of, google_file, pytest_file, run, write
from tests.support.samples import measured
from tests.support.samples import write as write_own

UNSAID = "it does not say its machine: taken as unknown; --machine names it"
OF_VERSION_3 = {
    "machine_info": {
        "node": "old", "processor": "x86_64", "machine": "x86_64", "python_version": "2.7.18",
        "cpu": {"brand": "Model 3", "vendor_id": "GenuineIntel"},
    },
    "commit_info": {"id": "abc", "dirty": False}, "datetime": "2018-02-03T04:05:06", "version": "3.1.1",
    "benchmarks": [
        {
            "group": None, "name": "test_a", "fullname": "test_a.py::test_a", "params": None, "param": None,
            "options": {"disable_gc": False, "timer": "time", "warmup": False}, "extra_info": {},
            "stats": {
                "min": 0.1, "max": 0.3, "mean": 0.2, "stddev": 0.05, "rounds": 5, "median": 0.19, "iqr": 0.01,
                "q1": 0.1, "q3": 0.2, "iqr_outliers": 0, "stddev_outliers": 1, "outliers": "1;0", "ld15iqr": 0.1,
                "hd15iqr": 0.3, "ops": 5.0, "total": 1.0, "iterations": 1,
            },
        }
    ],
}  # fmt: skip


@pytest.fixture
def read(tmp_path):
    def read(document, machine=None, encoding="utf-8"):
        return pytest_benchmark.read(write(tmp_path / "o.json", document, encoding), machine)

    return read


@pytest.fixture
def frame(tmp_path):
    return lambda found: frame_of(found, tmp_path)


def test_benchmarks_are_operations_of_their_own(read, frame):
    found = frame(read(pytest_file(bench("a::sort[10]", median=0.002, data=[0.001, 0.002, 0.003]),
                                   bench("a::sort[20]", median=0.004))))  # fmt: skip
    assert found["operation"].tolist() == ["a::sort[10]", "a::sort[20]"]
    assert found["median_seconds"].tolist() == [0.002, 0.004]
    assert found["samples"].tolist() == [3, 1]
    assert found["images_per_second"].isna().all()
    assert set(found["machine"]) == {"box"}
    assert set(found["torch"]) == {"none, Python 3.12"}


def test_version_3_without_samples(read, frame):
    found = read(OF_VERSION_3)
    row = frame(found).iloc[0]
    facts = (row["median_seconds"], row["machine"], row["device_model"], row["datetime"])
    assert facts == (0.19, "old", "Model 3", "2018-02-03T04:05:06")
    assert found.notes == ()


def test_versions_4_and_5_name_the_processor_otherwise(read, frame):
    for version in ("4.0.0", "5.2.3"):
        machine = {"node": "new", "python_version": "3.13.1", "cpu": {"brand_raw": "Model 5", "arch": "X86_64"}}
        document = pytest_file(bench("a", median=0.1, ops=10.0, total=1.0), machine_info=machine, version=version)
        row = frame(read(document)).iloc[0]
        assert (row["device_model"], row["torch"]) == ("Model 5", "none, Python 3.13.1")


@pytest.mark.parametrize("machine", [None, {}, [], "box", {"node": ""}, {"node": None}, {"node": 7, "cpu": "x"}])
def test_without_a_machine_it_is_unknown_or_as_a_person_says(read, frame, machine):
    document = pytest_file(bench("a", median=0.01), machine_info=machine)
    found = read(document)
    assert found.notes == (UNSAID,)
    assert frame(found)["machine"].tolist() == ["unknown"]
    del document["machine_info"]
    assert frame(read(document))["machine"].tolist() == ["unknown"]
    named = read(document, "desk")
    assert named.notes == ()
    assert frame(named)["machine"].tolist() == ["desk"]


def test_bad_benchmarks_cost_themselves_and_are_told_by_name(read, frame):
    found = read(pytest_file(
        bench("a::nan", median=float("nan"), mean=1.0), bench("a::inf", median=float("inf")),
        bench("a::zero", median=0, min=0), bench("a::minus", median=-1.0), bench("a::text", median="soon"),
        bench("a::true", median=True), bench("a::huge", median=10**400), bench("a::none"), bench("a::list", mean=[1]),
        {"fullname": "a::bare"}, {"stats": {"median": 1}}, "benchmark", None, {"fullname": "a::stats", "stats": 3},
        bench("a::good", median=0.5),
    ))  # fmt: skip
    assert frame(found)["operation"].tolist() == ["a::good"]
    assert [note.split(": ")[0] for note in found.notes] == [
        "a::nan", "a::inf", "a::zero", "a::minus", "a::text", "a::true", "a::huge", "a::none", "a::list", "a::bare",
        "benchmark 11", "benchmark 12", "benchmark 13", "a::stats",
    ]  # fmt: skip
    assert found.notes[0] == "a::nan: its median is nan"
    assert found.notes[4] == "a::text: its median is 'soon', no number"


def test_without_a_median_the_mean_stands_for_it_then_the_least_and_it_is_said(read, frame):
    found = read(pytest_file(bench("a::mean", min=0.1, mean=0.2), bench("a::min", min=0.1, max=0.3)))
    assert frame(found)["median_seconds"].tolist() == [0.2, 0.1]
    assert found.notes == ("a::mean: it has no median: its mean is taken", "a::min: it has no median: its min is taken")
    assert [record.details["note"] for record in found.parts[0].records] == [
        "it has no median: its mean is taken", "it has no median: its min is taken",
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [0, float("nan"), None, "x", [1]])
def test_samples_of_which_one_is_bad_are_left_out_for_the_median(read, frame, bad):
    found = read(pytest_file(bench("a", median=0.2, data=[0.1, bad, 0.3])))
    assert frame(found)[["median_seconds", "samples"]].to_numpy().tolist() == [[0.2, 1]]
    assert found.notes[0].endswith(": its samples are left out")


def test_a_name_that_is_there_twice(read, frame):
    found = read(pytest_file(bench("a", median=0.1), bench("a", median=0.2), bench("a", median=0.1)))
    assert frame(found)["median_seconds"].tolist() == [0.1, 0.2]
    assert frame(found)["operation"].tolist() == ["a", "a"]
    assert frame(found)["id"].tolist() == ["a", "a#2"]
    assert found.notes == (
        "a: there before, with another result (a); kept as a#2", "a: the same as a; taken once"
    )  # fmt: skip


@pytest.mark.parametrize("name", ['é"|</script><b>x', "a\nb\x1b[2J", "漢字 🎉", "\ud800", "'; drop", "x" * 5000])
def test_names_of_any_kind_are_taken_and_told_on_one_line(read, frame, name):
    found = read(pytest_file(bench(name, mean=0.3)))
    assert frame(found)["operation"].tolist() == [name.encode("utf-8", "replace").decode()]
    assert len(found.notes[0].splitlines()) == 1
    assert found.notes[0].isprintable()
    assert len(found.notes[0]) < 300


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_are_found_and_named(read, frame, encoding):
    found = read(pytest_file(bench("a", median=0.01)), encoding=encoding)
    assert frame(found)["operation"].tolist() == ["a"]
    (note,) = found.notes
    assert note.startswith("read as UTF-")


def test_files_that_were_put_together_keep_their_machines(tmp_path, frame):
    first = pytest_file(bench("a", median=0.1))
    second = pytest_file(bench("a", median=0.2), machine_info={"node": "desk"})
    for name, text in (
        ("list.json", json.dumps([first, second])),
        ("lines.json", f"{json.dumps(first)}\n{json.dumps(second)}\n"),
        ("row.json", json.dumps(first) + json.dumps(second)),
    ):
        found = frame(pytest_benchmark.read(write(tmp_path / name, text)))
        assert found[["machine", "operation", "median_seconds"]].to_numpy().tolist() == [
            ["box", "a", 0.1], ["desk", "a", 0.2],
        ], name  # fmt: skip
        assert found["id"].nunique() == 2


def test_of_files_put_together_each_bad_one_is_told(tmp_path, frame):
    good = pytest_file(bench("a", median=0.1))
    found = pytest_benchmark.read(write(tmp_path / "o.json", [3, {"x": 1}, good]))
    assert found.notes == (
        "document 1 of 3: no results file of pytest-benchmark: it has no benchmarks",
        "document 2 of 3: no results file of pytest-benchmark: it has no benchmarks",
    )
    cut = pytest_benchmark.read(write(tmp_path / "o.json", json.dumps(good) + "\n" + json.dumps(good)[:40]))
    assert "not valid JSON from line 2 on, cut short perhaps" in cut.notes[0]
    assert frame(cut)["median_seconds"].tolist() == [0.1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON from line 1 on, cut short perhaps"),
        ('{"benchmarks": [\n{"fullname":', "not valid JSON from line 2 on, cut short perhaps"),
        ("{}", "no results file of pytest-benchmark: it has no benchmarks"),
        ("3", "no results file of pytest-benchmark: it has no benchmarks"),
        ("[]", "nothing in it can be imported: it is empty"),
        ('{"benchmarks": {}}', "no results file of pytest-benchmark: it has no benchmarks"),
        ('{"machine_info": {"node": "n"}, "benchmarks": []}', "nothing in it can be imported: it is empty"),
        ('{"machine_info": {"node": "n"}, "benchmarks": [{}]}',
         "nothing in it can be imported: benchmark 1: it has no name"),
        ("[" * 100_000, "nested too deeply"),
        ('{"benchmarks": ' + "9" * 5000 + "}", "not valid JSON (Exceeds the limit"),
        (json.dumps(google_file(run("BM_a", 1.0))),
         "no results of pytest-benchmark, but of google-benchmark: dlhw import google-benchmark"),
    ],
)  # fmt: skip
def test_what_is_no_results_file_is_one_clear_error(read, text, words):
    with pytest.raises(DlhwError) as caught:
        read(text)
    assert words in str(caught.value)
    assert "o.json: " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_our_own_results_need_no_import(tmp_path):
    with pytest.raises(DlhwError, match="dlhw wrote it itself"):
        pytest_benchmark.read(write_own(tmp_path / "own.json", measured()))
