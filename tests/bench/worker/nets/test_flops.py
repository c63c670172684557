"""FLOPs: equal to the arithmetic of the layers, to torchvision's own figures and to figures of record."""

import json
import math

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import models

from bench.worker.nets import flops
from suites.architectures import ARCHITECTURES, build
from tests.support.runner import ROOT

TRUTH = ROOT.parent / "shared" / "data" / "truth.json"


def net_and_images(name, input_shape, batch_size=2):
    with torch.device("meta"):
        return build(name).eval(), torch.empty(batch_size, *input_shape)


def forward_flops(net, images):
    with torch.no_grad():
        return flops.count(lambda: net(images))


def step_flops(net, images, mode):
    if mode == "inference":
        return forward_flops(net, images)
    return flops.count(lambda: net(images).sum().backward())


def flops_by_layer(net, images):
    """Two per multiply-add of each convolution and linear layer, in the order in which they run."""
    found = []

    def convolution(layer, inputs, output):
        found.append(2 * output.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] ** 2)

    def linear(layer, inputs, output):
        found.append(2 * output.numel() * layer.in_features)

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(convolution)
        elif isinstance(layer, nn.Linear):
            layer.register_forward_hook(linear)
    net(images)
    return tuple(found)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_forward_equals_the_arithmetic_of_the_layers(name):
    net, images = net_and_images(name, ARCHITECTURES[name].input_shape)
    assert forward_flops(net, images) == sum(flops_by_layer(net, images))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_training_costs_forward_three_times_but_for_the_gradient_of_the_images(name):
    net, images = net_and_images(name, ARCHITECTURES[name].input_shape)
    layers = flops_by_layer(net, images)
    assert step_flops(net.train(), images, "training") == 3 * sum(layers) - layers[0]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_step_of_inference_is_a_forward_pass_and_costs_the_same_for_every_image(name):
    net, images = net_and_images(name, ARCHITECTURES[name].input_shape, batch_size=8)
    assert step_flops(net, images, "inference") == 4 * forward_flops(net, images[:2])


# LeNet: 2 x (784 x 6 x 25 + 100 x 16 x 150 + 400 x 120 + 120 x 84 + 84 x 10), by the layers of d2l's section 6.6.
# ResNet-18: torchvision publishes 1.814 G multiply-adds for three channels and a thousand classes.
@pytest.mark.parametrize(
    ("name", "input_shape", "flops"),
    [
        ("lenet", (1, 28, 28), 833_040),
        ("lenet_bn", (1, 28, 28), 563_280),
        ("resnet18", (1, 96, 96), 637_315_072),
        ("torchvision:resnet18", (3, 224, 224), 3_628_146_688),
    ],
)
def test_figures_of_record(name, input_shape, flops):
    assert forward_flops(*net_and_images(name, input_shape, batch_size=1)) == flops


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("resnet18", models.ResNet18_Weights.IMAGENET1K_V1),
        ("resnet50", models.ResNet50_Weights.IMAGENET1K_V1),
        ("resnext50_32x4d", models.ResNeXt50_32X4D_Weights.IMAGENET1K_V1),
        ("vgg16", models.VGG16_Weights.IMAGENET1K_V1),
        ("mobilenet_v2", models.MobileNet_V2_Weights.IMAGENET1K_V1),
        ("swin_t", models.Swin_T_Weights.IMAGENET1K_V1),
        ("vit_b_16", models.ViT_B_16_Weights.IMAGENET1K_V1),
    ],
)
def test_torchvision_publishes_the_same(name, weights):
    net, images = net_and_images(f"torchvision:{name}", (3, 224, 224), batch_size=1)
    assert round(forward_flops(net, images) / 2e9, 3) == weights.meta["_ops"]
    assert sum(parameter.numel() for parameter in net.parameters()) == weights.meta["num_params"]


def test_flops_equal_the_shared_truth():
    if not TRUTH.exists():
        pytest.skip("the shared truth.json is not here")
    for name, facts in json.loads(TRUTH.read_text()).items():
        net, images = net_and_images(name.partition("@")[0], facts["input_shape"])
        assert forward_flops(net, images) == 2 * facts["forward_flops_per_image"], name
        assert step_flops(net.train(), images, "training") == 2 * facts["training_flops_per_image"], name


def test_counting_computes_nothing():
    net, images = net_and_images("lenet", (1, 28, 28))
    step_flops(net, images, "training")
    assert {tensor.device.type for tensor in (images, *net.parameters())} == {"meta"}
    forward_flops(net, images)
    assert torch.is_grad_enabled()


SHAPES = st.integers(1, 3).flatmap(
    lambda dimensions: st.fixed_dictionaries({
        "dimensions": st.just(dimensions),
        "batch": st.integers(1, 2),
        "groups": st.integers(1, 3),
        "ins": st.integers(1, 2),
        "outs": st.integers(1, 2),
        "size": st.lists(st.integers(3, 5), min_size=dimensions, max_size=dimensions),
        "kernel": st.lists(st.integers(1, 3), min_size=dimensions, max_size=dimensions),
        "stride": st.integers(1, 2),
        "dilation": st.integers(1, 2),
        "padding": st.integers(0, 2),
        "transposed": st.booleans(),
        "inputs_too": st.booleans(),
    })
)  # fmt: skip


def products(module, x, output):
    """Multiply-adds by definition: for each place a kernel is laid on, each of its entries once, padding included."""
    places = math.prod((x if module.transposed else output).shape[2:])
    entries = math.prod(module.kernel_size)
    pairs = sum(1 for i in range(module.in_channels) for o in range(module.out_channels)
                if i * module.groups // module.in_channels == o * module.groups // module.out_channels)  # fmt: skip
    return len(x) * places * entries * pairs


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(SHAPES)
def test_a_convolution_has_the_multiply_adds_of_its_definition_in_both_passes(shape):
    kinds = {
        False: (nn.Conv1d, nn.Conv2d, nn.Conv3d), True: (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    }  # fmt: skip
    assume(shape["padding"] <= shape["dilation"] * (min(shape["kernel"]) - 1))
    assume(all(side + 2 * shape["padding"] > shape["dilation"] * (kernel - 1)
               for side, kernel in zip(shape["size"], shape["kernel"], strict=True)))  # fmt: skip
    module = kinds[shape["transposed"]][shape["dimensions"] - 1](
        shape["groups"] * shape["ins"], shape["groups"] * shape["outs"], tuple(shape["kernel"]), bias=False,
        stride=shape["stride"], padding=shape["padding"], dilation=shape["dilation"], groups=shape["groups"],
    )  # fmt: skip
    x = torch.randn(shape["batch"], module.in_channels, *shape["size"], requires_grad=shape["inputs_too"])
    with torch.no_grad():
        output = module(x)
    forward = 2 * products(module, x, output)
    assert forward_flops(module, x.detach()) == forward
    assert flops.count(lambda: module(x).sum().backward()) == forward * (3 if shape["inputs_too"] else 2)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(1, 33), st.integers(1, 33), st.sampled_from([4, 8, 16]),
    st.booleans(),
)  # fmt: skip
def test_attention_has_two_products_forward_and_four_backward(batch, heads, length, keys, width, masked):
    query = torch.randn(batch, heads, length, width, requires_grad=True)
    key, value = (torch.randn(batch, heads, keys, width, requires_grad=True) for _ in range(2))
    mask = torch.zeros(length, keys) if masked else None

    def attend():
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    one = 2 * batch * heads * length * keys * width
    with torch.no_grad():
        assert flops.count(attend) == 2 * one
    assert flops.count(lambda: attend().sum().backward()) == 6 * one


FUSED = [
    "_scaled_dot_product_flash_attention_backward", "_scaled_dot_product_efficient_attention_backward",
    "_scaled_dot_product_cudnn_attention_backward", "_scaled_dot_product_flash_attention_for_cpu_backward",
    "_scaled_dot_product_fused_attention_overrideable_backward",
]  # fmt: skip


@pytest.mark.parametrize("name", FUSED)
def test_each_fused_backward_pass_of_attention_counts_as_its_definition(name):
    """Of kernels that no CPU has, by their arguments: gradient, query, key, value, the rest unused."""
    query, key, value = (torch.empty(2, 4, length, 8, device="meta") for length in (6, 10, 10))
    operator = getattr(torch.ops.aten, name).default
    assert (
        flops.of_operator(operator, (query, query, key, value), {}, (query, key, value)) == 4 * 2 * 2 * 4 * 6 * 10 * 8
    )


@pytest.mark.parametrize("name", ["_flash_attention_backward", "_efficient_attention_backward"])
def test_attention_over_sequences_of_unequal_length_counts_each_for_itself(name):
    tokens, heads, width = 10, 2, 8
    query, key, value = (torch.empty(tokens, heads, width) for _ in range(3))
    ends = torch.tensor([0, 4, 10])
    if name.startswith("_efficient"):
        query, key, value = (each.unsqueeze(0) for each in (query, key, value))
        rest = (None, query, ends, ends, 6, 6)
    else:
        rest = (query, None, ends, ends, 6, 6)
    operator = getattr(torch.ops.aten, name).default
    found = flops.of_operator(operator, (query, query, key, value, *rest), {}, None)
    unequal, all_of_the_longest = 4 * 2 * heads * width * (4 * 4 + 6 * 6), 4 * 2 * heads * width * (6 * 6 + 6 * 6)
    assert found in (unequal, all_of_the_longest), "on a device that holds no values the longest stands for all"


@pytest.mark.parametrize("fast", [True, False])
def test_a_transformers_fused_layer_counts_as_its_parts(fast):
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x = torch.randn(3, 5, 16)
    wanted = 3 * (2 * 5 * 16 * 16 * 4 + 2 * 2 * 5 * 5 * 16 + 2 * 2 * 5 * 16 * 32)
    with torch.no_grad():
        if not fast:
            assert flops.count(lambda: layer(x)) == wanted
            return
        with Operators() as seen:
            layer(x)
    assert [name for name, count in seen.found if count] == ["_transformer_encoder_layer_fwd"]
    assert sum(count for _, count in seen.found) == wanted


class Operators(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.found.append((func._overloadpacket.__name__, flops.of_operator(func, args, kwargs, out)))
        return out


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
@pytest.mark.parametrize("grad", [False, True])
def test_recurrent_layers_apply_both_weights_at_every_step(kind, gates, grad):
    layer, x = kind(6, 8, batch_first=True), torch.randn(3, 5, 6)
    forward = 2 * 3 * 5 * gates * 8 * (6 + 8)
    with torch.set_grad_enabled(grad):
        assert flops.count(lambda: layer(x)) == forward
    on_meta = kind(6, 8, batch_first=True, device="meta")
    with torch.no_grad():
        assert flops.count(lambda: on_meta(x.to("meta"))) == forward


@pytest.mark.parametrize(
    ("call", "products"),
    [
        (lambda a, b, v: a @ v, 4 * 6),
        (lambda a, b, v: torch.addmv(v[:4], a, v), 4 * 6),
        (lambda a, b, v: torch.dot(v, v), 6),
        (lambda a, b, v: torch.addbmm(torch.zeros(4, 3), a.expand(2, 4, 6), b.expand(2, 6, 3)), 2 * 4 * 6 * 3),
        (lambda a, b, v: torch.einsum("ij,jk->ik", a, b), 4 * 6 * 3),
    ],
)
def test_products_with_vectors_count_too(call, products):
    a, b, v = torch.randn(4, 6), torch.randn(6, 3), torch.randn(6)
    assert flops.count(lambda: call(a, b, v)) == 2 * products


def test_cudnns_recurrent_layers_count_as_onednns():
    """By their formulas alone: cuDNN takes all weights in one list, biases too, and x as (steps, batch, features)."""
    x, weights = (5, 2, 3), [(16, 3), (16, 4), (16,), (16,)]
    forward, backward = (
        flops.FORMULAS[each] for each in (torch.ops.aten._cudnn_rnn, torch.ops.aten._cudnn_rnn_backward)
    )
    assert (
        forward(x, weights) == flops.FORMULAS[torch.ops.aten.mkldnn_rnn_layer](x, *weights) == 5 * 2 * 2 * 16 * (3 + 4)
    )
    assert backward(x, weights) == 2 * forward(x, weights)
