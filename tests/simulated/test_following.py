"""What a device lacks is not swept or has its reason, and sizes follow the device, on one whose truth is known."""

import pytest

TRUTH = {"fp32": 1.5e9, "bandwidth": 1e9, "link": 2.5e8, "latency": 2e-5, "memory": 2**28}
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
variant = ["compute", "copy", "both", "products"]
size = 4194304
device = "sim:0"
threads = 1
follows_device = true
"""
SUITE += """
[[micro]]
operation = "cache"
variant = ["warm", "flushed"]
size = 1048576
device = "sim:0"
threads = 1

[[micro]]
operation = "transfer"
variant = "peer"
size = 4194304
device = ["sim:0", "sim:1"]
threads = 1

[[micro]]
operation = "all_reduce"
size = ["2x4096", "4x4096"]
device = ["sim:0", "sim:1"]
threads = 1

[[micro]]
operation = "scaling"
variant = "lenet"
size = "2x4"
device = "sim:0"
threads = 1
"""
LENET = "lenet-inference-b1-fp32-contiguous"


@pytest.fixture(scope="module")
def swept(simulator):
    return simulator.sweep("following", SUITE, TRUTH, TRUTH)


def test_products_and_queues_have_sizes_that_end_in_time(swept):
    assert {case for case in swept.measured if case.startswith(("queue", "matmul", "overlap"))} == {
        "queue-64x16-fp32-sim:0-t1", "queue-64x1024-fp32-sim:0-t1", "matmul-256x256x256-fp32-sim:0-t1",
        "matmul-512x512x512-fp32-sim:0-t1", *(f"overlap-{kind}-128x4194304-fp32-sim:0-t1" for kind in KINDS),
    }  # fmt: skip


KINDS = ("compute", "copy", "both", "products")


def test_what_is_measured_at_a_chosen_size_is_of_that_size(swept):
    assert swept.rate("matmul-512x512x512-fp32-sim:0-t1") == pytest.approx(TRUTH["fp32"], rel=0.02)
    assert swept.median("overlap-compute-128x4194304-fp32-sim:0-t1") == pytest.approx(
        2 * 128**3 / TRUTH["fp32"], rel=0.02
    )
    assert swept.median("overlap-copy-128x4194304-fp32-sim:0-t1") == pytest.approx(4194304 / 2.5e8, rel=0.02)


def test_an_axis_that_a_device_lacks_is_not_swept_or_has_its_reason(swept):
    assert {case for case in swept.measured if "lenet" in case} == {
        f"{LENET}-eager-cpu-t1", f"{LENET}-eager-sim:0-t1",
    }  # fmt: skip
    assert {case: outcome["reason"] for case, outcome in swept.others.items() if case.startswith(LENET)} == {
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


def test_a_cache_that_is_not_there_makes_no_difference_and_what_was_flushed_is_told(swept):
    warm, flushed = (f"cache-{kind}-1048576-fp32-sim:0-t1" for kind in ("warm", "flushed"))
    assert swept.rate(warm) == pytest.approx(swept.rate(flushed), rel=0.01)
    assert swept.rate(warm) == pytest.approx(TRUTH["bandwidth"], rel=0.03)  # a launch is in it
    assert swept.info(warm)["details"] == {"cache_bytes": None, "flushed_by_bytes": 0}
    assert swept.info(flushed)["details"] == {"cache_bytes": None, "flushed_by_bytes": TRUTH["memory"] // 4}


def test_a_copy_goes_to_the_next_device(swept):
    for device, peer in (("sim:0", "sim:1"), ("sim:1", "sim:0")):
        case = f"transfer-peer-4194304-fp32-{device}-t1"
        assert swept.info(case)["details"] == {"peer": peer, "peer_access": None}
        assert swept.rate(case) == pytest.approx(TRUTH["link"], rel=0.02)


def test_two_products_at_once_are_said_to_take_what_they_take(swept):
    one, two = (swept.median(f"overlap-{kind}-128x4194304-fp32-sim:0-t1") for kind in ("compute", "products"))
    assert two == pytest.approx(one, rel=0.05)  # the device's streams share nothing


def test_ranks_are_measured_once_and_need_a_library(swept):
    """None is started to find that out."""
    reasons = {
        case: outcome["reason"] for case, outcome in swept.others.items() if case.startswith(("all_reduce", "scaling"))
    }
    lacks = "torch has no library that adds up tensors of sim over processes"
    assert reasons == {
        "all_reduce-2x4096-fp32-sim:0-t1": lacks,
        "scaling-lenet-2x4-fp32-sim:0-t1": lacks,
        "all_reduce-4x4096-fp32-sim:0-t1": "4 processes of 1 threads asked for, but there is room for 2",
        **{
            f"all_reduce-{count}x4096-fp32-sim:1-t1": "ranks take sim:0 and those after it: measured once, as sim:0's"
            for count in (2, 4)
        },
    }


def test_the_search_of_algorithms_is_recorded_as_read_back(swept):
    for device in ("cpu", "sim:0"):
        assert swept.info(f"{LENET}-eager-{device}-t1")["backends"]["cudnn.benchmark"] is False
