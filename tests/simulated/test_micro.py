"""Micro-benchmarks on devices whose truth is known: they find the rates that were set."""

import pytest

TRUTH = {"fp32": 2e10, "half": 8e10, "bandwidth": 5e9, "link": 2e9, "latency": 2e-6, "memory": 2**28}
TWICE = {name: 2 * value for name, value in TRUTH.items()} | {"latency": 1e-6}
THIRD = TRUTH | {"fp32": 2e11, "link": 5e9}
"""For a product too large for the others."""
BLOCKS = """
[[micro]]
operation = "matmul"
size = "512x256x512"
precision = ["fp32", "bf16"]
device = ["sim:0", "sim:1"]
threads = [1, "all"]

[[micro]]
operation = "convolution"
variant = ["k3_contiguous", "k3_channels_last"]
size = "4x64x28"
device = "sim:0"

[[micro]]
operation = "copy"
size = 8388608
device = ["sim:0", "sim:1"]
threads = [1, "all"]

[[micro]]
operation = "transfer"
variant = ["h2d_pinned", "d2h_pinned", "d2d"]
size = 16777216
device = ["sim:0", "sim:1"]

[[micro]]
operation = "transfer"
variant = ["h2d_pageable", "d2h_pageable"]
size = 16777216
device = "sim:0"

[[micro]]
operation = "overlap"
variant = ["copy", "both"]
size = 67108864
device = "sim:2"

[[micro]]
operation = "dispatch"
size = 1
device = "sim:0"

[[micro]]
operation = "fusion"
variant = "compiled"
size = "2x65536"
device = "sim:0"
"""
BLOCKS = (
    BLOCKS.replace('operation = ["OPERATION"]', 'operation = "copy"')
    + """
[[micro]]
operation = "triad"
size = 8388608
device = ["sim:0", "sim:1"]
"""
)
SIDE = 2048
"""Of the product beside a copy, in `bench.worker.micro.accelerator`."""


@pytest.fixture(scope="module")
def swept(simulator):
    return simulator.sweep("micro", BLOCKS, TRUTH, TWICE, THIRD)


def only(swept, start, device="sim:0"):
    """The one case whose id begins so, whatever number of threads this machine has."""
    (found,) = [case for case in swept.measured if case.startswith(f"{start}-") and f"-{device}-" in case]
    return found


@pytest.mark.parametrize(
    ("start", "rate"),
    [
        ("matmul-512x256x512-fp32", 2e10), ("matmul-512x256x512-bf16", 8e10), ("copy-8388608-fp32", 5e9),
        ("triad-8388608-fp32", 5e9), ("transfer-h2d_pinned-16777216-fp32", 2e9),
        ("transfer-d2h_pinned-16777216-fp32", 2e9), ("transfer-d2d-16777216-fp32", 2.5e9),
    ],
)  # fmt: skip
def test_the_rates_are_those_that_were_set(swept, start, rate):
    assert swept.rate(only(swept, start)) == pytest.approx(rate, rel=0.02)
    assert swept.rate(only(swept, start, "sim:1")) == pytest.approx(2 * rate, rel=0.02)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_convolution_reaches_the_peak(swept, layout):
    assert swept.rate(only(swept, f"convolution-k3_{layout}-4x64x28-fp32")) == pytest.approx(2e10, rel=0.02)


@pytest.mark.parametrize("direction", ["h2d", "d2h"])
def test_a_copy_from_pageable_memory_is_as_slow_as_it_is(swept, direction):
    rate = swept.rate(only(swept, f"transfer-{direction}_pageable-16777216-fp32"))
    assert rate < 1.001 * 1e9  # the host waits for it: what it does between two is in the time as well


def test_an_operation_without_work_costs_the_latency(swept):
    assert swept.median(only(swept, "dispatch-1-fp32")) == pytest.approx(2e-6, rel=0.01)


def test_a_copy_beside_a_product_is_free(swept):
    copy, both = (swept.median(only(swept, f"overlap-{kind}-67108864-fp32", "sim:2")) for kind in ("copy", "both"))
    assert copy == pytest.approx(67108864 / 5e9, rel=0.01)
    assert both == pytest.approx(2 * SIDE**3 / 2e11, rel=0.01)


def test_the_hosts_threads_are_not_swept_on_a_device(swept):
    for start in ("matmul-512x256x512-fp32", "copy-8388608-fp32"):
        assert only(swept, start)


def test_what_inductor_does_not_know_is_skipped_with_the_reason(swept):
    (skipped,) = swept.others.values()
    assert (skipped["status"], skipped["id"].split("-")[:2]) == ("skipped", ["fusion", "compiled"])
    assert skipped["reason"] == "torch.compile's own backend, inductor, generates no code for sim"
