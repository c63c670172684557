"""The gate over live sides: real repositories, interpreters and processes. No verdict here depends on a time."""

import json
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from bench.gate.journal import read
from reports.cli import app
from suites.errors import DlhwError
from tests.support.repository import commit, git
from tests.support.runner import Runner

NETS = """
import os
import signal
import torch
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))

def other():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
"""
KILLED = """
class Killed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

    def forward(self, x):
        if torch.is_inference_mode_enabled() and not os.path.exists({flag!r}):
            open({flag!r}, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner(x)

def small():
    return Killed()
"""
SUITE = """
[measure]
warmup_seconds = 0.05

[[sweep]]
architecture = {names}
mode = "inference"
threads = 1
"""


def suite_text(*names):
    blocks = "".join(f'[architectures."shop.nets:{name}"]\ninput_shape = [1, 8, 8]\n' for name in names)
    return SUITE.format(names=json.dumps([f"shop.nets:{name}" for name in names])) + blocks


def id_of(name):
    return f"shop.nets:{name}@1x8x8-inference-b1-fp32-contiguous-eager-cpu-t1"


@pytest.fixture
def shop(tmp_path):
    """A person's own repository, with a net or two and a suite."""
    top = tmp_path / "shop"
    top.mkdir()
    git(top, "init", "-qb", "main")
    (top / "gate.toml").write_text(suite_text("small", "other"))
    (top / "shop").mkdir()
    (top / "shop" / "__init__.py").write_text("")
    (top / "shop" / "nets.py").write_text(NETS)
    commit(top, "nets")
    return top


HASTE = """
from bench.controller import noise
from bench.gate import interleave
interleave.SIDE_SECONDS = 0
interleave._switches = lambda *_: ""
noise.OTHER_CORES = noise.SWITCHES_PER_THREAD = 1e9
from reports.cli import main
main()
"""
"""As few turns as there may be, and no turn that does not count because other tests run beside this one."""


class Gate(Runner):
    """Runs `dlhw gate` in a folder."""

    def command(self, *arguments, suite=None):
        return [sys.executable, "-P", "-c", HASTE, "gate", "--suite", "gate.toml", *map(str, arguments)]


@pytest.fixture
def gate(shop, tmp_path):
    found = Gate(tmp_path)
    found.folder = shop
    found.journal = tmp_path / "gate.journal.jsonl"
    return found


def run(gate, *arguments):
    out = gate.journal.with_name("gate.json")
    done = gate.run("--journal", gate.journal, "--json", out, "--pairs", 3, "--tolerance", "90%", *arguments)
    found = json.loads(out.read_text()) if out.exists() else None
    return done, found


def rows(found, measure="time"):
    return {row["case"]: row for row in found["rows"] if row["measure"] == measure}


def counted(found, stage=1, control=""):
    entries = [entry for entry in found["entries"] if (entry["stage"], entry["control"]) == (stage, control)]
    return {case: sum(entry["case"] == case for entry in entries) for case in {entry["case"] for entry in entries}}


def test_cases_that_come_and_go_and_a_worker_that_is_killed_in_mid_pair(gate, shop, tmp_path):
    killed = KILLED.format(flag=str(tmp_path / "killed"))
    (shop / "shop" / "nets.py").write_text(NETS.replace("def other", "def newer") + killed)
    (shop / "gate.toml").write_text(suite_text("small", "newer"))
    (shop / "shop" / "dirty.py").write_text("")
    before = git(shop, "status", "--porcelain")
    done, found = run(gate, "--base", "HEAD", "--go-on", "--markdown", tmp_path / "g.md", "--junit", tmp_path / "g.xml")
    time_ = rows(found)
    gone = "skipped: not in head's suite"
    assert (time_[id_of("other")]["verdict"], time_[id_of("other")]["reason"]) == ("MISSING", gone)
    assert time_[id_of("newer")]["verdict"] == "NEW"
    assert time_[id_of("small")]["verdict"] not in {"MISSING", "NEW"}
    assert done.returncode == found["exit_code"] == 1  # also where the machine was disturbed
    told = rows(found, "memory")[id_of("small")]
    assert (told["figures"]["ratio"], told["bytes"]["tolerance"]) == (None, 4 * 2**20)
    assert "nets, with 3 files changed since" in found["head"]
    assert {case: min(count, 4) for case, count in counted(found).items()} == {
        id_of("small"): 4, id_of("other"): 1, id_of("newer"): 1,
    }, "another pair makes up for the one that was lost"  # fmt: skip
    heads = [entry["pair"]["outcomes"][1] for entry in found["entries"] if entry["case"] == id_of("small")]
    (lost,) = [outcome for outcome in heads if outcome]
    assert lost["status"] == "crashed"
    assert lost["reason"].startswith("killed by SIGKILL while it was loaded")
    assert counted(found, control="negative").keys() == counted(found, control="positive").keys() == {id_of("small")}
    assert len(read(gate.journal)[1]) == len(found["entries"])
    whole = [entry["pair"] for entry in found["entries"] if entry["case"] == id_of("small")]
    assert all(len(pair["base"]) >= 16 for pair in whole if not any(pair["outcomes"]))
    assert "3 pairs of 1 case and their controls, about" in done.stderr
    assert "pair 1 of 3; about" in done.stderr
    assert (tmp_path / "g.md").read_text().startswith("## dlhw gate: ")
    assert git(shop, "status", "--porcelain") == before
    assert gate.processes() == {}


def test_a_base_that_does_not_import_compares_nothing(gate, shop):
    (shop / "shop" / "nets.py").write_text("import nothing_of_that_name\n")
    commit(shop, "broken")
    (shop / "shop" / "nets.py").write_text(NETS)
    done, found = run(gate, "--base", "HEAD")
    assert {row["verdict"] for row in found["rows"]} == {"NEW"}
    assert "No module named 'nothing_of_that_name'" in rows(found)[id_of("small")]["reason"]
    assert done.returncode == found["exit_code"] == 5


def test_a_head_that_does_not_import_is_missing(gate, shop):
    (shop / "shop" / "nets.py").write_text("import nothing_of_that_name\n")
    done, found = run(gate, "--base", "HEAD")
    assert {row["verdict"] for row in found["rows"]} == {"MISSING"}
    assert done.returncode == 1


def wait_for_entries(journal, count, process):
    while not journal.exists() or journal.read_bytes().count(b'"kind": "pair"') < count:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)


def test_what_was_measured_outlives_a_kill_and_an_interruption_and_another_copy_is_not_gone_on_with(gate, shop):
    arguments = ("--base", "HEAD", "--journal", gate.journal, "--pairs", 3, "--tolerance", "90%")
    (shop / "gate.toml").write_text(suite_text("small"))
    commit(shop, "one net")
    process = gate.start(*arguments)
    wait_for_entries(gate.journal, 2, process)
    process.kill()
    process.communicate()
    first = read(gate.journal)[1]
    assert len(first) >= 2
    while gate.processes():  # they end when the pipe from the controller does
        time.sleep(0.1)
    process = gate.start(*arguments, "--resume")
    wait_for_entries(gate.journal, len(first) + 2, process)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[0]
    assert process.returncode == 130
    assert f"interrupted; what was measured is in {gate.journal}: go on with --resume" in said
    second = read(gate.journal)[1]
    assert second[: len(first)] == first
    (shop / "shop" / "more.py").write_text("")
    done, _ = run(gate, "--base", "HEAD", "--resume")
    assert (done.returncode, "holds another run: trees differ" in done.stderr) == (2, True)
    (shop / "shop" / "more.py").unlink()
    done, found = run(gate, "--base", "HEAD", "--resume")
    assert done.returncode in {0, 1, 6}
    assert [entry["pair"]["base"] for entry in found["entries"][: len(second)]] == [
        list(entry.pair.base) for entry in second
    ]
    assert min(counted(found).values()) >= 3


def test_an_interpreter_without_torch_is_no_base(gate, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    done, found = run(gate, "--base-python", tmp_path / "bare" / "bin" / "python")
    assert (done.returncode, found["exit_code"], found["verdict"]) == (4, 4, "INCOMPARABLE")
    assert "base (" in found["rows"][0]["reason"]
    assert "cannot be measured" in done.stderr
    assert "No module named" in done.stderr


def test_another_torch_is_what_two_interpreters_are_for(gate, shop, tmp_path):
    (shop / "gate.toml").write_text(suite_text("small"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sitecustomize.py").write_text("import torch\ntorch.__version__ = '9.9.9'\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}/other:$PYTHONPATH" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done, found = run(gate, "--base-python", python)
    assert any(note.startswith("torch.version: 9.9.9 in base, ") for note in found["notes"])
    assert counted(found)[id_of("small")] >= 3
    assert done.returncode in {0, 1, 6}


def test_what_no_side_can_measure_is_left_out(gate, shop):
    (shop / "gate.toml").write_text(suite_text("small").replace("threads = 1", 'threads = 1\nprecision = "tf32"'))
    commit(shop, "tf32")
    done, found = run(gate, "--base", "HEAD")
    assert (done.returncode, found["rows"]) == (5, [])
    assert "has no TF32" in found["left_out"][0][1]


def test_an_empty_suite_is_a_mistake_of_heads_and_no_base(gate, shop):
    text = (shop / "gate.toml").read_text()
    (shop / "gate.toml").write_text("[measure]\n")
    done, _ = run(gate, "--base", "HEAD")
    assert (done.returncode, "a suite needs at least one [[sweep]]" in done.stderr) == (2, True)
    commit(shop, "empty")
    (shop / "gate.toml").write_text(text)
    done, _ = run(gate, "--base", "HEAD")
    assert (done.returncode, "base's suite cannot be used" in done.stderr) == (4, True)


def test_a_shallow_clone_is_no_base(gate, shop, tmp_path):
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{shop}", "shallow")
    gate.folder = tmp_path / "shallow"
    done, _ = run(gate, "--base", "HEAD~1")
    assert (done.returncode, "this clone is shallow" in done.stderr) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "what is head to be held against?"),
        (["--base", "HEAD", "--base-python", "p"], "--base and --base-python exclude one another"),
        (["h.json", "--base", "HEAD"], "HEAD.json goes with --baseline BASE.json"),
        (["--baseline", "b.json"], "HEAD.json goes with --baseline BASE.json"),
        (["--base", "HEAD", "--pairs", "6", "--budget", "10m"], "--pairs and --budget: each says how many pairs"),
        (["--base", "HEAD", "--budget", "10"], "--budget 10: a number and a unit are wanted, as in 20ms, 0.5s, 10m"),
        (["--base", "HEAD", "--detect", "three"], "--detect three: a share is wanted, as in 3% or 0.03"),
        (["--base", "HEAD", "--tolerance", "200%"], "--tolerance 200%: a share from 0 to less than 1"),
        (["--base", "HEAD", "--inject", "5%"], "--inject 5%: expected PATTERN=SHARE"),
    ],
)
def test_what_cannot_be_asked_for_is_one_clear_error(arguments, said):
    found = CliRunner().invoke(app, ["gate", *arguments])
    assert isinstance(found.exception, DlhwError)
    assert said in str(found.exception)


def test_outside_a_repository_the_option_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["gate", "--base", "HEAD"])
    assert "--base: " in str(found.exception)
    assert "is in no git repository" in str(found.exception)
