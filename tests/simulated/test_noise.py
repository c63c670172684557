"""Devices that are disturbed in a known way: the median stays true, and what is not is told."""

import pytest

TRUTH = {"fp32": 2e9, "bandwidth": 2e9}
DEVICES = (
    TRUTH, TRUTH | {"jitter": 0.05}, TRUTH | {"spike_share": 0.002, "spike_seconds": 0.02},
    TRUTH | {"throttle_after": 0.2, "throttle": 1.3},
)  # fmt: skip
SUITE = """
[[sweep]]
architecture = "lenet"
mode = "training"
device = "sim"
threads = 1
batch_size = 2
measure = { min_seconds = 0.3, max_seconds = 0.6, precision = 0.01, warmup_seconds = 0.1, min_samples = 20 }
"""


@pytest.fixture(scope="module")
def swept(simulator):
    return simulator.sweep("noise", SUITE, *DEVICES, clock="virtual")


def case(index):
    return f"lenet-training-b2-fp32-contiguous-eager-sim:{index}-t1"


def reasons(swept, index):
    """Those of the device: nothing else disturbs a host of virtual time."""
    return swept.info(case(index))["sampling"]["noisy"]


def test_a_quiet_device_has_no_spread(swept):
    stats = swept.measured[case(0)]["stats"]
    assert stats["iqr"] < 1e-6 * stats["median"]
    assert reasons(swept, 0) == []


@pytest.mark.parametrize("index", [1, 2], ids=["jitter", "spikes"])
def test_the_median_is_the_quiet_devices(swept, index):
    assert swept.median(case(index)) == pytest.approx(swept.median(case(0)), rel=0.01)
    assert swept.measured[case(index)]["stats"]["max"] > 1.01 * swept.median(case(0))


def test_a_device_that_slows_down_is_told(swept):
    assert "steps became 30% slower while they were measured" in reasons(swept, 3)
