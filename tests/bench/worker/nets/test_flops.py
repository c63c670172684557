"""FLOPs: equal to the arithmetic of the layers, to torchvision's own figures and to figures of record."""

import json

import pytest
import torch
from torch import nn
from torchvision import models

from bench.worker.nets.flops import forward_flops, step_flops
from suites.architectures import ARCHITECTURES, build
from tests.support.runner import ROOT

TRUTH = ROOT.parent / "shared" / "data" / "truth.json"


def net_and_images(name, input_shape, batch_size=2):
    with torch.device("meta"):
        return build(name).eval(), torch.empty(batch_size, *input_shape)


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
