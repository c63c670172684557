"""The check passes what is right in every precision, and catches what is wrong in any."""

import math
from functools import cache

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from bench.worker.nets import building, correctness, inputs, workload
from bench.worker.nets import reference as references
from bench.worker.nets.correctness import Unsuitable, compare, tolerances
from suites.architectures import default_input_shape
from suites.case import Case

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "amp_bf16", "amp_fp16")
MODES = ("inference", "training")
IMAGE = (3, 8, 8)


def small(*extra, classes=10):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), *extra, nn.Flatten(), nn.Linear(8 * 4 * 4, classes),
    )  # fmt: skip


def with_dropout():
    return small(nn.Dropout2d(0.5), nn.Dropout(0.5))


def with_stochastic_depth():
    return small(StochasticDepth(0.5, "row"))


def with_an_empty_head():
    net = small()
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    return net


def with_maps_for_output():
    return nn.Conv2d(3, 4, 3)


class WithoutConvolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3 * 8 * 8, 10)

    def forward(self, x):
        return self.linear(x.flatten(1))


class Recurrent(nn.Module):
    """Has a layer that returns more than a tensor."""

    def __init__(self):
        super().__init__()
        self.rows, self.linear = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 10)

    def forward(self, x):
        return self.linear(self.rows(x[:, 0])[0][:, -1])


class WithAuxiliaryHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.auxiliary = small(), nn.Linear(3 * 8 * 8, 10)

    def forward(self, x):
        y = self.net(x)
        return y + self.auxiliary(x.flatten(1)) if self.training else y


def reference_case(architecture, input_shape, mode, images):
    return Case(
        architecture=architecture, input_shape=input_shape, mode=mode, batch_size=images, precision="fp32",
        memory_format="contiguous", compile_mode="eager", device="cpu", threads=1,
    )  # fmt: skip


def prepare(architecture, input_shape, mode, images, path):
    return references.prepare(reference_case(architecture, input_shape, mode, images), path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references")

    @cache
    def prepare_once(architecture, input_shape, mode, images):
        name = f"{architecture}-{input_shape}-{mode}-{images}".replace(":", "_")
        return prepare(architecture, input_shape, mode, images, folder / name)

    return prepare_once


def images_of(case):
    return inputs.make(case, case.batch_size, building.SEED)[0].args[0]


@pytest.fixture
def checked(prepared):
    """Prepares, builds, breaks and checks a case; small's unless told otherwise."""

    def run(architecture="small", mode="inference", precision="fp32", fault=None, **axes):
        name = architecture if default_input_shape(architecture) else f"{__name__}:{architecture}"
        shape = axes.pop("input_shape", default_input_shape(name) or IMAGE)
        defaults = {"batch_size": 4, "memory_format": "contiguous"}
        case = Case(
            architecture=name, input_shape=shape, mode=mode, precision=precision, compile_mode="eager", device="cpu",
            threads=1, **defaults | axes,
        )  # fmt: skip
        tensors = correctness.load(prepared(name, shape, mode, case.check_images).path)
        work = workload.workload(case, tensors)
        if fault:
            fault(work)
        with work.context():
            return work.compare(tensors)

    return run


def passes(result):
    return result.relative_error <= result.tolerance


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("mode", MODES)
def test_a_right_case_passes(checked, mode, precision, memory_format):
    result = checked(mode=mode, precision=precision, memory_format=memory_format)
    assert 0 < result.relative_error <= result.tolerance < 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("architecture", "axes"),
    [
        ("lenet", {}),
        ("lenet_bn", {}),
        ("alexnet", {"batch_size": 1}),
        ("nin", {"batch_size": 1}),
        ("googlenet", {"input_shape": (1, 64, 64)}),
        ("resnet18", {"input_shape": (1, 32, 32)}),
        ("torchvision:regnet_y_400mf", {"input_shape": (3, 32, 32)}),
    ],
)
def test_nets_pass(checked, architecture, axes, mode):
    result = checked(architecture, mode, **axes)
    assert 0 < result.relative_error <= result.tolerance < 1


@pytest.mark.parametrize("mode", MODES)
def test_a_net_whose_layers_return_tuples_passes(checked, mode):
    assert passes(checked("Recurrent", mode))


def reads_channels_last_as_contiguous(work):
    def misread(layer, inputs, output):
        return output.as_strided(output.shape, torch.empty(output.shape).stride())

    work.net[0].register_forward_hook(misread)


def computes_in_bf16(work):
    work.net.bfloat16()
    work.call = lambda x: work.net(x.bfloat16())


def perturbs_a_weight(work):
    work.net[4].weight.data[0, 0, 0, 0] += 0.01


def swaps_height_and_width(work):
    work.call = lambda x: work.net(x.mT)


def permutes_images(work):
    work.call = lambda x: work.net(x.roll(1, 0))


def permutes_classes(work):
    work.call = lambda x: work.net(x).roll(1, 1)


def forgets_an_activation(work):
    work.net[2] = nn.Identity()


def is_wrong_in_one_image(work):
    work.call = lambda x: torch.cat((work.net(x)[:-1], work.net(x)[-1:] * 1.01))


def makes_no_number(work):
    work.call = lambda x: work.net(x) * math.nan


FAULTS = [
    computes_in_bf16, perturbs_a_weight, swaps_height_and_width, permutes_images, permutes_classes,
    forgets_an_activation, is_wrong_in_one_image, makes_no_number,
]  # fmt: skip
COARSE = [swaps_height_and_width, permutes_images, permutes_classes, makes_no_number]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_caught(checked, fault, mode):
    assert not passes(checked(mode=mode, fault=fault, batch_size=8))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("fault", COARSE)
def test_a_coarse_fault_is_caught_in_every_precision(checked, fault, precision):
    assert not passes(checked(precision=precision, fault=fault))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_misread_channels_last_is_caught(checked, precision):
    fault = reads_channels_last_as_contiguous
    assert passes(checked(precision=precision, memory_format="contiguous", fault=fault))
    assert not passes(checked(precision=precision, memory_format="channels_last", fault=fault))


@pytest.mark.parametrize("precision", ["fp16", "amp_fp16"])
def test_bf16_does_not_pass_for_fp16(checked, precision):
    assert not passes(checked("lenet", precision=precision, fault=computes_in_bf16))


def wrong_gradient(work):
    work.net[0].weight.register_hook(lambda gradient: gradient * 1.1)


def trains_as_it_infers(work):
    work.net.eval()


def infers_as_it_trains(work):
    work.net.train()


@pytest.mark.parametrize(
    ("fault", "mode", "what"),
    [
        (wrong_gradient, "training", "gradients of fp64 eager, 4 samples"),
        (trains_as_it_infers, "training", "outputs of fp64 eager, 4 samples"),
        (infers_as_it_trains, "inference", "outputs of fp64 eager, 4 samples"),
    ],
)
def test_the_check_says_what_differs(checked, fault, mode, what):
    result = checked(mode=mode, fault=fault)
    assert not passes(result)
    assert result.reference == what


def test_what_is_no_number_is_infinitely_wrong(checked):
    assert checked(fault=makes_no_number).relative_error == math.inf


@pytest.mark.parametrize("architecture", ["with_dropout", "with_stochastic_depth"])
def test_chance_is_left_out_of_the_comparison(checked, architecture):
    result = checked(architecture, "training", batch_size=8)
    assert passes(result)
    assert result.tolerance < 0.01


@pytest.mark.parametrize("architecture", ["with_dropout", "with_stochastic_depth"])
def test_a_fault_in_a_net_of_chance_is_caught(checked, architecture):
    assert not passes(checked(architecture, "training", fault=permutes_images))


@pytest.mark.parametrize("mode", MODES)
def test_a_net_whose_untrained_output_is_nothing_passes(checked, mode):
    assert passes(checked("with_an_empty_head", mode))


def test_a_net_whose_untrained_output_is_nothing_may_yet_be_wrong(checked):
    def adds_something(work):
        work.call = lambda x: work.net(x) + 1e-3

    assert not passes(checked("with_an_empty_head", fault=adds_something))


@pytest.mark.parametrize(
    ("architecture", "input_shape", "mode", "images", "words"),
    [
        ("lenet_bn", (1, 28, 28), "training", 1, "a batch of 1: Expected more than 1 value per channel when training"),
        ("resnet18", (1, 32, 32), "training", 1, "a batch of 1: Expected more than 1 value per channel when training"),
        ("alexnet", (1, 32, 32), "inference", 4, "alexnet does not take 1x32x32 images: "),
        ("vgg11", (1, 96, 96), "training", 4, "vgg11 does not take 1x96x96 images: "),
        ("resnet18", (3, 96, 96), "inference", 4, "resnet18 does not take 3x96x96 images: "),
        ("torchvision:vit_b_16", (3, 96, 96), "inference", 4, "torchvision:vit_b_16 does not take 3x96x96 images: "),
        ("lenet", (1, 56, 56), "inference", 4, "lenet makes 8 x 10 numbers of 2 images of 1x56x56, not 2 x classes"),
    ],
)
def test_what_a_net_cannot_do_is_told(tmp_path, architecture, input_shape, mode, images, words):
    name = architecture if default_input_shape(architecture) else f"{__name__}:{architecture}"
    with pytest.raises(Unsuitable) as caught:
        prepare(name, input_shape, mode, images, tmp_path / "0.pt")
    assert words in str(caught.value)


def test_batch_normalisation_trains_on_one_image_where_it_has_pixels(checked):
    assert passes(checked("resnet18", "training", input_shape=(1, 64, 64), batch_size=1))


def test_the_reference_knows_the_net(prepared):
    found = prepared("lenet", (1, 28, 28), "training", 4)
    assert found.parameters == 61_706
    assert found.forward_flops_per_image == 833_040
    assert found.step_flops_per_image == 2_263_920
    assert found.convolutions


def test_a_net_without_convolutions_is_known_as_such(prepared):
    assert not prepared(f"{__name__}:WithoutConvolutions", IMAGE, "inference", 4).convolutions


def test_a_step_of_inference_costs_a_forward_pass_even_where_training_does_more(prepared):
    found = prepared(f"{__name__}:WithAuxiliaryHead", IMAGE, "inference", 4)
    assert found.step_flops_per_image == found.forward_flops_per_image


def test_preparing_twice_gives_the_same(tmp_path):
    first, second = (
        correctness.load(prepare("lenet_bn", (1, 28, 28), "training", 4, tmp_path / name).path) for name in ("a", "b")
    )
    for part in ("state", "outputs", "gradients"):
        torch.testing.assert_close(first[part], second[part], rtol=0, atol=0)
    assert first["sensitivity"] == second["sensitivity"]


def test_the_reference_is_the_same_weights_in_fp64(prepared):
    tensors = correctness.load(prepared("lenet", (1, 28, 28), "inference", 4).path)
    case = reference_case("lenet", (1, 28, 28), "inference", 4)
    net = building.with_weights(case, tensors["state"]).double()
    assert tensors["outputs"][""].dtype == torch.float64
    torch.testing.assert_close(net(images_of(case).double()), tensors["outputs"][""], rtol=0, atol=1e-14)


def test_normalisation_starts_with_the_statistics_of_real_activations(prepared):
    state = correctness.load(prepared(f"{__name__}:small", IMAGE, "inference", 4).path)["state"]
    images = images_of(reference_case(f"{__name__}:small", IMAGE, "inference", building.CALIBRATION_SAMPLES))
    activations = nn.functional.conv2d(images, state["0.weight"], state["0.bias"], padding=1)
    torch.testing.assert_close(state["1.running_mean"], activations.mean((0, 2, 3)))
    torch.testing.assert_close(state["1.running_var"], activations.var((0, 2, 3)))


def test_check_images_are_seeded_normals():
    images, again = (images_of(reference_case("mine:net", (3, 32, 32), "training", 16)) for _ in range(2))
    assert torch.equal(images, again)
    assert images.std() == pytest.approx(1, abs=0.02)
    assert images.mean() == pytest.approx(0, abs=0.02)


# Sums of 2^12 terms in fp32 add 2^-18 to the unit roundoff, in squares; the sensitivity is that to bf16's 2^-8.
@pytest.mark.parametrize(
    ("precision", "ratio"),
    [
        ("fp32", 2**-10 * math.sqrt(1 + 2**-12)),
        ("tf32", 2**-3 * math.sqrt(1 + 2**-14)),
        ("fp16", 2**-3 * math.sqrt(1 + 2**-14)),
        ("bf16", math.sqrt(1 + 2**-20)),
        ("amp_fp16", 2**-3 * math.sqrt(1 + 2**-14)),
        ("amp_bf16", math.sqrt(1 + 2**-20)),
    ],
)
def test_tolerances_follow_from_the_sensitivity(precision, ratio):
    found = tolerances(precision, {"outputs": 0.01, "gradients": 0.1})
    assert found == pytest.approx({"outputs": 4 * 0.01 * ratio, "gradients": 4 * 0.1 * math.sqrt(ratio)}, rel=1e-12)


def test_the_sensitivity_is_what_rounding_to_bf16_does(prepared):
    tensors = correctness.load(prepared(f"{__name__}:WithoutConvolutions", IMAGE, "inference", 4).path)
    images = images_of(reference_case(f"{__name__}:WithoutConvolutions", IMAGE, "inference", 4))
    x, weight, bias = (t.bfloat16().float() for t in (images.flatten(1), *tensors["state"].values()))
    rounded = (x @ weight.T + bias).bfloat16().double()
    error = (rounded - tensors["outputs"][""]).norm() / tensors["outputs"][""].norm()
    assert tensors["sensitivity"] == pytest.approx({"outputs": error.item()}, rel=1e-3)


def reference(**parts):
    return {
        "outputs": {"": torch.tensor([[3.0, 4.0]], dtype=torch.float64)},
        "reference": "fp64 eager",
        "samples": 1,
        "inconclusive": "",
        "gradients": {"a": torch.tensor([1.0]), "b": torch.tensor([2.0, 2.0])},
        "sensitivity": {"outputs": 1.0, "gradients": 1.0},
        **parts,
    }


def test_distance_is_relative_to_the_references_size():
    found = compare(torch.tensor([[3.0, 4.0 + 2**-6]]), {}, reference(), "bf16")
    assert found.relative_error == 2**-6 / 5
    assert found.reference == "outputs of fp64 eager, 1 samples"


def test_a_batch_that_repeats_the_images_is_held_against_each_repetition():
    output = torch.tensor([[3.0, 4.0], [3.0, 4.0], [3.0, 4.0], [3.0, 5.0]])
    assert compare(output, {}, reference(), "bf16").relative_error == 1 / (5 * 2)


def test_gradients_of_all_parameters_are_one_vector():
    gradients = {"a": torch.tensor([1.0]), "b": torch.tensor([2.0, 2.75])}
    found = compare(torch.tensor([[3.0, 4.0]]), gradients, reference(), "bf16")
    assert found.relative_error == pytest.approx(0.25)
    assert found.reference == "gradients of fp64 eager, 1 samples"


def test_the_comparison_nearer_to_its_tolerance_is_told():
    tensors = reference(sensitivity={"outputs": 0.001, "gradients": 1.0})
    gradients = {"a": torch.tensor([1.0]), "b": torch.tensor([2.0, 2.75])}
    found = compare(torch.tensor([[3.0, 4.125]]), gradients, tensors, "bf16")
    assert (found.relative_error, found.reference) == (0.025, "outputs of fp64 eager, 1 samples")


def test_gradients_are_thinned_evenly_and_unscaled():
    net = nn.Linear(5, 3 * correctness.GRADIENT_SAMPLES // 5 + 1, bias=False)
    assert correctness.sampled_gradients(net) == {}
    net.weight.grad = torch.arange(net.weight.numel(), dtype=torch.float32).reshape(net.weight.shape)
    (found,) = correctness.sampled_gradients(net, scale=2.0).values()
    assert found.dtype == torch.float64
    assert found[:4].tolist() == [0.0, 1.5, 3.0, 4.5]
    assert len(found) == math.ceil(net.weight.numel() / 3)
