"""Results of other tools as records."""

import json

import pytest
from typer.testing import CliRunner

from reports.cli import app
from reports.results import imports
from reports.results.frames import load
from suites.errors import DlhwError
from tests.support.runner import ROOT
from tests.support.samples import measured, write

SHARED = ROOT.parent / "shared" / "data" / "timm"
INFER = (
    "model,infer_img_size,infer_samples_per_sec,infer_step_time,infer_batch_size,param_count,infer_gmacs,infer_macts\n"
)
ROWS = "resnet18,224,1000.0,256.0,256,11.69,1.82,2.48\ntest_vit,160,2000.0,64.0,128,0.37,0.04,0.48\n"
NAME = "benchmark-infer-amp-nhwc-pt240-cu124-rtx4090-dynamo.csv"


@pytest.fixture
def file(tmp_path):
    def file(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return file


@pytest.fixture
def frame(tmp_path):
    def frame(data):
        path = tmp_path / "imported.json"
        path.write_text(json.dumps(data))
        return load(path)

    return frame


def test_what_the_name_says_is_read_from_it_and_the_rest_from_the_columns(file, frame):
    found = frame(imports.timm(file(NAME, INFER + ROWS)))
    first = found.iloc[0].dropna().to_dict()
    assert first.items() >= {
        "machine": "rtx4090", "torch": "2.4.0", "device_model": "rtx4090", "architecture": "torchvision:resnet18",
        "mode": "inference", "batch_size": 256, "precision": "amp_fp16", "memory_format": "channels_last",
        "compile_mode": "default", "device": "cuda:0", "input_shape": "3x224x224", "parameters": 11_690_000,
        "status": "measured", "median_seconds": 0.256, "images_per_second": 1000.0, "samples": 1,
    }.items()  # fmt: skip
    assert found["architecture"].tolist() == ["torchvision:resnet18", "timm:test_vit"]


def test_a_summary_has_no_interval_and_no_threads(file, frame):
    found = frame(imports.timm(file(NAME, INFER + ROWS)))
    for column in ("low_seconds", "half_width", "value_low", "p90_seconds", "threads", "peak_bytes", "noisy"):
        assert found[column].isna().all(), column


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("benchmark-train-amp-nchw-pt112-cu113-rtx3090.csv", ("training", "amp_fp16", "contiguous", "eager", "1.12")),
        (
            "benchmark-infer-fp32-nchw-pt240-cpu-i7_12700h-dynamo.csv",
            ("inference", "fp32", "contiguous", "default", "2.4.0"),
        ),
        ("benchmark-infer-bf16-nhwc-pt291-cu130-pro6000.csv", ("inference", "bf16", "channels_last", "eager", "2.9.1")),
    ],
)
def test_names(file, frame, name, facts):
    mode = "train" if "train" in name else "infer"
    text = f"{mode}_batch_size,model,{mode}_img_size,{mode}_samples_per_sec,param_count\n8,vgg11,224,80.0,132.86\n"
    row = frame(imports.timm(file(name, text))).iloc[0]
    assert (row["mode"], row["precision"], row["memory_format"], row["compile_mode"], row["torch"]) == facts
    assert row["device"] == ("cpu" if "-cpu-" in name else "cuda:0")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("results.csv", INFER + ROWS, "read from the name, which is not as timm's"),
        (NAME, INFER, "it has no rows"),
        (NAME, "", "it has no rows"),
        (NAME, "a,b\n1,2\n", ":2: not a row of timm's (KeyError: 'infer_batch_size')"),
        (NAME, INFER + "resnet18,224,zero,1,8,1,1,1\n", ":2: not a row of timm's (ValueError"),
        (NAME, INFER + ROWS + "resnet18,224,0,1,8,1,1,1\n", ":4: not a row of timm's (ZeroDivisionError"),
        (NAME, INFER + "resnet18,224\n", ":2: not a row of timm's (TypeError"),
    ],
)
def test_a_file_that_is_not_timms_is_one_clear_error(file, name, text, words):
    with pytest.raises(DlhwError) as caught:
        imports.timm(file(name, text))
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(file(name, text)))


def test_names_of_the_same_net_have_as_many_parameters():
    if not SHARED.is_dir():
        pytest.skip("the shared results of timm are not here")
    import csv

    import torch
    from torchvision import models

    published = {}
    for path in SHARED.glob("*.csv"):
        with path.open(newline="") as rows:
            published |= {row["model"]: float(row["param_count"]) for row in csv.DictReader(rows)}
    known = {name: same for name, same in imports.TORCHVISION.items() if name in published}
    assert len(known) > 20
    for name, same in known.items():
        with torch.device("meta"):
            net = models.get_model(same, weights=None)
        millions = sum(parameter.numel() for parameter in net.parameters()) / 1e6
        assert round(millions, 2) == pytest.approx(published[name], abs=0.011), (name, same)


def test_every_shared_file_is_read():
    if not SHARED.is_dir():
        pytest.skip("the shared results of timm are not here")
    counts = {path.name: len(imports.timm(path)["benchmarks"]) for path in SHARED.glob("*.csv")}
    assert len(counts) == 10
    assert min(counts.values()) > 300


FOREIGN = {
    "machine_info": {"node": "box", "python_version": "3.12"},
    "benchmarks": [
        {"fullname": "tests/test_a.py::test_sort[10]", "stats": {"median": 0.002, "data": [0.001, 0.002, 0.003]}},
        {"fullname": "tests/test_a.py::test_sort[20]", "stats": {"median": 0.004}},
    ],
}


def test_other_projects_benchmarks_are_operations_of_their_own(file, frame):
    found = frame(imports.pytest_benchmark(file("o.json", json.dumps(FOREIGN))))
    assert found["operation"].tolist() == [each["fullname"] for each in FOREIGN["benchmarks"]]
    assert found["median_seconds"].tolist() == [0.002, 0.004]
    assert found["samples"].tolist() == [3, 1]
    assert found["images_per_second"].isna().all()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"machine_info": {"node": 1}, "benchmarks": [{}]}'])
def test_what_is_no_results_file_is_one_clear_error(file, text):
    with pytest.raises(DlhwError, match="no results file of pytest-benchmark"):
        imports.pytest_benchmark(file("o.json", text))


def test_our_own_results_need_no_import(tmp_path):
    with pytest.raises(DlhwError, match="dlhw wrote it itself"):
        imports.pytest_benchmark(write(tmp_path / "own.json", measured()))


def test_the_command_writes_a_file_for_each(file, tmp_path):
    paths = [file(NAME, INFER + ROWS), file(NAME.replace("4090", "3090"), INFER + ROWS)]
    run = CliRunner().invoke(app, ["import", "timm", *map(str, paths)])
    assert run.exit_code == 0, run.output
    assert sorted(path.name for path in tmp_path.glob("*.dlhw.json")) == sorted(
        path.with_suffix(".dlhw.json").name for path in paths
    )


def test_a_mistake_in_one_file_writes_none(file, tmp_path):
    paths = [file(NAME, INFER + ROWS), file(NAME.replace("4090", "3090"), "a\n1\n")]
    assert CliRunner().invoke(app, ["import", "timm", *map(str, paths)]).exit_code != 0
    assert not list(tmp_path.glob("*.dlhw.json"))
