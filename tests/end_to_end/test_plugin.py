"""The main job as a user runs it, and pytest-benchmark's options upon it."""

import json
import subprocess
import sys

import pytest

from bench.records.record import fingerprint
from bench.sweep.plugin import Replay
from suites.case import Case


@pytest.fixture(scope="module")
def results(mini):
    return json.loads((mini.folder / "results.json").read_text())


def ids(output):
    return [line.split("[", 1)[1].removesuffix("]") for line in output.splitlines() if line.startswith("bench/test_")]


def test_every_measured_case_has_its_record(results):
    assert sorted(b["param"] for b in results["benchmarks"]) == sorted(
        f"lenet-{mode}-b{size}-fp32-contiguous-eager-cpu-t{Case.parse(results['benchmarks'][0]['param']).threads}"
        for mode in ("inference", "training")
        for size in (1, 2)
    )
    for benchmark in results["benchmarks"]:
        info = benchmark["extra_info"]
        case = Case.parse(benchmark["param"])
        assert Case.from_json(info["case"]) == case
        assert info["case"]["kind"] == "net"
        assert info["case"]["parameters"] == 61706
        per_image = {"inference": 833040, "training": 2263920}[case.mode]
        assert info["flops"] == {"forward_per_image": 833040, "step": per_image * case.batch_size}
        assert info["memory"]["parameter_bytes"] == 4 * 61706
        assert info["memory"]["peak_host_bytes"] >= info["memory"]["base_host_bytes"] > 0
        assert 0 <= info["check"]["relative_error"] <= info["check"]["tolerance"] < 1e-3
        assert info["sampling"]["launches"][0]["samples"] == len(benchmark["stats"]["data"]) >= 3
        assert info["compile"] is None
        assert benchmark["stats"]["iterations"] == 1
        assert benchmark["params"] == {"case": case.id}
        assert benchmark["options"]["timer"] == "dlhw.device_clock"


def test_nothing_in_the_results_is_a_repr_or_no_number(mini):
    text = (mini.folder / "results.json").read_text()
    assert "UNSERIALIZABLE" not in text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_the_rest_has_outcomes_with_reasons(results):
    outcomes = {outcome["id"]: outcome for outcome in results["outcomes"]}
    assert len(outcomes) == 4
    for case_id, outcome in outcomes.items():
        assert "-tf32-" in case_id
        assert outcome["status"] == "skipped"
        assert outcome["reason"].startswith("cpu has no TF32")
        assert outcome["case"] == Case.parse(case_id).to_json()


def test_the_results_know_the_machine(results):
    info = results["machine_info"]
    assert info["devices"][0]["name"] == "cpu"
    assert info["torch"]["version"]
    assert info["host"]["cores"] >= 1
    assert "hz_actual" not in info["cpu"]
    assert results["dlhw"]["suite"] == "mini"
    assert results["dlhw"]["planned"] == 8
    assert results["dlhw"]["fingerprint"] == fingerprint({**info, "python": info["python_version"]})


def test_one_line_a_case_and_the_way_on(mini):
    lines = [line for line in mini.output.stdout.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] + "]" for line in lines] == [f"[{n}/8]" for n in (1, 3, 5, 7)], "no line is impossible"
    assert "img/s" in lines[0]
    assert "ETA" in lines[0]
    assert "   4 not measured: cpu has no TF32" in mini.output.stdout
    assert "Legend:" not in mini.output.stdout, "pytest-benchmark's tables are there for those who ask"
    assert "next: dlhw table results.json" in mini.output.stdout
    assert "\x1b[" not in mini.output.stdout


def test_pytest_benchmark_reads_the_results(mini):
    compare = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "results.json"], cwd=mini.folder, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert "test_inference[lenet-inference-b1-fp32-contiguous-eager-cpu" in compare.stdout


def test_autosave_then_compare(runner):
    first = runner.run("--benchmark-autosave", "-k", "inference and b1-fp32")
    saved = list((runner.folder / ".benchmarks").rglob("*.json"))
    second = runner.run("--benchmark-compare", "-k", "inference and b1-fp32")
    assert (first.returncode, second.returncode) == (0, 0), first.stdout + second.stdout
    assert len(saved) == 1
    assert "machine_info is different" not in second.stdout + second.stderr
    assert "(NOW)" in second.stdout
    assert json.loads(saved[0].read_text())["outcomes"] == []


def test_disabled_runs_each_case_once_and_says_so(runner):
    output = runner.run("--benchmark-disable", "--benchmark-json=r.json", "-k", "b1-fp32")
    assert output.returncode == 0
    assert "NOTHING WAS MEASURED, and no JSON was written" in output.stdout
    assert not (runner.folder / "r.json").exists()
    assert not list(runner.folder.glob("*.journal.jsonl"))


def test_only_and_skip(runner):
    only = runner.run("--benchmark-only", "--benchmark-json=r.json", "-k", "b1-fp32")
    assert "2 passed" in only.stdout
    skip = runner.run("--benchmark-skip", "--benchmark-json=s.json", "-k", "b1-fp32")
    assert (skip.returncode, "2 skipped" in skip.stdout) == (0, True)
    assert "NOTHING WAS MEASURED" in skip.stdout


def test_with_nothing_measured_the_outcomes_are_written_all_the_same(runner):
    output = runner.run("--benchmark-json=r.json", "-k", "tf32")
    results = json.loads((runner.folder / "r.json").read_text())
    assert output.returncode == 0
    assert "NOTHING WAS MEASURED" in output.stdout
    assert results["benchmarks"] == []
    assert len(results["outcomes"]) == 4


def test_collect_only_lists_and_measures_nothing(runner):
    output = runner.run("--collect-only", "-q", "--axis", "batch_size=1,8,64", "--axis", "precision=fp32")
    assert len(ids(output.stdout)) == 6
    assert {Case.parse(case_id).batch_size for case_id in ids(output.stdout)} == {1, 8, 64}
    assert not list(runner.folder.glob("*.jsonl"))


def test_a_suite_of_one_mode_leaves_no_empty_test(runner):
    output = runner.run("--collect-only", "-q", "--axis", "mode=training", "--axis", "precision=fp32")
    assert all("-training-" in case_id for case_id in ids(output.stdout))
    assert len(ids(output.stdout)) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--axis", "btch_size=1"),
            "--axis btch_size=1: unknown axis 'btch_size' (did you mean 'batch_size'?)",
        ),
        (
            ("--axis", "architecture=lenett"),
            "--axis architecture: unknown net 'lenett' (did you mean 'lenet'?)",
        ),
        (("--suite", "quik"), "--suite quik: no such suite (did you mean 'quick'?)"),
        (("-n", "2"), "dlhw measures one case at a time: run pytest bench/ without xdist"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_clear_error(runner, arguments, words):
    output = runner.run(*arguments)
    assert output.returncode == 4
    assert words in output.stderr
    assert "Traceback" not in output.stdout + output.stderr
    assert runner.processes() == {}


def test_unknown_nets_of_others_are_one_clear_error(runner):
    output = runner.run("--axis", "architecture=torchvision:resnet19", "--axis", "precision=fp32")
    assert output.returncode == 4
    assert "torchvision has no model of that name (did you mean 'resnet18'?)" in output.stderr
    assert "Traceback" not in output.stdout + output.stderr
    assert runner.processes() == {}


def test_replay_gives_every_sample_exactly():
    timer = Replay()
    timer.load((0.1, 1e-9, 3.0))
    assert [-timer() + timer() for _ in range(3)] == [0.1, 1e-9, 3.0]
