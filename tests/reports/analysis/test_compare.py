"""Two results side by side."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from reports.analysis.compare import compare, summary, text
from reports.cli import app
from tests.support.samples import LENET, ended, measured, results, write

FEW = (0.004,)


def series(seconds, spread=0.0):
    return tuple(seconds * (1 + spread * sign) for sign in (-1, -1, -1, 0, 1, 1, 1))


@pytest.fixture
def compared(tmp_path):
    return lambda base, head: compare(write(tmp_path / "b.json", *base), write(tmp_path / "h.json", *head))


def row(found):
    return found.rows.iloc[0].to_dict()


@pytest.mark.parametrize(
    ("before", "after", "finding", "ratio"),
    [
        (series(0.004), series(0.005), "slower", (1.25, 1.25, 1.25)),
        (series(0.005), series(0.004), "faster", (0.8, 0.8, 0.8)),
        (series(0.004, 0.1), series(0.0041, 0.1), "no difference seen", (1.025, 1.025 * 0.9 / 1.1, 1.025 * 1.1 / 0.9)),
        (FEW, series(0.005), "no interval", (1.25, None, None)),
    ],
)
def test_a_change_has_a_ratio_and_says_what_can_be_seen(compared, before, after, finding, ratio):
    found = row(compared([measured(seconds=before)], [measured(seconds=after)]))
    assert found["finding"] == finding
    for name, wanted in zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True):
        assert found[name] == (pytest.approx(wanted) if wanted else None), name


def test_every_case_of_either_file_is_there(compared):
    bf16, training = replace(LENET, precision="bf16"), replace(LENET, mode="training")
    gone = ended("timeout", "too slow", training)
    new = measured(replace(LENET, batch_size=9))
    found = compared([measured(), measured(bf16), measured(training)], [measured(), gone, new])
    assert dict(zip(found.rows["case"], found.rows["finding"], strict=True)) == {
        LENET.id.removesuffix("-t2"): "no difference seen", bf16.id.removesuffix("-t2"): "missing",
        training.id.removesuffix("-t2"): "not measured in both", "lenet-inference-b9-fp32-contiguous-eager-cpu": "new",
    }  # fmt: skip
    assert found.rows.iloc[2]["head_reason"] == "too slow"
    assert summary(found.rows).startswith("1 no difference seen, 1 missing, 1 not measured in both, 1 new; geometric")


def test_all_threads_are_all_threads_on_any_machine(compared):
    found = compared([measured()], [measured(replace(LENET, threads=16))])
    assert len(found.rows) == 1
    two = [measured(), measured(replace(LENET, threads=1))]
    several = compared(two, two)
    assert several.rows["case"].tolist() == [LENET.id, LENET.id.replace("t2", "t1")]


def test_what_else_differs_comes_first(tmp_path):
    base, head = (json.loads(json.dumps(results(measured()))) for _ in range(2))
    head["machine_info"]["torch"]["version"] = "2.12.0"
    head["machine_info"]["devices"][0]["model"] = "Model 2"
    head["machine_info"]["torch"]["environment"] = {"MALLOC_TRIM_THRESHOLD_": "100000000000"}
    head["dlhw"]["fingerprint"] = "beef"
    for name, data in (("b", base), ("h", head)):
        (tmp_path / name).write_text(json.dumps(data))
    found = compare(tmp_path / "b", tmp_path / "h")
    assert dict(found.environment) == {
        "torch.version": ("2.11.0", "2.12.0"), "devices.cpu.model": ("Model 1", "Model 2"),
        "torch.environment.MALLOC_TRIM_THRESHOLD_": ("-", "100000000000"), "fingerprint": ("f00d", "beef"),
    }  # fmt: skip
    assert found.warnings[0].startswith("another machine or torch")


def test_what_makes_it_weak_is_said(compared):
    found = compared([measured(noisy=("busy",))], [measured()])
    assert found.warnings[0].startswith("one launch a case in base and head: ")
    assert found.warnings[1] == "1 of 1 case NOISY"
    assert compared([measured()], [ended("timeout", "x")]).warnings[-1] == "no case was measured in both"


def test_the_largest_change_is_first_for_people(compared):
    cases = [replace(LENET, batch_size=size) for size in (1, 2, 4)]
    before = [measured(case, series(0.004)) for case in cases]
    after = [measured(case, series(s)) for case, s in zip(cases, (0.0041, 0.002, 0.005), strict=True)]
    shown = text(compared(before, after).rows)
    assert shown["time"].tolist() == ["-50.0% [-50.0, -50.0]", "+25.0% [+25.0, +25.0]", "+2.5% [+2.5, +2.5]"]


def test_the_command(tmp_path):
    base = write(tmp_path / "b.json", measured(seconds=series(0.004)))
    head = write(tmp_path / "h.json", measured(seconds=series(0.005)))
    run = CliRunner().invoke(app, ["compare", str(base), str(head)])
    assert run.stdout.splitlines()[1].endswith("2,000 img/s\t1,600 img/s\t+25.0% [+25.0, +25.0]\tslower")
    assert "1 slower; geometric mean of 1 ratios of time 1.25" in run.stderr
    rows = json.loads(CliRunner().invoke(app, ["compare", str(base), str(head), "--json", "-"]).stdout)
    assert rows[0]["ratio"] == pytest.approx(1.25)
