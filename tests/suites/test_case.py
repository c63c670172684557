"""A case's id reads well, is unique, and parses back."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from suites.architectures import ARCHITECTURES
from suites.case import Budget, Case
from suites.errors import DlhwError
from tests.support.samples import LENET

OWN_NET = st.from_regex(r"[a-z_][a-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*", fullmatch=True)
TORCHVISION = st.from_regex(r"torchvision:[a-z0-9_]+", fullmatch=True)
LENGTH = st.integers(1, 4096)
CASES = st.builds(
    Case,
    architecture=st.sampled_from(sorted(ARCHITECTURES)) | TORCHVISION | OWN_NET,
    input_shape=st.sampled_from([(1, 28, 28), (3, 224, 224)]) | st.tuples(st.integers(1, 4), LENGTH, LENGTH),
    mode=st.sampled_from(["inference", "training"]),
    batch_size=st.integers(1, 10**6),
    precision=st.sampled_from(["fp32", "tf32", "bf16", "fp16", "amp_bf16", "amp_fp16"]),
    memory_format=st.sampled_from(["contiguous", "channels_last"]),
    compile_mode=st.sampled_from(["eager", "default", "reduce-overhead", "max-autotune", "cuda-graph"]),
    device=st.sampled_from(["cpu", "cuda:0", "cuda:11", "mps:0"]),
    threads=st.integers(1, 512),
    cudnn_benchmark=st.sampled_from(["off", "on"]),
    power_limit=st.none() | st.integers(1, 2000),
)


@settings(deadline=None)
@given(CASES)
def test_every_id_parses_back(case):
    assert Case.parse(case.id) == case


@settings(deadline=None)
@given(CASES)
def test_json_leads_back_to_the_case(case):
    assert Case.from_json(case.to_json()) == case


def test_a_case_of_before_has_neither_search_nor_power_limit():
    data = LENET.to_json()
    assert {"cudnn_benchmark", "power_limit"} & data.keys() == set()
    assert (LENET.cudnn_benchmark, LENET.power_limit) == ("off", None)


def test_json_of_a_record_holds_more():
    assert Case.from_json({**LENET.to_json(), "parameters": 61706}) == LENET


@pytest.mark.parametrize(
    ("changes", "case_id"),
    [
        ({}, "lenet-inference-b8-fp32-contiguous-eager-cpu-t2"),
        ({"cudnn_benchmark": "on"}, "lenet-inference-b8-fp32-contiguous-eager-cpu-t2-cudnn_benchmark"),
        ({"power_limit": 300}, "lenet-inference-b8-fp32-contiguous-eager-cpu-t2-300W"),
        (
            {"cudnn_benchmark": "on", "power_limit": 95, "compile_mode": "cuda-graph"},
            "lenet-inference-b8-fp32-contiguous-cuda-graph-cpu-t2-cudnn_benchmark-95W",
        ),
        ({"input_shape": (1, 64, 64)}, "lenet@64-inference-b8-fp32-contiguous-eager-cpu-t2"),
        ({"input_shape": (1, 64, 48)}, "lenet@1x64x48-inference-b8-fp32-contiguous-eager-cpu-t2"),
        ({"input_shape": (3, 28, 28)}, "lenet@3x28x28-inference-b8-fp32-contiguous-eager-cpu-t2"),
        (
            {"architecture": "torchvision:resnet50", "input_shape": (3, 224, 224), "compile_mode": "max-autotune"},
            "torchvision:resnet50-inference-b8-fp32-contiguous-max-autotune-cpu-t2",
        ),
        (
            {"architecture": "my.net:build", "mode": "training", "precision": "amp_bf16", "device": "cuda:0"},
            "my.net:build@1x28x28-training-b8-amp_bf16-contiguous-eager-cuda:0-t2",
        ),
    ],
)
def test_an_id_says_what_differs_from_the_nets_own(changes, case_id):
    assert replace(LENET, **changes).id == case_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lenet",
        "lenet-inference-b8-fp32-contiguous-eager-cpu",
        "lenet-inference-b8-fp32-contiguous-eager-cpu-t2\n",
        "lenet-inference-b8-fp32-contiguous-eager-cpu-t2 ",
        "lenet-inference-bx-fp32-contiguous-eager-cpu-t2",
        "lenet-inferring-b8-fp32-contiguous-eager-cpu-t2",
        "lenet-inference-b8-fp32-contiguous-fast-cpu-t2",
        "lenet-inference-b8-fp31-contiguous-eager-cpu-t2",
        "lenet-inference-b8-fp32-channels_first-eager-cpu-t2",
        "lenet-inference-b0-fp32-contiguous-eager-cpu-t2",
        "lenet-inference-b8-fp32-contiguous-eager-cpu-t0",
        "lenet@0-inference-b8-fp32-contiguous-eager-cpu-t2",
        "a\nb@1x2x3-inference-b8-fp32-contiguous-eager-cpu-t2",
    ],
)
def test_what_is_no_id_is_refused(text):
    with pytest.raises(DlhwError) as caught:
        Case.parse(text)
    assert str(caught.value).startswith(repr(text))


@pytest.mark.parametrize(
    "text", ["lenet-inference-b08-fp32-contiguous-eager-cpu-t2", "lenet@28-inference-b8-fp32-contiguous-eager-cpu-t2"]
)
def test_a_case_has_one_id_only(text):
    with pytest.raises(DlhwError):
        Case.parse(text)


def test_a_net_of_ones_own_needs_its_shape_in_the_id():
    with pytest.raises(DlhwError, match=r"the id of a net of your own holds its input shape"):
        Case.parse("my.net:build-inference-b8-fp32-contiguous-eager-cpu-t2")


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "lenet_bn"}, {"input_shape": (1, 64, 64)}, {"mode": "training"}, {"precision": "bf16"},
        {"memory_format": "channels_last"}, {"compile_mode": "default"}, {"device": "cuda:0"}, {"threads": 1},
    ],
)  # fmt: skip
def test_a_configuration_is_all_but_the_batch_size(changes):
    assert replace(LENET, batch_size=512).configuration == LENET.configuration
    assert replace(LENET, **changes).configuration != LENET.configuration


@settings(deadline=None)
@given(st.integers(1, 10**5))
def test_check_images_divide_the_batch(size):
    images = replace(LENET, batch_size=size).check_images
    assert size % images == 0
    assert (images == 1) == (size == 1)


@pytest.mark.parametrize(
    ("size", "images"), [(1, 1), (2, 2), (3, 3), (4, 4), (6, 2), (9, 3), (12, 4), (25, 5), (35, 5), (49, 7), (512, 4)]
)
def test_check_images_are_few(size, images):
    assert replace(LENET, batch_size=size).check_images == images


@pytest.mark.parametrize(
    "wrong",
    [
        {"precision": 0}, {"precision": 1}, {"min_samples": 0}, {"min_seconds": -1}, {"max_seconds": 0},
        {"warmup_seconds": -0.1}, {"time_limit_seconds": 0}, {"memory_limit_bytes": 0}, {"max_second": 1},
        {"time_limit_seconds": float("inf")}, {"max_seconds": float("nan")},
    ],
)  # fmt: skip
def test_a_budget_that_means_nothing_is_refused(wrong):
    with pytest.raises(ValidationError):
        Budget(**wrong)
