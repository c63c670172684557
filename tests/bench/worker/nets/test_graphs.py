"""Steps that are recorded once and replayed: they work on what lies in their inputs, and are checked by replaying."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.worker.nets import compilation, correctness, graphs, workload
from bench.worker.nets import reference as references
from bench.worker.timing.clock import HostClock
from suites.case import Case
from tests.support.graphs import Graphs


def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10))


def dropping():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 32), nn.Dropout(0.5), nn.Linear(32, 10))


class Asking(nn.Module):
    """Waits for the device in the middle of a step."""

    def __init__(self):
        super().__init__()
        self.net = plain()

    def forward(self, x):
        return self.net(x if x.sum().item() > -1e9 else -x)


@pytest.fixture(scope="module")
def module():
    return Graphs()


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references")

    def make(net, mode, **axes):
        case = Case(
            architecture=f"{__name__}:{net}", input_shape=(3, 8, 8), mode=mode, batch_size=8, precision="fp32",
            memory_format="contiguous", compile_mode="cuda-graph", device="cpu", threads=1,
        )  # fmt: skip
        case = replace(case, **axes)
        path = folder / f"{net}-{mode}"
        if not path.exists():
            references.prepare(replace(case, batch_size=case.check_images, compile_mode="eager"), path)
        tensors = correctness.load(str(path))
        return workload.workload(case, tensors), tensors

    return make


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_what_is_replayed_is_checked(make, module, mode):
    work, tensors = make("plain", mode)
    with work.context():
        work.record(module)
        work.net.load_state_dict(tensors["state"])
        own = work.inputs.args[0].clone()
        check = work.compare(tensors)
    assert correctness.closeness(check) < 1
    assert check.reference.startswith(("outputs", "gradients"))
    assert module.made[-1].replays == 1
    assert torch.equal(work.inputs.args[0], own)
    assert all(torch.equal(value, tensors["state"][name]) for name, value in work.net.state_dict().items())


def test_a_replay_that_computes_something_else_is_found(make, module):
    work, tensors = make("plain", "inference")
    with work.context():
        work.record(module)
        module.made[-1].recorded.pop()  # the last layer is not launched again
        assert correctness.closeness(work.compare(tensors)) > 1


def test_a_step_of_training_is_a_replay_and_trains(make, module):
    work, tensors = make("plain", "training")
    eager, _ = make("plain", "training", compile_mode="eager")
    work.record(module)
    work.net.load_state_dict(tensors["state"])
    losses = [float(work.step().detach()) for _ in range(3)]
    assert module.made[-1].replays == 3
    assert losses == pytest.approx([float(eager.step().detach()) for _ in range(3)], rel=1e-6)
    for own, other in zip(work.net.state_dict().values(), eager.net.state_dict().values(), strict=True):
        torch.testing.assert_close(own, other)


def test_dropout_is_in_what_is_timed_and_not_in_what_is_checked(make, module):
    work, tensors = make("dropping", "training")
    work.record(module)
    work.net.load_state_dict(tensors["state"])
    assert correctness.closeness(work.compare(tensors)) < 1
    assert work.notes["chance"] == "checked by a graph that was recorded without dropout; timed by one with it"
    checked, timed = ({str(func) for func, *_ in graph.recorded} for graph in module.made[-2:])
    assert any("dropout" in name or "bernoulli" in name for name in timed - checked)


def test_a_net_that_waits_for_the_device_is_skipped_with_torchs_reason(make, module):
    work, _ = make("Asking", "inference")
    with work.context(), pytest.raises(correctness.Unsuitable) as error:
        work.record(module)
    assert str(error.value) == (
        "a step of this net cannot be recorded as a CUDA graph: operation not permitted when stream is capturing"
    )


def test_recording_is_told_as_what_it_took(make, module, monkeypatch):
    work, _ = make("plain", "inference")
    monkeypatch.setattr(graphs, "module_of", {"cpu": module}.get)
    with work.context():
        found = compilation.recorded(work, HostClock())
    assert (found.graphs, found.graph_breaks) == (1, 0)
    assert found.seconds > 0


def test_the_host_has_no_graphs(make):
    with pytest.raises(correctness.Unsuitable, match="cpu has no CUDA graphs"):
        compilation.recorded(make("plain", "inference")[0], HostClock())
    assert graphs.module_of("cpu") is None
    assert graphs.module_of("cuda:0") is torch.cuda
