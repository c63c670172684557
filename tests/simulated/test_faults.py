"""Mistakes put in on purpose are seen, where the truth is known."""

import pytest

DEVICES = ({"fp32": 2e9}, {"fp32": 1e9})
CASE = "lenet-inference-b2-fp32-contiguous-eager-sim:1-t1"
CODE = f"""
import json
from tests.simulated.faults import FAULTS, in_a_child
from tests.simulated.predict import predicted

found = {{fault: in_a_child({CASE!r}, fault) for fault in FAULTS}}
print(json.dumps([found, predicted({CASE!r})]))
"""


@pytest.fixture(scope="module")
def told(simulator):
    """What the case seems to take with each mistake, and what it takes."""
    return simulator.facts(CODE, *DEVICES, name="faults", clock="virtual")


def wrong(found, truth):
    """What of a measurement is not true."""
    if "reason" in found:
        return found["reason"]
    near = found["seconds"] == pytest.approx(truth["seconds"], rel=0.01)
    return [*([] if near else ["seconds"]), *([] if found["peak"] == truth["peak"] else ["peak"])]


def test_without_a_mistake_all_is_true(told):
    found, truth = told
    assert wrong(found["none"], truth) == []


@pytest.mark.parametrize(
    ("fault", "told_as"),
    [
        ("no synchronising", "Both events must be completed"),
        ("an event read too early", "Both events must be completed"),
        ("the peak is not reset", ["peak"]),
        ("another device's events", "steps take no time by the clock of the device"),
        ("copies within the step", ["seconds", "peak"]),
        ("a step without its work", "steps take no time by the clock of the device"),
    ],
)
def test_a_mistake_is_seen(told, fault, told_as):
    found, truth = told
    seen = wrong(found[fault], truth)
    assert told_as in seen if isinstance(told_as, str) else seen == told_as
