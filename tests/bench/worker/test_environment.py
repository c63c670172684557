"""The machine in plain data: true where it can be checked, and plain wherever it is written."""

import json
import os
import platform
import subprocess
import sys

import psutil
import pytest
import torch
from torch.utils import _triton

from bench.records.record import fingerprint
from bench.worker import environment
from tests.support.runner import ROOT


@pytest.fixture(scope="module")
def described():
    return environment.describe(["lenet", "torchvision:resnet19", "no_such_module:net"])


@pytest.fixture
def files(monkeypatch):
    """Files that the machine seems to have, by path; no others."""
    found = {}
    monkeypatch.setattr(environment, "_read", found.get)
    return found


def test_all_of_it_is_plain(described):
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_torch_and_python_are_those_that_run(described):
    assert described["python"] == platform.python_version()
    assert described["torch"]["version"] == torch.__version__
    assert described["torch"]["git"] == torch.version.git_version


def test_the_host_is_this_one(described):
    host = described["host"]
    assert host["memory_bytes"] == psutil.virtual_memory().total
    assert host["cores_online"] == psutil.cpu_count()
    assert 1 <= host["cores"] <= host["cores_online"]
    assert (host["system"], host["kernel"]) == (platform.system(), platform.release())


def test_the_cpu_is_the_first_device(described):
    cpu = described["devices"][0]
    assert (cpu["name"], cpu["uuid"]) == ("cpu", None)
    assert cpu["model"] == described["host"]["cpu"]["model"] != ""
    assert cpu["memory_bytes"] == described["host"]["memory_bytes"]


def test_nets_that_lead_nowhere_are_told_with_the_reason(described):
    assert described["unknown_architectures"] == {
        "torchvision:resnet19": "architecture 'torchvision:resnet19': torchvision has no model of that "
        "name (did you mean 'resnet18'?)",
        "no_such_module:net": "architecture 'no_such_module:net': No module named 'no_such_module'",
    }


def test_the_machine_has_the_same_fingerprint_twice(described):
    assert fingerprint(environment.describe()) == fingerprint(described)


def test_variables_that_steer_the_libraries_are_kept_and_no_others(monkeypatch):
    monkeypatch.setenv("OMP_PROC_BIND", "close")
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "100000000000")
    monkeypatch.setenv("A_PASSWORD", "secret")
    kept = environment._torch()["environment"]
    assert kept["OMP_PROC_BIND"] == "close"
    assert kept["MALLOC_TRIM_THRESHOLD_"] == "100000000000"
    assert "PYTORCH_NVML_BASED_CUDA_CHECK" not in kept
    assert "secret" not in json.dumps(environment.describe())


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"),
    [(8, None, 8), (8, 1.5, 2), (8, 0.5, 1), (2, 4.0, 2), (3, 3.0, 3), (0, 1.0, 1)],
)
def test_cores_are_those_of_the_affinity_and_of_the_quota_rounded_up(monkeypatch, affinity, quota, cores):
    monkeypatch.setattr(environment.machine, "CORES", frozenset(range(affinity)))
    monkeypatch.setattr(environment.cgroup, "quota", lambda: quota)
    assert environment.usable_cores() == cores
    assert environment.host()["cgroup_cpus"] == quota


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinities")
def test_a_process_bound_to_one_core_has_one():
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); from bench.worker import environment; "
    output = subprocess.run(
        [sys.executable, "-P", "-c", f"{code}print(environment.usable_cores())"], text=True, check=True,
        capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert output.stdout == "1\n"


INTEL = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 207\nmodel name\t: Xeon 1\nstepping\t: 2\nflags\t\t: sse fpu"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd"


@pytest.mark.parametrize(
    ("cpuinfo", "facts"),
    [
        (
            f"{INTEL} hypervisor\n\n{INTEL.replace('Xeon 1', 'Xeon 2')}",
            {"model": "Xeon 1", "family": "6", "model_number": "207", "flags": ["fpu", "hypervisor", "sse"]},
        ),
        (ARM, {"model": "aarch64", "family": None, "stepping": None, "flags": ["asimd", "fp"]}),
        (None, {"model": "aarch64", "flags": []}),
    ],
)
def test_the_processor_is_that_of_cpuinfo(files, monkeypatch, cpuinfo, facts):
    monkeypatch.setattr(platform, "processor", lambda: "aarch64")
    files["/proc/cpuinfo"] = cpuinfo
    assert facts.items() <= environment.host()["cpu"].items()


@pytest.mark.parametrize(("cpuinfo", "virtualised"), [(f"{INTEL} hypervisor", True), (INTEL, False), (None, None)])
def test_a_virtual_machine_is_known_by_its_flag(files, cpuinfo, virtualised):
    files["/proc/cpuinfo"] = cpuinfo
    assert environment.host()["virtualised"] is virtualised


@pytest.fixture
def broken_gpu(monkeypatch):
    """One GPU that is counted but on which nothing can be allocated."""

    def zeros(*size, device):
        raise RuntimeError("CUDA error: device busy\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "zeros", zeros)


def test_a_device_that_does_not_work_is_listed_with_its_reason(broken_gpu):
    cpu, gpu = environment.devices()
    assert cpu["name"] == "cpu"
    assert gpu == {
        "name": "cuda:0", "model": None, "uuid": None, "memory_bytes": None, "reason": "CUDA error: device busy",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError("the bus is gone"), "the bus is gone"), (ValueError(), "ValueError")]
)
@pytest.mark.parametrize("failing", ["zeros", "synchronize", "properties"])
def test_a_device_that_fails_at_anything_costs_itself_alone(monkeypatch, failing, error, reason):
    def asked(what, place):
        if what == failing and str(place) in {"1", "cuda:1"}:
            raise error
        return Properties(8, 0)

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 3)
    monkeypatch.setattr(torch, "zeros", lambda size, device: asked("zeros", device))
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda name: asked("synchronize", name))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: asked("properties", index))
    assert [device.get("reason") for device in environment.devices()] == [None, None, reason, None]


class Properties:
    name = "A GPU"
    uuid = "12345678-90ab"
    total_memory = 80 * 2**30
    multi_processor_count = 108

    def __init__(self, major, minor):
        self.major, self.minor = major, minor


@pytest.mark.parametrize(("major", "minor", "tf32"), [(7, 5, False), (8, 0, True), (9, 0, True), (12, 0, True)])
def test_what_a_gpu_is(monkeypatch, major, minor, tf32):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "zeros", lambda *size, device: None)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda name: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties(major, minor))
    found = environment.devices()
    assert [device["name"] for device in found] == ["cpu", "cuda:0", "cuda:1"]
    assert found[1] == {
        "name": "cuda:0", "model": "A GPU", "uuid": "GPU-12345678-90ab", "memory_bytes": 80 * 2**30, "reason": None,
        "capability": f"{major}.{minor}", "multiprocessors": 108, "tf32": tf32, "cudnn": True, "graphs": True,
    }  # fmt: skip
    json.dumps(found, allow_nan=False)


def test_a_missing_compiler_is_told_beforehand(tmp_path):
    code = "import json; from bench.worker import environment; print(json.dumps(environment._compile_problems()))"
    output = subprocess.run(
        [sys.executable, "-P", "-c", code], text=True, check=True, capture_output=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CXX": "no-such-compiler"},
    )  # fmt: skip
    problems = json.loads(output.stdout)
    assert problems["cpu"].startswith("torch.compile needs a C++ compiler (g++ or clang++, or CXX naming one)")


@pytest.mark.parametrize("name", ["TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE"])
def test_a_compiler_that_is_switched_off_is_told_beforehand_for_every_device(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    problems = environment._compile_problems()
    assert problems["cpu"] == problems["cuda"] == f"torch.compile is switched off: {name}=1 is in the environment"


@pytest.mark.parametrize(
    ("package", "compiler", "problem"),
    [
        (False, "/usr/bin/cc", "torch.compile needs the package triton for GPUs"),
        (True, None, "torch.compile needs a C compiler for Triton's launchers, and finds none"),
        (True, "/usr/bin/cc", None),
    ],
)
def test_what_gpus_need_to_compile_is_told_beforehand(monkeypatch, package, compiler, problem):
    monkeypatch.setattr(_triton, "has_triton_package", lambda: package)
    monkeypatch.setattr(environment.shutil, "which", lambda name: compiler)
    assert environment._compile_problems().get("cuda") == problem


CACHE = "/sys/devices/system/cpu/cpu0/cache"


def cache(index, level, kind, size, shared="0-1"):
    facts = {"level": level, "type": kind, "size": size, "shared_cpu_list": shared}
    return {f"{CACHE}/index{index}/{name}": value for name, value in facts.items()}


def test_caches_are_those_of_data_from_the_innermost(files):
    for found in (
        cache(0, "3", "Unified", "480M", "0-63"), cache(1, "1", "Data", "48K"), cache(2, "1", "Instruction", "32K"),
        cache(3, "2", "Unified", "2048K"),
    ):  # fmt: skip
        files.update(found)
    assert environment.host()["caches"] == [
        {"level": 1, "bytes": 48 * 2**10, "shared_by": "0-1"},
        {"level": 2, "bytes": 2**21, "shared_by": "0-1"},
        {"level": 3, "bytes": 480 * 2**20, "shared_by": "0-63"},
    ]


def test_caches_that_are_not_told_are_none(files):
    assert environment.host()["caches"] == []
    files.update(cache(0, "1", "Data", None))
    assert environment.host()["caches"] == []


@pytest.mark.parametrize(("size", "octets"), [("32K", 32768), ("1G", 2**30), ("512", 512)])
def test_sizes_as_the_kernel_writes_them(size, octets):
    assert environment._octets(size) == octets
