"""The gate's processes on a device whose truth is known: one kernel makes a step 3 % longer, or nothing does."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from bench.records.pair import Entry
from reports.gate.judge import Terms, judge_pairs
from reports.gate.verdicts import Verdict

CASE = "mine:net-inference-b32-fp32-contiguous-eager-sim:0-t1"
TRUTH = {"fp32": 3e9, "bandwidth": 1e10, "latency": 2e-5}
WIDTHS = {"base": 488, "head": 518}
"""Of the second of two layers: the one product takes 6 % longer, and both together 3 %."""
NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(512, 400), nn.Linear(400, WIDTH))
"""
SUITE = """
[[sweep]]
architecture = "mine:net"
mode = "inference"
batch_size = 32
device = "sim:0"
threads = 1

[architectures."mine:net"]
input_shape = [1, 16, 32]
"""
CODE = """
import json, random, sys
from pathlib import Path
from unittest import mock
from bench.controller.process import ROOT
from bench.gate import interleave
from bench.gate.session import PairedSession, PairRequest
from bench.gate.sides import Side, suite_of
from bench.records.record import plain
from dataclasses import asdict

folder = Path(FOLDER)
sides = [Side(name=name, python=sys.executable, root=ROOT, folder=folder / name, label=name, proves=True)
         for name in ("base", "head")]
suite = suite_of(sides[0], str(folder / "suite.toml"), ())
with PairedSession(*sides) as session:
    session.describe([suite.architectures] * 2)
    budgets = suite.cases(session.machine(0))
    outcomes = session.prepare({case: (budget, "") for case, budget in budgets.items()})
    (case,) = budgets
    wanted = [PairRequest(case), PairRequest(case, "negative")] * 6 + [PairRequest(case, "positive", 0.05)] * 3
    # the host is disturbed by whatever else runs there; the device's clock is not
    quiet = dict(SIDE_SECONDS=0.05, disturbance=lambda *_: "", _switches=lambda *_: "")
    with mock.patch.multiple(interleave, **quiet):
        pairs = session.pair(wanted, random.Random(1))
        found = [(request.control, request.injected, pair) for request, pair, _ in pairs]
print(json.dumps([[control, injected, plain(asdict(pair))] for control, injected, pair in found]))
"""


def step(width):
    """Seconds of one by the formula: two products; to flatten launches nothing."""
    return 2 * 32 * 400 * (512 + width) / TRUTH["fp32"] + 2 * TRUTH["latency"]


@pytest.fixture(scope="module")
def entries(simulator, tmp_path_factory):
    """Six pairs of either kind, all of the same three processes: the first three are stage 1, the others stage 2."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "suite.toml").write_text(SUITE)
    for name, width in WIDTHS.items():
        (folder / name).mkdir()
        (folder / name / "mine.py").write_text(NET.replace("WIDTH", str(width)))
    told = simulator.facts(f"FOLDER = {str(folder)!r}\n{CODE}", TRUTH, name="gate", clock="virtual")
    numbers = Counter()
    found = []
    for control, injected, pair in told:
        numbers[control] += 1
        stage, number = divmod(numbers[control] - 1, 3)
        found.append(Entry.from_json({
            "stage": stage + 1, "number": number + 1, "case": CASE, "control": control, "injected": injected,
            "seconds": 1.0, "pair": pair,
        }))  # fmt: skip
    return [entry for entry in found if entry.stage == 1 or entry.control != "positive"]


def ratios(entries, control):
    return [math.exp(entry.pair.log_ratio) for entry in entries if entry.control == control]


def test_slices_take_what_the_formula_says(entries):
    own = [entry.pair for entry in entries if not entry.control]
    for place, width in (("base", 488), ("head", 518)):
        seconds = [each for pair in own for each in getattr(pair, place)]
        assert len(seconds) >= 6 * 16
        assert seconds == pytest.approx([step(width)] * len(seconds), rel=1e-6)


def test_a_slower_kernel_is_found_and_the_same_code_is_not(entries):
    assert ratios(entries, "") == pytest.approx([step(518) / step(488)] * 6, rel=1e-6)
    assert ratios(entries, "negative") == pytest.approx([1.0] * 6, rel=1e-6)
    gate = judge_pairs(entries, Terms(tolerances={CASE: 0.02}, confirm=3), base="base", head="head")
    (row,) = [row for row in gate.rows if row.measure == "time"]
    assert (row.verdict, gate.invalid, gate.exit_code(strict=True)) == (Verdict.REGRESSED, "", 1)
    assert row.figures.ratio == pytest.approx(1.03, rel=1e-3)


def test_without_the_slower_kernel_it_passes(entries):
    """Base against its twin, told as base against head."""
    same = [replace(entry, control="") for entry in entries if entry.control == "negative" and entry.stage == 1]
    gate = judge_pairs(same, Terms(tolerances={CASE: 0.02}, confirm=3), base="base", head="head")
    assert {row.verdict for row in gate.rows} == {Verdict.PASS}


def test_a_control_is_slowed_down_by_as_much_as_is_said(entries):
    assert ratios(entries, "positive") == pytest.approx([1.05] * 3, rel=0.01)
