"""The axes of a sweep, and why a combination of them is impossible on a machine."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from suites.axes import AXES, Axes, Machine, devices_of, impossible, settings_of
from tests.support.samples import LENET

BOX = Machine(
    devices=("cpu", "cuda:0", "cuda:1"), threads=4, tf32_devices=frozenset({"cuda:0"}),
    compile_problems={"cpu": "there is no C++ compiler"}, cudnn_devices=frozenset({"cuda:0", "cuda:1"}),
    graph_devices=frozenset({"cuda:0"}), power_limits={"cuda:0": (100.0, 400.0)},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"threads": 4}, None),
        ({"device": "cuda:1"}, None),
        ({"device": "cuda:0", "precision": "tf32"}, None),
        ({"device": "cuda:0", "compile_mode": "max-autotune"}, None),
        ({"device": "mps:0"}, "there is no device mps:0 here (present: cpu, cuda:0, cuda:1)"),
        (
            {"precision": "tf32"},
            "cpu has no TF32 (NVIDIA GPUs of compute capability 8.0 and above have)",
        ),
        (
            {"device": "cuda:1", "precision": "tf32"},
            "cuda:1 has no TF32 (NVIDIA GPUs of compute capability 8.0 and above have)",
        ),
        ({"threads": 5}, "5 threads asked for, but this process may use 4 cores"),
        ({"compile_mode": "default"}, "there is no C++ compiler"),
        ({"device": "cuda:0", "compile_mode": "cuda-graph"}, None),
        ({"compile_mode": "cuda-graph"}, "cpu has no CUDA graphs"),
        (
            {"device": "cuda:0", "compile_mode": "cuda-graph", "mode": "training", "precision": "amp_fp16"},
            "GradScaler asks the device in every step whether gradients are finite, which no graph can",
        ),
        ({"device": "cuda:0", "power_limit": 400}, None),
        ({"device": "cuda:0", "power_limit": 401}, "cuda:0 can be limited to 100 to 400 W, not 401 W"),
        (
            {"device": "cuda:1", "power_limit": 300},
            "the power limit of cuda:1 is not to be had: NVIDIA's driver lets root set it, of whole GPUs whose model "
            "has such a limit",
        ),
    ],
)
def test_why_a_case_is_impossible(changes, reason):
    assert impossible(replace(LENET, **changes), BOX) == reason


@pytest.mark.parametrize(
    ("pattern", "devices"),
    [
        ("all", ("cpu", "cuda:0", "cuda:1")),
        ("cpu", ("cpu",)),
        ("cuda", ("cuda:0", "cuda:1")),
        ("cuda:1", ("cuda:1",)),
        ("cuda:7", ("cuda:7",)),
        ("mps", ("mps:0",)),
        ("accelerator", ("cuda:0", "cuda:1")),
    ],
)
def test_devices_that_a_pattern_means(pattern, devices):
    assert devices_of(pattern, BOX) == devices


def test_a_device_is_not_taken_for_one_whose_name_begins_the_same():
    assert devices_of("cuda", Machine(devices=("cpu", "cudalike:0"), threads=1)) == ("cuda:0",)


def test_without_an_accelerator_there_is_none_to_skip():
    assert devices_of("accelerator", Machine(devices=("cpu",), threads=1)) == ()


def test_what_a_device_does_not_have_is_not_swept():
    axes = Axes(architecture="lenet", cudnn_benchmark=("off", "on"), power_limit=("default", 300))
    assert list(settings_of(axes, "cuda:0", BOX)) == [("off", None), ("off", 300), ("on", None), ("on", 300)]
    assert list(settings_of(axes, "mps:0", BOX)) == [("off", None), ("off", 300)]  # skipped, with the reason
    assert list(settings_of(axes, "cpu", BOX)) == [("off", None)]


def test_every_axis_is_listed_and_batch_sizes_vary_fastest():
    assert set(AXES) == set(Axes.model_fields)
    assert AXES[-1] == "batch_size"


def test_one_value_is_a_list_of_one():
    axes = Axes(architecture="lenet", batch_size=8, threads="all", image_size=64)
    assert (axes.architecture, axes.batch_size, axes.threads, axes.image_size) == (("lenet",), (8,), ("all",), (64,))


def test_what_is_given_twice_is_swept_once():
    assert Axes(architecture=["lenet", "nin", "lenet"], batch_size=[4, 1, 4]).batch_size == (4, 1)


@pytest.mark.parametrize("name", ["lenet", "torchvision:resnet50", "my_net:Net", "package.module:Class.make"])
def test_nets_that_may_be_swept(name):
    assert Axes(architecture=name).architecture == (name,)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"architecture": "resnet81"}, "unknown net 'resnet81' (did you mean 'resnet18'?); allowed: lenet, lenet_bn, "),
        ({"architecture": "my-net:Net"}, "unknown net 'my-net:Net'; allowed: "),
        ({"architecture": "my.net:"}, "unknown net 'my.net:'; allowed: "),
        ({"architecture": []}, "an axis needs at least one value"),
        ({"batch_size": 0}, "greater than 0"),
        ({"batch_size": True}, "valid integer"),
        ({"batch_size": 1.5}, "valid integer"),
        ({"threads": "most"}, "'all'"),
        ({"image_size": -1}, "greater than 0"),
        ({"precision": "fp64"}, "'fp32', 'tf32', 'bf16'"),
        ({"mode": "infer"}, "'inference' or 'training'"),
        ({"memory_format": "nchw"}, "'contiguous' or 'channels_last'"),
        ({"compile_mode": "fast"}, "'eager', 'default'"),
        ({"device": "CUDA"}, "pattern"),
        ({"device": "cuda:x"}, "pattern"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_value_that_no_axis_has_is_refused(wrong, words):
    with pytest.raises(ValidationError) as caught:
        Axes(**{"architecture": "lenet"} | wrong)
    assert words in str(caught.value)
