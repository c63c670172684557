"""`dlhw selftest` where the truth is known: it passes, tells what the device lacks, and fails at the right line."""

import json

import pytest

DEVICE = {"fp32": 1e9, "tf32": 4e9, "latency": 2e-4}
COMMAND = """
import json, sys
from pathlib import Path
from bench.doctor.diagnostics import Diagnostic
from bench.selftest import flow, quick, steps
from reports.cli import main

flow.examine = lambda begin, devices: [Diagnostic(name="stub", value="doctor has tests of its own")]
quick.SUITE, quick.run.__defaults__ = "smoke", (0.0,)
steps.TURNS = 6
folder = Path(sys.argv[1])
sys.argv = ["dlhw", "selftest", "--device", "sim", "-o", str(folder / "selftest.json")]
code = 0
try:
    main()
except SystemExit as end:
    code = end.code
print(json.dumps([code, json.loads((folder / "selftest.json").read_text())]))
"""
FAULTS = """
import json
from tests.simulated.selftest_faults import found
print(json.dumps(found()))
"""
PRECISIONS = ("fp32", "bf16", "fp16", "amp_bf16", "amp_fp16")


@pytest.fixture(scope="module")
def told(simulator, tmp_path_factory):
    """Exit code and file of the command for one device."""
    folder = tmp_path_factory.mktemp("selftest")
    code = COMMAND.replace("sys.argv[1]", json.dumps(str(folder)))
    return simulator.facts(code, DEVICE, name="selftest", clock="virtual")


def verdicts(document):
    return {check["name"]: check["verdict"] for check in document["checks"]}


def one(document, name):
    return next(check for check in document["checks"] if check["name"] == name)


def test_the_simulated_device_passes_but_for_what_it_lacks(told):
    code, document = told
    assert verdicts(document) == {
        "device": "pass", "doctor": "pass", "agreement": "pass", "precision tf32": "not here",
        **{f"precision {name}": "pass" for name in PRECISIONS}, "memory": "pass", "NVML by UUID": "not here",
        "channels_last": "pass", "out of memory": "pass", "compile": "not here", "CUDA graphs": "not here",
        "energy": "not here", "quick": "pass",
    }  # fmt: skip
    assert code == 0
    assert document["ended"] == "complete"
    assert all(check["text"] for check in document["checks"])


def test_the_figures_are_the_devices_own(told):
    _, document = told
    facts = one(document, "agreement")["facts"]
    truth = 2 * facts["size"] ** 3 / DEVICE["fp32"] + DEVICE["latency"]
    for name in ("dlhw", "events"):
        assert facts["seconds"][name] == pytest.approx([truth] * 6, rel=1e-3)
    memory = one(document, "memory")["facts"]
    assert memory["seen_bytes"] == memory["expected_bytes"]
    assert one(document, "out of memory")["facts"]["status"] == "out_of_memory"


def test_the_file_holds_the_quick_run_and_the_machine(told):
    _, document = told
    (record,) = document["quick"]["records"]
    assert record["outcome"]["status"] == "measured"
    assert [device["name"] for device in document["environment"]["devices"]] == ["cpu", "sim:0"]


@pytest.fixture(scope="module")
def faulty(simulator):
    """Fault -> name of each check -> verdict and text."""
    return simulator.measured(FAULTS, DEVICE, name="selftest faults", clock="virtual")


def test_without_a_fault_nothing_fails(faulty):
    assert {name for name, (verdict, _) in faulty["none"].items() if verdict == "fail"} == set()


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        ("no synchronising", {"agreement"}),
        ("an event read too early", {"agreement"}),
        ("a clock that is 5 % off", {"agreement"}),
        ("the peak is not reset", {"memory"}),
        ("a byte too many", {"memory"}),
        ("TF32 left on", {"precision fp32"}),
        ("bf16 is computed in fp32", {"precision bf16", "precision amp_bf16"}),
        ("channels_last is not taken", {"channels_last"}),
        ("out of memory by another name", {"out of memory"}),
    ],
)
def test_a_fault_fails_the_right_line(faulty, fault, lines):
    assert {name for name, (verdict, _) in faulty[fault].items() if verdict == "fail"} == lines


def test_what_failed_is_told_by_figures(faulty):
    for fault in ("no synchronising", "an event read too early"):
        assert "Both events must be completed" in faulty[fault]["agreement"][1]
    assert faulty["a clock that is 5 % off"]["agreement"][1].count("+5.00% [+5.00%, +5.00%]") == 2
    assert "product and convolution computed otherwise" in faulty["TF32 left on"]["precision fp32"][1]
    assert "32.0 MiB seen as +67,108,864 B" in faulty["the peak is not reset"]["memory"][1]
