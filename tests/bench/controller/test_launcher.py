"""What a launcher keeps of nets that it has prepared, on a disk that gets full."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.controller import launcher as module
from bench.controller.launcher import Launcher
from suites import cases

DISK_BYTES = 2_000
REFERENCE_BYTES = 400
LENET = cases.parse("lenet-inference-b1-fp32-contiguous-eager-cpu-t1")


class Preparing:
    """Stands for the measuring process: writes references of a known size."""

    def __init__(self, folder):
        self.scratch, self.asked = folder, []

    def request(self, operation, limit_seconds, *, architecture, path, **_):
        assert operation == "prepare"
        self.asked.append(architecture)
        for name in (path, f"{path}.reference"):
            self.scratch.joinpath(name).write_bytes(bytes(REFERENCE_BYTES // 2))
        return SimpleNamespace(result={"reference": {"path": path}})


@pytest.fixture
def worker(tmp_path, monkeypatch):
    def left(_):
        return SimpleNamespace(free=DISK_BYTES - sum(path.stat().st_size for path in tmp_path.iterdir()))

    monkeypatch.setattr(module.shutil, "disk_usage", left)
    return Preparing(tmp_path)


def ask(launcher, *nets):
    for net in nets:
        launcher.reference(replace(LENET, architecture=net))


def test_a_net_is_prepared_once_while_there_is_room(worker):
    ask(Launcher(worker), "lenet", "nin", "lenet", "nin", "lenet")
    assert worker.asked == ["lenet", "nin"]


def test_of_a_disk_more_than_half_full_of_them_the_net_used_longest_ago_goes(worker):
    """Three of 400 bytes are more than is left of 2,000."""
    launcher = Launcher(worker)
    ask(launcher, "lenet", "nin", "vgg11", "lenet", "alexnet")
    assert worker.asked == ["lenet", "nin", "vgg11", "alexnet"]
    ask(launcher, "lenet", "vgg11", "alexnet")
    assert worker.asked == ["lenet", "nin", "vgg11", "alexnet"]
    ask(launcher, "nin")
    assert worker.asked[-1] == "nin"
    assert len({path.name for path in worker.scratch.iterdir()}) == 6
    ask(launcher, "alexnet")
    assert worker.asked[-1] == "nin"


def test_all_stay_where_all_are_in_use(worker):
    """The gate measures its cases by turns."""
    nets = ("lenet", "nin", "vgg11", "alexnet", "resnet18")
    ask(Launcher(worker, keep=True), *nets, *nets)
    assert worker.asked == list(nets)
    assert len(list(worker.scratch.iterdir())) == 10


def test_a_nets_own_references_stay(worker):
    """Those of its other modes are wanted next."""
    launcher = Launcher(worker)
    for mode in ("inference", "training", "inference"):
        launcher.reference(replace(LENET, mode=mode, architecture="vgg11"))
        launcher.reference(replace(LENET, mode=mode, architecture="vgg11", batch_size=2))
    assert len(worker.asked) == len(set(worker.scratch.iterdir())) / 2
