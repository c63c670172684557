"""`dlhw gate` on a device whose truth is known: one kernel makes a step 3 % longer, or nothing does."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from bench.records.pair import Entry
from reports.gate.judge import Terms, judge_pairs
from reports.gate.verdicts import Verdict
from tests.support.repository import commit, git
from tests.support.shared import once

TRUTH = {"fp32": 3e9, "bandwidth": 1e10, "latency": 2e-5}
WIDTHS = {"base": 488, "head": 518}
"""Of the second of two layers: the one product takes 6 % longer, and both together 3 %."""
NETS = """
from torch import nn

def net(width):
    return nn.Sequential(nn.Flatten(), nn.Linear(512, 400), nn.Linear(400, width))

same = lambda: net(488)
changed = lambda: net(WIDTH)
"""
SUITE = """
[[sweep]]
architecture = ["mine:same", "mine:changed"]
mode = "inference"
batch_size = 32
device = "sim:1"
threads = 1

[architectures."mine:same"]
input_shape = [1, 16, 32]

[architectures."mine:changed"]
input_shape = [1, 16, 32]
"""
COMMAND = """
from bench.gate import interleave
interleave.SIDE_SECONDS = 0.05
interleave.disturbance = interleave._switches = lambda *_: ""
from reports.cli import main
main()
"""
"""The host is disturbed by whatever else runs there; the device's clock is not."""
SAME, CHANGED = (f"mine:{name}@1x16x32-inference-b32-fp32-contiguous-eager-sim:1-t1" for name in ("same", "changed"))


def step(width):
    """Seconds of one by the formula: two products; to flatten launches nothing."""
    return 2 * 32 * 400 * (512 + width) / TRUTH["fp32"] + 2 * TRUTH["latency"]


@pytest.fixture(scope="module")
def gated(simulator):
    """Exit code, what is said, and the file, of a commit held against the working copy."""

    def run(folder):
        git(folder, "init", "-qb", "main")
        commit(folder, "nets", **{"mine.py": NETS.replace("WIDTH", str(WIDTHS["base"])), "gate.toml": SUITE})
        (folder / "mine.py").write_text(NETS.replace("WIDTH", str(WIDTHS["head"])))
        arguments = ["--base", "HEAD", "--suite", "gate.toml", "--pairs", "3", "--seed", "1", "--json", "gate.json"]
        done = subprocess.run(
            [sys.executable, "-P", "-c", COMMAND, "gate", *arguments], cwd=folder, text=True, capture_output=True,
            env=simulator.environment(TRUTH, TRUTH, clock="virtual"), timeout=600, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
        assert (folder / "gate.json").exists(), done.stderr
        return [done.returncode, done.stderr, json.loads((folder / "gate.json").read_text())]

    return once(simulator.shared, "gate", run)


@pytest.fixture
def entries(gated):
    return [Entry.from_json(entry) for entry in gated[2]["entries"]]


def ratios(entries, control, case):
    return [math.exp(entry.pair.log_ratio) for entry in entries if (entry.control, entry.case) == (control, case)]


def rows(gated):
    return {row["case"]: row for row in gated[2]["rows"] if row["measure"] == "time"}


def test_a_slower_kernel_regresses(gated):
    code, said, found = gated
    assert (rows(gated)[CHANGED]["verdict"], code, found["exit_code"]) == ("REGRESSED", 1, 1), said
    assert rows(gated)[CHANGED]["figures"]["ratio"] == pytest.approx(step(518) / step(488), rel=1e-3)


def test_the_same_code_passes(gated):
    assert rows(gated)[SAME]["verdict"] == "PASS"
    assert rows(gated)[SAME]["figures"]["ratio"] == pytest.approx(1, abs=1e-5)


def test_slices_take_what_the_formula_says(entries):
    own = [entry.pair for entry in entries if not entry.control and entry.case == CHANGED]
    for place, width in WIDTHS.items():
        seconds = [each for pair in own for each in getattr(pair, place)]
        assert len(seconds) >= 6 * 16
        assert seconds == pytest.approx([step(width)] * len(seconds), rel=1e-6)


def test_each_pair_tells_the_truth(entries):
    assert ratios(entries, "", CHANGED) == pytest.approx([step(518) / step(488)] * 6, rel=1e-6)
    assert ratios(entries, "", SAME) == pytest.approx([1.0] * 3, rel=1e-6)
    assert ratios(entries, "negative", CHANGED) == pytest.approx([1.0] * 6, rel=1e-6)


def test_without_the_slower_kernel_it_passes(entries):
    """Base against its twin, told as base against head."""
    same = [replace(entry, control="") for entry in entries if entry.control == "negative" and entry.stage == 1]
    gate = judge_pairs(same, Terms(tolerances={SAME: 0.02, CHANGED: 0.02}, confirm=3), base="base", head="head")
    assert {row.verdict for row in gate.rows if row.measure == "time"} == {Verdict.PASS}


def test_a_control_is_slowed_down_by_as_much_as_is_said(entries):
    slowed = [entry for entry in entries if entry.control == "positive"]
    assert len(slowed) >= 6
    assert [math.exp(entry.pair.log_ratio) for entry in slowed] == pytest.approx(
        [1 + entry.injected for entry in slowed], rel=0.01
    )
