"""`dlhw predict`: what was not measured, marked as such, everywhere; and held against what was."""

import json
from functools import partial

import pytest
from typer.testing import CliRunner

from bench.prediction import evaluate
from reports.cli import app
from reports.results import frames, tables
from tests.support import grid
from tests.support.samples import results

GRID = """
[[sweep]]
architecture = "resnet18"
mode = "inference"
precision = ["fp32", "fp16"]
batch_size = [1, 2, 4, 8, 16, 32, 64]
"""

NET = """
from suites.architectures import build
net = lambda: build("lenet")
"""
OWN = """
[architectures."counted:net"]
input_shape = [1, 28, 28]
[architectures."counted:none"]
input_shape = [1, 28, 28]

[[sweep]]
architecture = ["counted:net", "counted:none"]
mode = "inference"
batch_size = [8, 64]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a results file of the real grid that lacks ResNet-18 at batch 4, and a suite that wants it, and more."""
    folder = tmp_path_factory.mktemp("predict")
    kept = [record for record in grid.records() if "resnet18-inference-b4-" not in record.id]
    (folder / "r.json").write_text(json.dumps(results(*kept)))
    (folder / "wanted.toml").write_text(GRID)
    return folder


def run(*arguments):
    done = CliRunner().invoke(app, ["predict", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


@pytest.fixture(scope="module")
def predicted(folder):
    text = run(folder / "r.json", "--suite", folder / "wanted.toml", "-o", folder / "p.json", "--json")
    return {row["id"]: row["prediction"] for row in json.loads(text)}


def real(case_id):
    (record,) = [record for record in grid.records() if record.id == case_id]
    return sorted(record.seconds)[len(record.seconds) // 2]


def test_only_what_was_not_measured_is_predicted(predicted):
    assert {case_id.split("-")[2] for case_id in predicted if "-fp32-" in case_id} == {"b4", "b64"}


def test_the_prediction_is_near_what_was_measured(predicted):
    case_id = "resnet18-inference-b4-fp32-contiguous-eager-cpu-t2"
    found = predicted[case_id]
    assert found["low"] < real(case_id) < found["high"]
    assert found["median_seconds"] == pytest.approx(real(case_id), rel=0.25)
    assert found["coverage"] == 0.9


def test_a_precision_that_was_never_measured_is_not_guessed(predicted):
    found = predicted["resnet18-inference-b4-fp16-contiguous-eager-cpu-t2"]
    assert found["median_seconds"] is None
    assert found["reason"] == "nothing was measured with precision fp16"


def test_in_tables_it_is_marked_and_no_measurement(folder, predicted):
    frame = frames.load(folder / "p.json")
    row = frame[frame["id"] == "resnet18-inference-b4-fp32-contiguous-eager-cpu-t2"].iloc[0]
    assert row["status"] == "skipped"
    assert row[["median_seconds", "images_per_second", "value", "flops_per_second"]].isna().all()
    assert row["predicted_seconds"] == predicted[row["id"]]["median_seconds"]
    shown = tables.cases(frame[frame["id"] == row["id"]]).iloc[0]
    assert shown["time a step"].startswith("~")
    assert shown["verdict"].startswith("PREDICTED; skipped")


def test_no_analysis_takes_it_for_a_measurement(folder, predicted):
    from reports.analysis import advise, dataset, roofline

    case_id = "resnet18-inference-b4-fp32-contiguous-eager-cpu-t2"
    cases = dataset.load([folder / "p.json"], names={}, prices={}, reference=None).cases
    assert cases.loc[cases["id"] == case_id, "samples_per_second"].isna().all()
    found = advise.documents(advise.advise(cases, advise.Wishes(architecture="resnet18")))
    assert "-b4-" not in json.dumps(found)
    line = roofline.load([folder / "p.json"])
    assert line.loc[line["id"] == case_id, "median_seconds"].isna().all()


def test_a_net_of_ones_own_that_was_never_measured_is_predicted_by_its_counted_work(folder, monkeypatch):
    (folder / "counted.py").write_text(NET)
    (folder / "own.toml").write_text(OWN)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    found = {row["id"]: row["prediction"] for row in json.loads(run(folder / "r.json", "--suite", folder / "own.toml",
                                                                    "--json"))}  # fmt: skip
    own = [found[f"counted:net@1x28x28-inference-b{size}-fp32-contiguous-eager-cpu-t2"] for size in (8, 64)]
    lenet = real("lenet-inference-b64-fp32-contiguous-eager-cpu-t2")
    assert own[0]["median_seconds"] < own[1]["median_seconds"]
    assert own[1]["low"] < lenet < own[1]["high"]
    assert found["counted:none@1x28x28-inference-b8-fp32-contiguous-eager-cpu-t2"]["reason"].startswith(
        "the work of counted:none in inference was not counted: "
    )


def test_evaluating_tells_error_and_coverage(folder, monkeypatch):
    monkeypatch.setattr(evaluate, "curve", partial(evaluate.curve, shares=[0.15], repeats=3))
    scores = json.loads(run(folder / "r.json", "--evaluate", "--json"))
    ours = next(score for score in scores if score["what"] == "15%" and score["method"] == "chosen cases, our model")
    assert ours["median_error"] < 0.1
    assert 0.8 < ours["coverage"] < 1
    assert len({score["what"] for score in scores if score["method"] == "left out, our model"}) == 7


def test_too_few_cases_are_told(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(results(*grid.records()[:12])))
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "r.json"), "--evaluate"])
    assert "60 measured nets of one device" in str(done.exception)
