"""Ranks on devices of their own, which a library adds up for: gloo, by way of the host."""

import pytest

from tests.simulated.device import COLLECTIVE

TRUTH = {"fp32": 1e9, "link": 2.5e8, "latency": 2e-5}
OCTETS = 2**20
SUITE = f"""
[[micro]]
operation = "all_reduce"
size = "2x{OCTETS}"
device = "sim:0"
threads = 1

[[micro]]
operation = "scaling"
variant = "lenet"
size = "2x4"
device = "sim:0"
threads = 1
"""


@pytest.fixture(scope="module")
def swept(simulator):
    return simulator.sweep("ranks", SUITE, TRUTH, TRUTH, variables={COLLECTIVE: "1"})


def test_ranks_are_forked_before_any_touches_a_device(swept):
    """A process that has a device cannot hand it on: each rank takes its own, from the array to the sum and back."""
    case = f"all_reduce-2x{OCTETS}-fp32-sim:0-t1"
    assert case in swept.measured, swept.others
    assert swept.median(case) > 2 * OCTETS / (TRUTH["link"] / 2)
    assert swept.info(case)["work"]["amount"] == OCTETS


def test_ranks_train_each_on_its_device(swept):
    case = "scaling-lenet-2x4-fp32-sim:0-t1"
    assert case in swept.measured, swept.others
    assert swept.info(case)["details"] == {"backend": "cpu:gloo,sim:hostcopies", "launched_by": "torchrun"}
    assert swept.info(case)["work"] == {"metric": "images_per_second", "amount": 8}
