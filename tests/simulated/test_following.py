"""What a device lacks is not swept or has its reason, and sizes follow the device, on one whose truth is known."""

import pytest

TRUTH = {"fp32": 1e9, "bandwidth": 1e9, "link": 2.5e8, "latency": 2e-5, "memory": 2**28}
SUITE = """
[[sweep]]
architecture = "lenet"
mode = "inference"
compile_mode = ["eager", "cuda-graph"]
cudnn_benchmark = ["off", "on"]
power_limit = ["default", 300]
device = ["cpu", "sim:0"]
threads = 1

[[micro]]
operation = "queue"
size = [16, 1024]
device = "sim:0"
threads = 1
follows_device = true

[[micro]]
operation = "matmul"
size = ["8192x8192x8192", "16384x16384x16384"]
device = "sim:0"
threads = 1
follows_device = true

[[micro]]
operation = "overlap"
variant = ["compute", "copy", "both"]
size = 4194304
device = "sim:0"
threads = 1
follows_device = true
"""
LENET = "lenet-inference-b1-fp32-contiguous"


@pytest.fixture(scope="module")
def swept(simulator):
    return simulator.sweep("following", SUITE, TRUTH)


def test_products_and_queues_have_sizes_that_end_in_time(swept):
    assert {case for case in swept.measured if "lenet" not in case} == {
        "queue-64x16-fp32-sim:0-t1", "queue-64x1024-fp32-sim:0-t1", "matmul-256x256x256-fp32-sim:0-t1",
        "matmul-512x512x512-fp32-sim:0-t1", *(f"overlap-{kind}-128x4194304-fp32-sim:0-t1" for kind in KINDS),
    }  # fmt: skip


KINDS = ("compute", "copy", "both")


def test_what_is_measured_at_a_chosen_size_is_of_that_size(swept):
    assert swept.rate("matmul-512x512x512-fp32-sim:0-t1") == pytest.approx(TRUTH["fp32"], rel=0.02)
    assert swept.median("overlap-compute-128x4194304-fp32-sim:0-t1") == pytest.approx(2 * 128**3 / 1e9, rel=0.02)
    assert swept.median("overlap-copy-128x4194304-fp32-sim:0-t1") == pytest.approx(4194304 / 2.5e8, rel=0.02)


def test_an_axis_that_a_device_lacks_is_not_swept_or_has_its_reason(swept):
    assert {case for case in swept.measured if "lenet" in case} == {
        f"{LENET}-eager-cpu-t1", f"{LENET}-eager-sim:0-t1",
    }  # fmt: skip
    assert {case: outcome["reason"] for case, outcome in swept.others.items()} == {
        f"{LENET}-cuda-graph-cpu-t1": "cpu has no CUDA graphs",
        f"{LENET}-cuda-graph-sim:0-t1": "sim:0 has no CUDA graphs",
        **{
            f"{LENET}-{mode}-sim:0-t1-300W": reason
            for mode, reason in {
                "cuda-graph": "sim:0 has no CUDA graphs",
                "eager": "the power limit of sim:0 is not to be had: NVIDIA's driver lets root set it, of whole GPUs "
                "whose model has such a limit",
            }.items()
        },
    }


def test_the_search_of_algorithms_is_recorded_as_read_back(swept):
    for device in ("cpu", "sim:0"):
        assert swept.info(f"{LENET}-eager-{device}-t1")["backends"]["cudnn.benchmark"] is False
