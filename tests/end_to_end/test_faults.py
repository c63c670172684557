"""Faults, tried for real: after each one clear line, the sweep goes on or stops as it should, no orphan."""

import json
import os
import shutil
import signal

import pytest

from tests.support.waiting import until

NETS = """
import ctypes, os, signal, time
from pathlib import Path
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, fault=lambda x: None):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.linear = nn.Linear(2 * 6 * 6, 10)
        self.fault = fault

    def forward(self, x):
        if torch.is_inference_mode_enabled():  # only in the measuring process, not where the check is made
            self.fault(x)
        return self.linear(torch.relu(self.conv(x)).flatten(1))


class Raises(nn.Module):
    def forward(self, x):
        raise ValueError("no such layer")


class WrongWhenCompiled(Net):
    def forward(self, x):
        y = super().forward(x)
        return y * 1.01 if torch.compiler.is_compiling() else y


def greedy(x):
    torch.ones(1 << 30)  # 4 GiB


fine = Net
also_fine = Net
raises = Raises
wrong_when_compiled = WrongWhenCompiled
sigkill = lambda: Net(lambda x: os.kill(os.getpid(), signal.SIGKILL))
sigsegv = lambda: Net(lambda x: ctypes.string_at(0))
exits = lambda: Net(lambda x: os._exit(3))


def sleep(x):
    Path("hangs.pid").write_text(f"{os.getpid()} {os.getppid()}")
    time.sleep(3600)


hangs = lambda: Net(sleep)
hungry = lambda: Net(greedy)
LIE = '{"event": "result", "outcome": {"status": "measured", "reason": ""}}'
chatty = lambda: Net(lambda x: print(LIE, flush=True))
"""
SUITE = """
[measure]
precision = 0.5
min_samples = 3
min_seconds = 0.0
max_seconds = 0.02
warmup_seconds = 0.02
time_limit_seconds = {limit}
memory_limit_bytes = 3_000_000_000
[[sweep]]
architecture = [{names}]
mode = "inference"
batch_size = {sizes}
compile_mode = "{compile_mode}"
"""


def write_suite(runner, *names, sizes="[1]", limit=6, compile_mode="eager"):
    (runner.folder / "nets.py").write_text(NETS)
    quoted = ", ".join(f'"nets:{name}"' for name in names)
    text = SUITE.format(names=quoted, sizes=sizes, limit=limit, compile_mode=compile_mode)
    text += "".join(f'[architectures."nets:{name}"]\ninput_shape = [1, 8, 8]\n' for name in names)
    runner.suite.write_text(text)


def outcomes(runner, name="r.json"):
    data = json.loads((runner.folder / name).read_text())
    found = {outcome["id"]: (outcome["status"], outcome["reason"]) for outcome in data["outcomes"]}
    found |= {benchmark["param"]: ("measured", "") for benchmark in data["benchmarks"]}
    return {key.split("@")[0].removeprefix("nets:") + key.split("-")[2]: value for key, value in found.items()}


def test_each_fault_is_a_row_and_the_sweep_goes_on(runner):
    write_suite(runner, "sigkill", "sigsegv", "exits", "hangs", "raises", "hungry", "chatty", "fine", sizes="[1, 2]")
    output = runner.run("--benchmark-json=r.json")
    found = outcomes(runner)
    assert found["fineb1"] == found["fineb2"] == found["chattyb1"] == ("measured", "")
    assert found["sigkillb1"][0] == "crashed"
    assert found["sigkillb1"][1].startswith("killed by SIGKILL while checking")
    assert found["sigsegvb1"][0] == "crashed"
    assert found["sigsegvb1"][1].startswith("killed by SIGSEGV while checking")
    assert found["exitsb1"] == ("crashed", "ended with code 3 while checking; last words: it printed nothing")
    assert found["hangsb1"] == ("timeout", "no end after 6 s, while checking; killed")
    assert found["hangsb2"] == ("skipped", "batch 1 of this configuration ran out of time")
    line = next(number for number, text in enumerate(NETS.splitlines(), 1) if "no such layer" in text)
    assert found["raisesb1"] == ("failed", f"ValueError: no such layer (nets.py:{line})")
    assert found["hungryb1"][0] == "out_of_memory"
    assert found["hungryb2"] == ("skipped", "batch 1 of this configuration ran out of memory")
    assert output.returncode == 1
    assert len([line for line in output.stdout.splitlines() if line.startswith("[")]) == 16
    assert runner.processes() == {}


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="torch.compile needs a C++ compiler")
def test_a_wrong_compiled_result_is_caught(runner):
    write_suite(runner, "wrong_when_compiled", "fine", limit=300, compile_mode="default")
    output = runner.run("--benchmark-json=r.json")
    found = outcomes(runner)
    assert found["wrong_when_compiledb1"][0] == "wrong_result"
    assert found["wrong_when_compiledb1"][1].startswith("outputs differ from fp64 by 0.01 of their size")
    assert found["fineb1"] == ("measured", "")
    compiled = json.loads((runner.folder / "r.json").read_text())["benchmarks"][0]["extra_info"]["compile"]
    assert compiled["seconds"] > 0
    # Dynamo cannot trace the question whether it is in inference mode: a graph break that this net has by design.
    assert (compiled["graph_breaks"], compiled["cached"]) == (1, False)
    assert "WRONG RESULT" in output.stdout


def test_stopping_at_the_first_failure(runner):
    write_suite(runner, "raises", "fine")
    output = runner.run("-x", "--benchmark-json=r.json")
    assert output.returncode == 1
    assert outcomes(runner)["fineb1"] == ("skipped", "not run: the sweep ended before it")
    assert "--resume" in output.stdout


def launches(runner):
    """The lines of single launches that are whole."""
    path = runner.folder / "r.journal.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.startswith('{"kind": "launch"') and line.endswith("\n")]


def journal(runner):
    path = runner.folder / "r.journal.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["record"]["id"] for line in lines if '"record": {' in line]


def test_a_killed_controller_loses_and_doubles_nothing(runner):
    write_suite(runner, "fine", "also_fine", "hangs", "chatty", limit=60)
    controller = runner.start("--benchmark-json=r.json")
    until(lambda: len(journal(runner)) == 2 and "hangs" not in "".join(journal(runner)))
    os.kill(controller.pid, signal.SIGKILL)
    controller.communicate()
    until(lambda: runner.processes() == {})
    before = journal(runner)
    with (runner.folder / "r.journal.jsonl").open("a") as file:
        file.write('{"kind": "record", "node_id": "torn')
    runner.suite.write_text(runner.suite.read_text().replace('"nets:hangs", ', ""))
    output = runner.run("--benchmark-json=r.json", "--resume")
    assert output.returncode == 0, output.stdout
    assert "2 taken over from" in output.stdout
    assert journal(runner)[:2] == before
    assert len(journal(runner)) == 3
    assert outcomes(runner) == {
        "fineb1": ("measured", ""),
        "also_fineb1": ("measured", ""),
        "chattyb1": ("measured", ""),
    }


def test_a_controller_killed_between_launches_loses_none_of_them(runner):
    write_suite(runner, "fine", "also_fine", limit=60)
    arguments = ["--benchmark-json=r.json", "--launches=3"]
    controller = runner.start(*arguments)
    until(lambda: len(launches(runner)) == 3)
    os.kill(controller.pid, signal.SIGKILL)
    controller.communicate()
    until(lambda: runner.processes() == {})
    before = launches(runner)
    output = runner.run(*arguments, "--resume")
    assert output.returncode == 0, output.stdout
    assert launches(runner)[: len(before)] == before
    assert len(launches(runner)) == 4, "two of three launches of each case, the last of each is in its record"
    results = json.loads((runner.folder / "r.json").read_text())["benchmarks"]
    assert [len(benchmark["extra_info"]["sampling"]["launches"]) for benchmark in results] == [3, 3]


def test_an_interrupt_between_launches_tells_how_to_go_on(runner):
    write_suite(runner, "fine", "also_fine", limit=60)
    controller = runner.start("--benchmark-json=r.json", "--launches=3")
    until(lambda: len(launches(runner)) == 1)
    controller.send_signal(signal.SIGINT)
    output, _ = controller.communicate(timeout=60)
    assert controller.returncode == 2
    assert "ended early; the rest: pytest" in output
    assert runner.processes() == {}


def test_an_interrupt_keeps_what_was_measured_and_tells_how_to_go_on(runner):
    write_suite(runner, "fine", "hangs", "also_fine", limit=60)
    controller = runner.start("--benchmark-json=r.json")
    until(lambda: len(journal(runner)) == 1)
    controller.send_signal(signal.SIGINT)
    output, _ = controller.communicate(timeout=60)
    assert controller.returncode == 2
    assert "ended early; the rest: pytest" in output
    assert "--resume" in output
    found = outcomes(runner)
    assert found["fineb1"] == ("measured", "")
    assert found["hangsb1"] == found["also_fineb1"] == ("skipped", "not run: the sweep ended before it")
    assert runner.processes() == {}


def test_a_killed_template_costs_one_case(runner):
    write_suite(runner, "hangs", "fine", limit=60)
    controller = runner.start("--benchmark-json=r.json")
    told = runner.folder / "hangs.pid"  # by the net itself, in its first step
    until(lambda: told.exists() and " " in told.read_text())
    template = int(told.read_text().split()[1])
    assert "bench.worker" in runner.processes()[template]
    os.kill(template, signal.SIGKILL)
    output, _ = controller.communicate(timeout=120)
    found = outcomes(runner)
    assert found["hangsb1"][0] == "crashed", output
    assert found["hangsb1"][1].startswith("killed by SIGKILL")
    assert found["fineb1"] == ("measured", "")
    assert runner.processes() == {}


def test_a_full_disk_stops_the_sweep_with_one_line(runner):
    write_suite(runner, "fine", "also_fine")
    output = runner.run("--benchmark-json=r.json", "--journal=/dev/full")
    assert output.returncode != 0
    assert "the journal /dev/full cannot be written: No space left on device" in output.stdout + output.stderr
    assert "Traceback" not in output.stdout + output.stderr
    assert runner.processes() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_fills_up_keeps_what_fits(runner):
    import subprocess

    write_suite(runner, "fine", "also_fine", "chatty", sizes="[1, 2, 4, 8, 16, 32, 64, 128]")
    disk = runner.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine does not let tests mount a small disk")
    try:
        output = runner.run("--benchmark-json=r.json", f"--journal={disk}/r.journal.jsonl")
        kept = (disk / "r.journal.jsonl").read_bytes().splitlines()
    finally:
        subprocess.run(["umount", disk], check=True)
    assert output.returncode == 1
    assert (
        "cannot be written: No space left on device; what was measured until now is kept"
        in output.stdout + output.stderr
    )
    assert 1 <= sum(b'"kind": "record"' in line for line in kept) < 24
    assert runner.processes() == {}
