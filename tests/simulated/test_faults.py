"""Mistakes put in on purpose are seen, where the truth is known."""

import pytest

DEVICES = ({"fp32": 2e9}, {"fp32": 1e9, "tf32": 4e9})
CASE = "lenet-inference-b2-fp32-contiguous-eager-sim:1-t1"
TF32 = CASE.replace("fp32", "tf32")
CODE = f"""
import json
from tests.simulated.faults import FAULTS, in_a_child
from tests.simulated.predict import predicted

found = {{fault: in_a_child({CASE!r}, fault) for fault in FAULTS}}
found["tf32"] = in_a_child({TF32!r}, "none")
print(json.dumps([found, predicted({CASE!r}), predicted({TF32!r})]))
"""


@pytest.fixture(scope="module")
def told(simulator):
    """What the case seems to take with each mistake, and what it takes."""
    return simulator.measured(CODE, *DEVICES, name="faults", clock="virtual")


def wrong(found, truth):
    """What of a measurement is not true."""
    if "reason" in found:
        return found["reason"]
    near = found["seconds"] == pytest.approx(truth["seconds"], rel=0.01)
    return [*([] if near else ["seconds"]), *([] if found["peak"] == truth["peak"] else ["peak"])]


def test_without_a_mistake_all_is_true(told):
    found, *truths = told
    assert [wrong(found[name], truth) for name, truth in zip(("none", "tf32"), truths, strict=True)] == [[], []]
    assert truths[0]["seconds"] > 1.5 * truths[1]["seconds"]


@pytest.mark.parametrize(
    ("fault", "told_as"),
    [
        ("no synchronising", "Both events must be completed"),
        ("an event read too early", "Both events must be completed"),
        ("the peak is not reset", ["peak"]),
        ("another device's events", "steps take no time by the clock of the device"),
        ("copies within the step", ["seconds", "peak"]),
        ("a step without its work", "steps take no time by the clock of the device"),
        ("TF32 left on", "differ from fp64 by 0.000"),
        ("TF32 as torch has it", "cudnn.conv is tf32, not ieee"),
    ],
)
def test_a_mistake_is_seen(told, fault, told_as):
    """TF32 in LeNet's convolutions alone is damped by its sigmoids to 5e-6, which rounding explains, too."""
    found, truth, _ = told
    seen = wrong(found[fault], truth)
    assert told_as in seen if isinstance(told_as, str) else seen == told_as
