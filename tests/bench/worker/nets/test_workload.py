"""The step that is timed does the work of its case: inputs, weights, mode, gradients, precision."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.worker.nets import correctness
from bench.worker.nets import reference as references
from bench.worker.nets.building import laid_out, lay_out
from bench.worker.nets.workload import set_precision, workload
from suites.architectures import default_input_shape
from suites.case import Case

DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "amp_bf16": torch.float32,
    "amp_fp16": torch.float32,
}
AUTOCAST = {"amp_bf16": torch.bfloat16, "amp_fp16": torch.float16}


def small(head=()):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 6 * 6, 10), *head
    )


class Louder(nn.Module):
    def forward(self, x):
        return x * 1e4


def loud():
    """Its scaled loss is too large for fp16."""
    return small([Louder()])


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references")

    def prepare(case):
        path = folder / f"{case.architecture}-{case.mode}-{case.check_images}".replace(":", "_")
        if not path.exists():
            references.prepare(replace(case, batch_size=case.check_images), path)
        return correctness.load(str(path))

    return prepare


@pytest.fixture
def make(prepared):
    def make(architecture="small", mode="inference", **axes):
        name = architecture if default_input_shape(architecture) else f"{__name__}:{architecture}"
        defaults = {"batch_size": 4, "precision": "fp32", "memory_format": "contiguous", "compile_mode": "eager"}
        case = Case(
            architecture=name, input_shape=default_input_shape(name) or (3, 8, 8), mode=mode, device="cpu", threads=1,
            **defaults | axes,
        )  # fmt: skip
        return workload(case, prepared(case))

    return make


def weights(work):
    return {name: parameter.detach().clone() for name, parameter in work.net.named_parameters()}


def low_scale(work):
    """So that no scaled gradient overflows, and no step is left out for it."""
    if work.scaler:
        work.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    return work


def test_inputs_are_seeded_normals_and_random_labels(make):
    work, again = (make(mode="training", batch_size=64) for _ in range(2))
    assert work.inputs.args[0].shape == (64, 3, 8, 8)
    assert work.inputs.args[0].mean() == pytest.approx(0, abs=0.05)
    assert work.inputs.args[0].std() == pytest.approx(1, abs=0.05)
    assert set(work.labels.tolist()) == set(range(10))
    assert torch.equal(work.inputs.args[0], again.inputs.args[0])
    assert torch.equal(work.labels, again.labels)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_weights_are_those_of_the_check(make, prepared, mode):
    work = make("lenet_bn", mode)
    state = prepared(work.case)["state"]
    assert state.keys() == work.net.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in work.net.state_dict().items())


@pytest.mark.parametrize("precision", DTYPES)
def test_dtypes_follow_the_precision(make, precision):
    work = make(precision=precision)
    assert {parameter.dtype for parameter in work.net.parameters()} == {DTYPES[precision]}
    assert work.inputs.args[0].dtype == DTYPES[precision]
    with work.context():
        assert work.step().dtype == AUTOCAST.get(precision, DTYPES[precision])


@pytest.mark.parametrize("precision", DTYPES)
def test_layers_compute_in_the_precision_of_the_label(make, precision):
    work = make(mode="training", precision=precision)
    seen = []
    work.net[0].register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    work.step()
    assert seen == [AUTOCAST.get(precision, DTYPES[precision])]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "amp_bf16"])
def test_bytes_of_the_weights(make, precision):
    size = 2 if precision == "bf16" else 4
    assert make("lenet", precision=precision).parameter_bytes == 61_706 * size


@pytest.mark.parametrize(
    ("memory_format", "other"),
    [("contiguous", torch.channels_last), ("channels_last", torch.contiguous_format)],
)
def test_images_and_kernels_lie_in_the_cases_format(make, memory_format, other):
    work = make(memory_format=memory_format)
    layout = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    for tensor in (work.inputs.args[0], work.net[0].weight):
        assert tensor.is_contiguous(memory_format=layout)
        assert not tensor.is_contiguous(memory_format=other)


def test_inference_returns_logits_without_autograd(make):
    work = make(mode="inference")
    before = weights(work)
    with work.context():
        logits = work.step()
        assert torch.is_inference_mode_enabled()
    assert logits.shape == (4, 10)
    assert logits.is_inference()
    assert not work.net.training
    assert all(torch.equal(value, before[name]) for name, value in weights(work).items())


def test_inference_is_the_same_every_time(make):
    work = make(mode="inference")
    with work.context():
        assert torch.equal(work.step(), work.step())


@pytest.mark.parametrize("precision", ["fp32", "tf32", "amp_bf16", "amp_fp16"])
def test_a_training_step_changes_every_weight(make, precision):
    work = low_scale(make(mode="training", precision=precision))
    before = weights(work)
    with work.context():
        loss = work.step()
    # What goes into a normalisation over the batch loses its mean, and so the convolution's bias its gradient.
    changed = {name for name, value in weights(work).items() if not torch.equal(value, before[name])}
    assert changed >= before.keys() - {"0.bias"}
    assert loss.isfinite()


@pytest.mark.parametrize("precision", ["fp32", "tf32", "amp_bf16", "amp_fp16"])
def test_a_training_step_is_one_of_gradient_descent(make, precision):
    work = low_scale(make(mode="training", precision=precision))
    before = weights(work)
    work.step()
    for name, parameter in work.net.named_parameters():
        assert parameter.grad.isfinite().all()
        torch.testing.assert_close(parameter.detach(), before[name] - 1e-5 * parameter.grad, rtol=1e-6, atol=1e-8)


def test_the_loss_is_cross_entropy_on_the_labels(make):
    work = make("lenet", "training")
    expected = nn.functional.cross_entropy(work.net(work.inputs.args[0]), work.labels)
    assert torch.equal(work.step(), expected)


def test_gradients_are_dropped_before_the_forward_pass(make):
    work = make(mode="training")
    work.step()
    seen = []
    work.net.register_forward_pre_hook(lambda net, inputs: seen.extend(p.grad for p in net.parameters()))
    work.step()
    assert seen == [None] * 6


def test_a_later_training_step_still_has_the_first_ones_numbers(make):
    work = make("lenet", "training")
    losses = [work.step().item() for _ in range(100)]
    assert losses[-1] == pytest.approx(losses[0], rel=0.01)


def test_training_is_by_chance_again_once_the_check_is_done(make, prepared):
    work = make(mode="training")
    work.compare(prepared(work.case))
    assert work.net.training
    assert work.net[4].p == 0.5
    assert not torch.equal(work.net(work.inputs.args[0]), work.net(work.inputs.args[0]))


def test_the_check_leaves_weights_and_no_gradients_behind(make, prepared):
    work = make(mode="training")
    before = weights(work)
    work.compare(prepared(work.case))
    assert all(torch.equal(value, before[name]) for name, value in weights(work).items())
    assert [parameter.grad for parameter in work.net.parameters()] == [None] * 6


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_a_net_of_one_channel_computes_in_its_memory_format(memory_format):
    """One channel is contiguous in both formats: torch goes by strides that tell nothing of where the values are."""
    images = laid_out(torch.randn(2, 1, 12, 12), memory_format)
    net = nn.Conv2d(1, 4, 3)
    lay_out(net, memory_format)
    output = net(images)
    assert output.is_contiguous(memory_format=torch.channels_last) == (memory_format == "channels_last")
    assert laid_out(output.to(memory_format=torch.channels_last), memory_format).is_contiguous() == (
        memory_format == "contiguous"
    )


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_the_check_runs_what_is_timed(make, prepared, memory_format):
    work = make(memory_format=memory_format, batch_size=8, precision="bf16")
    shapes, net = [], work.call

    def call(x):
        shapes.append((x.shape, x.dtype, x.stride()))
        return net(x)

    work.call = call
    with work.context():
        work.compare(prepared(work.case))
        work.step()
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("mode", "precision", "scaled"),
    [("training", "amp_fp16", True), ("training", "amp_bf16", False), ("inference", "amp_fp16", False)],
)
def test_only_fp16_training_scales_its_loss(make, mode, precision, scaled):
    assert (make(mode=mode, precision=precision).scaler is not None) == scaled


def test_the_check_lowers_the_scale_until_gradients_are_finite(make, prepared):
    work = make("loud", "training", precision="amp_fp16")
    assert work.scaler.get_scale() == 2**16
    result = work.compare(prepared(work.case))
    assert math.isfinite(result.relative_error)
    assert work.scaler.get_scale() < 2**16


def test_without_the_check_training_lowers_the_scale_by_itself(make):
    work = make("loud", "training", precision="amp_fp16")
    before = weights(work)
    work.step()
    assert work.scaler.get_scale() == 2**15
    assert all(torch.equal(value, before[name]) for name, value in weights(work).items())
    for _ in range(20):
        work.step()
    assert not torch.equal(work.net[5].weight, before["5.weight"])


def test_compiled_and_eager_are_told_apart(make):
    eager, compiled = make(), make(compile_mode="default")
    assert eager.call is eager.net
    assert compiled.call is not compiled.net
    assert compiled.call._orig_mod is compiled.net


@pytest.fixture
def backends():
    """What torch says of its backends by itself; put back as it was."""
    torchs = torch.backends
    found = {
        "cuda.matmul": torchs.cuda.matmul,
        "cudnn.conv": torchs.cudnn.conv,
        "cudnn.rnn": torchs.cudnn.rnn,
        "mkldnn.matmul": torchs.mkldnn.matmul,
        "mkldnn.conv": torchs.mkldnn.conv,
    }

    def said():
        return {name: backend.fp32_precision for name, backend in found.items()}

    overall, before = torchs.fp32_precision, said()
    yield said
    torchs.fp32_precision = overall
    for name, backend in found.items():
        backend.fp32_precision = before[name]


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("earlier", ["fp32", "tf32"])
def test_the_label_is_true_whatever_was_set_before(backends, precision, earlier):
    set_precision(earlier)
    said = set_precision(precision)
    gpus = "tf32" if precision == "tf32" else "ieee"
    assert said == backends()
    assert said == {
        "cuda.matmul": gpus,
        "cudnn.conv": gpus,
        "cudnn.rnn": gpus,
        "mkldnn.matmul": "ieee",
        "mkldnn.conv": "ieee",
    }


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", False), ("tf32", True)])
def test_torchs_older_switches_say_the_same(backends, precision, allowed):
    """Inductor's templates of convolutions read them, and torch raises where the two ways disagree."""
    set_precision(precision)
    assert torch.backends.cuda.matmul.allow_tf32 == allowed
    assert torch.backends.cudnn.allow_tf32 == allowed
