"""Sizes follow the device: they fill a fast one, fit a small one, and end in time on a slow one."""

import math
from dataclasses import replace

import pytest

from suites import suite
from suites.axes import Machine
from suites.sizes import QUEUE_SECONDS, RULES, SHARE_OF_MEMORY, STEP_SECONDS, Speed, follow

H100 = Speed(flops_per_second=5.1e13, bytes_per_second=2.9e12, link_bytes_per_second=1e10, memory_bytes=85_000_000_000)
SLOW = Speed(flops_per_second=1e9, bytes_per_second=1e9, link_bytes_per_second=2.5e8, memory_bytes=2**28)
LAPTOP = Speed(flops_per_second=6e12, bytes_per_second=1.9e11, link_bytes_per_second=6e9, memory_bytes=4 * 2**30)


def blocks():
    """The hardware suite's that follow the device, by operation; of an accelerator's, where there are two."""
    return {block.operation: block for block in suite.load("hardware").content.micro if block.follows_device}


def chosen(operation, speed):
    return follow(operation, blocks()[operation].size, speed)


def test_every_rule_is_used_by_the_suite():
    assert blocks().keys() == RULES.keys()


def test_a_large_device_has_the_sizes_that_the_file_gives_and_larger_arrays():
    for operation in ("matmul", "alignment"):
        assert chosen(operation, H100) == blocks()[operation].size
    assert chosen("copy", H100)[-2:] == ((2**30,), (2**32,))
    assert {images for images, _, _ in chosen("convolution", H100)} == {256}
    assert {size[0] for size in chosen("queue", H100)} == {1024}


def test_a_slow_one_has_small_ones():
    assert chosen("matmul", SLOW) == (
        (32, 32, 32), (64, 64, 64), (128, 128, 128), (256, 256, 256), (128, 256, 128), (256, 128, 256),
        (512, 128, 128), (512, 512, 512),
    )  # fmt: skip
    assert [size for (size,) in chosen("alignment", SLOW)] == [508, 509, 510, 511, 512, 513, 514, 516, 520]
    assert chosen("overlap", SLOW) == ((256, 2**24),)
    assert {size[0] for size in chosen("queue", SLOW)} == {64}


@pytest.mark.parametrize("speed", [H100, LAPTOP, SLOW], ids=["H100", "laptop", "slow"])
def test_whatever_the_device_a_step_ends_in_time_and_an_array_fits(speed):
    slack = 1.11  # a probe is no measurement
    limit = STEP_SECONDS * speed.flops_per_second * slack
    assert all(2 * math.prod(size) <= limit for size in chosen("matmul", speed))
    assert all(4 * max(a * b, b * c, a * c) * SHARE_OF_MEMORY <= speed.memory_bytes * slack**2
               for a, b, c in chosen("matmul", speed))  # fmt: skip
    assert all(size[0] * SHARE_OF_MEMORY <= speed.memory_bytes for size in chosen("copy", speed))
    assert all(size[0] <= speed.link_bytes_per_second * STEP_SECONDS for size in chosen("transfer", speed))
    assert all(launches * 2 * side**3 <= QUEUE_SECONDS * speed.flops_per_second or launches <= 16
               for side, launches in chosen("queue", speed))  # fmt: skip


def test_a_convolution_has_fewer_channels_where_one_image_takes_too_long():
    assert chosen("convolution", SLOW) == ((2, 16, 56), (2, 32, 28), (2, 64, 14))
    limit = STEP_SECONDS * SLOW.flops_per_second * 1.11
    assert all(
        2 * images * (channels * 7 * pixels) ** 2 <= limit for images, channels, pixels in chosen("convolution", SLOW)
    )


@pytest.mark.parametrize("operation", RULES)
def test_a_probe_that_scatters_by_a_tenth_mostly_chooses_the_same(operation):
    speeds = [replace(LAPTOP, flops_per_second=LAPTOP.flops_per_second * factor) for factor in (0.95, 1.0, 1.05)]
    assert len({chosen(operation, speed) for speed in speeds}) == 1


def test_where_no_speed_is_known_and_on_the_host_sizes_are_the_files():
    fast = Machine(devices=("cpu", "sim:0"), threads=2, speeds={"sim:0": SLOW})
    plain = Machine(devices=("cpu", "sim:0"), threads=2)
    whole = suite.load("hardware")
    of_host = {case.id for case in whole.cases(plain) if case.device == "cpu"}
    assert {case.id for case in whole.cases(fast) if case.device == "cpu"} == of_host
    assert "queue-1024-fp32-sim:0-t2" in {case.id for case in whole.cases(plain)}
    assert "queue-64x1024-fp32-sim:0-t2" in {case.id for case in whole.cases(fast)}
    given = suite.load("hardware", ["operation=queue", "size=1024"])
    assert [case.id for case in given.cases(fast) if case.device == "sim:0"] == ["queue-1024-fp32-sim:0-t2"]
