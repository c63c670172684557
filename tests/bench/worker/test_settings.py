"""Settings of the whole process: each is read, found changed, and set back."""

import os
import threading

import pytest
import torch
import torch._dynamo

from bench.worker import settings


@pytest.fixture
def wanted():
    found = settings.snapshot()
    yield found
    settings.restore(found)


CHANGES = {
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "gradients": lambda: torch.set_grad_enabled(False),
    "fp32 precision": lambda: torch.set_float32_matmul_precision("medium"),
    "cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "cudnn.deterministic": lambda: setattr(torch.backends.cudnn, "deterministic", True),
    "cudnn.enabled": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "mkldnn.enabled": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "attention kernels": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "fused transformer layers": lambda: torch.backends.mha.set_fastpath_enabled(False),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "anomaly detection": lambda: torch.set_anomaly_enabled(True),
    "denormals flushed": lambda: torch.set_flush_denormal(True),
    "compilers' configuration": lambda: setattr(torch._dynamo.config, "disable", True),
}


def test_a_default_device_leaves_no_mode_behind(wanted):
    torch.set_default_device("cpu")
    assert settings.changed(wanted) == ["modes"], "the CPU by way of a mode, which every call goes through"
    torch.set_default_device("meta")
    settings.restore(wanted)
    assert settings.changed(wanted) == []
    assert settings.snapshot()["modes"] == ()


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_is_found_and_set_back(wanted, name):
    CHANGES[name]()
    assert settings.changed(wanted) == [name]
    assert settings.restore(wanted) == [name]
    assert settings.changed(wanted) == []


def test_deterministic_algorithms_are_found_though_they_change_a_compiler_too(wanted):
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert "deterministic algorithms" in settings.changed(wanted)
    settings.restore(wanted)
    assert settings.changed(wanted) == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_cores_are_set_back_for_all_threads(wanted):
    gate, found = threading.Event(), []
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    def born_on_one_core():
        gate.wait()
        found.append(tuple(sorted(os.sched_getaffinity(0))))

    thread = threading.Thread(target=born_on_one_core)
    thread.start()
    assert "cores" in settings.restore(wanted)
    assert settings.changed(wanted) == []
    gate.set()
    thread.join()
    assert found == [wanted["cores"]]


def test_what_differs_is_told_with_both_values(wanted):
    torch.set_num_threads(wanted["threads"] + 1)
    torch.set_float32_matmul_precision("medium")
    told = settings.told(settings.changed(wanted), wanted)
    assert f"threads are {wanted['threads'] + 1}, not {wanted['threads']}" in told
    assert "mkldnn.matmul is bf16, not " in told


@pytest.mark.parametrize("label", ["fp32", "tf32", "amp_bf16"])
def test_a_label_is_held_against_what_the_backends_say(wanted, label):
    backends = settings.fp32_backends()
    for name, precision in settings.precisions_of(label).items():
        backends[name].fp32_precision = precision
    assert settings.belied(label) == ""
    backends["cuda.matmul"].fp32_precision = "ieee" if label == "tf32" else "tf32"
    said = "is ieee, not tf32" if label == "tf32" else "is tf32, not ieee"
    assert settings.belied(label) == f"fp32 precision: cuda.matmul {said}"


def test_what_cannot_be_set_back_is_still_found(wanted):
    assert settings.SETTINGS["inter-op threads"].write is None
    other = {**wanted, "inter-op threads": wanted["inter-op threads"] + 1}
    assert settings.restore(other) == settings.changed(other) == ["inter-op threads"]


def test_each_operators_threads_are_seen():
    before = torch.get_num_threads()
    with settings.threads_seen() as seen:
        torch.ones(3) + 1
        torch.set_num_threads(before + 2)
        torch.ones(3) + 1
        torch.set_num_threads(before)
    assert seen == {before, before + 2}
