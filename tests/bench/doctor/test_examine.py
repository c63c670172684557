"""`dlhw doctor` for real, with fewer turns and launches than it takes for a person; and its report."""

import json
import os
import subprocess
import sys

import pytest

from bench.controller.process import Worker
from bench.doctor import examine as module
from bench.doctor.diagnostics import EXACT_FORWARD_FLOPS, Diagnostic, Verdict
from reports.analysis import diagnosis
from tests.support.runner import ROOT


@pytest.fixture(scope="module")
def examined():
    """The findings by name, and the steps that were told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ALTERNATIONS", 2)
        patch.setattr(module, "REPEATED_BUDGET", module.REPEATED_BUDGET.model_copy(update={"launches": 2}))
        steps = []
        found = list(module.examine(lambda step, seconds: steps.append((step, seconds))))
    return found, steps


def one(examined, name):
    return next(finding for finding in examined[0] if finding.name == name)


def test_everything_is_examined(examined):
    names = {finding.name for finding in examined[0]}
    assert names >= {
        "processor", "torch", "fp32 as torch has it", "torch.compile", "cores", "thread settings", "environment",
        "clock rate", "other processes", "stolen time", "convolutions", "FLOPs", "clock", "memory of cpu",
        "page faults", "agreement on cpu", "energy of cpu", "repeatability, 1 thread",
    }  # fmt: skip
    workloads = [finding.facts["workload"] for finding in examined[0] if finding.name == "agreement on cpu"]
    assert workloads == ["LeNet b1", "ResNet-18 b1", "matrix product"]


def test_every_step_is_told_with_the_time_it_takes(examined):
    assert all(step and seconds > 0 for step, seconds in examined[1])
    assert [step.partition(" ")[0] for step, _ in examined[1]][:2] == ["looking", "starting"]


def test_the_instrument_is_right_where_noise_cannot_matter(examined):
    assert one(examined, "FLOPs").facts["counted"] == EXACT_FORWARD_FLOPS
    assert one(examined, "memory of cpu").verdict == Verdict.GOOD
    assert one(examined, "memory of cpu").facts["expected_bytes"] == 256 * 2**20


def test_new_memory_takes_faults_and_time(examined):
    facts = one(examined, "page faults").facts
    assert 0 < facts["faults"] <= 1 / 4096  # huge pages take fewer
    assert min(facts["first_seconds"], facts["again_seconds"]) > 0


def test_both_instruments_took_turns_on_the_same_step(examined):
    facts = next(finding.facts for finding in examined[0] if finding.name == "agreement on cpu")
    assert len(facts["ours_seconds"]) == len(facts["theirs_seconds"]) == 2
    assert all(
        0.2 < ours / theirs < 5 for ours, theirs in zip(facts["ours_seconds"], facts["theirs_seconds"], strict=True)
    )


def test_launches_are_told_apart(examined):
    facts = one(examined, "repeatability, 1 thread").facts
    assert len(facts["launch_medians_seconds"]) == 2


def test_findings_are_plain_json(examined):
    document = diagnosis.document(examined[0], 1)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document["findings"][0]) == {"name", "value", "verdict", "advice", "facts"}


def test_a_probe_that_dies_is_a_finding():
    with Worker() as worker:
        (found,) = module._probe(worker, "flops", lambda facts: pytest.fail("there are no facts"), wrong="argument")
    assert found.verdict == Verdict.BAD
    assert "unexpected keyword argument 'wrong'" in found.value


FINDINGS = [
    Diagnostic(name="clock", value="tells 40 ns apart", verdict=Verdict.GOOD),
    Diagnostic(name="steal", value="7%", verdict=Verdict.WARNING, advice="measure elsewhere"),
    Diagnostic(name="processor", value="Model 1"),
]


@pytest.fixture
def found(monkeypatch):
    def set_to(findings):
        def examine(begin):
            begin("looking", 3.0)
            yield from findings

        monkeypatch.setattr(module, "examine", examine)

    return set_to


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        (FINDINGS[::2], 0),
        (FINDINGS, 1),
        ([*FINDINGS, Diagnostic(name="FLOPs", value="wrong", verdict=Verdict.BAD, advice="do not")], 2),
    ],
)
def test_the_worst_verdict_is_the_exit_code(found, findings, code, capsys):
    found(findings)
    assert diagnosis.run(as_json=True) == code
    output = capsys.readouterr()
    assert json.loads(output.out)["exit_code"] == code
    assert output.err == "dlhw: looking (about 3 s)\n"


def test_a_pipe_gets_tabs(found, capsys):
    found(FINDINGS)
    diagnosis.run(as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "clock\tgood\ttells 40 ns apart\t",
        "steal\twarning\t7%\tmeasure elsewhere",
        "processor\tfact\tModel 1\t",
        "usable, with warnings",
    ]


def test_the_command_says_what_it_does_and_ends_with_the_code(tmp_path):
    stub = tmp_path / "sitecustomize.py"
    stub.write_text(
        "import reports.analysis.diagnosis\nreports.analysis.diagnosis.run = lambda *, as_json: 2 - as_json\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-P", "-c", "from reports.cli import main; main()", "doctor"]
    assert subprocess.run(command, env=environment, check=False).returncode == 2
    assert subprocess.run([*command, "--json"], env=environment, check=False).returncode == 1
    help_text = subprocess.run([*command, "--help"], env=environment, check=True, text=True, capture_output=True).stdout
    assert "Exit code: 0 good, 1 usable with warnings, 2 not usable" in " ".join(help_text.split())
