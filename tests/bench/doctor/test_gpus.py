"""Doctor's advice on a GPU's settings, by the real pynvml over a driver library that is made here."""

from types import SimpleNamespace

import pynvml
import pytest

from bench.doctor import examine, gpus
from bench.doctor.diagnostics import Verdict
from tests.bench.machine import test_sensors
from tests.support.driver import loaded


class Driver(test_sensors.Driver):
    """Knows, beside what the sensors ask, what an administrator sets."""

    def __init__(self):
        super().__init__()
        self.application_clock, self.limit, self.ecc, self.errors, self.mig, self.cuda = 1980, 700, (1, 1), 0, 0, 13000

    def _nvmlDeviceGetMaxClockInfo(self, handle, kind, megahertz):
        megahertz._obj.value = 1980

    def _nvmlDeviceGetApplicationsClock(self, handle, kind, megahertz):
        megahertz._obj.value = self.application_clock

    def _nvmlDeviceGetEnforcedPowerLimit(self, handle, milliwatts):
        milliwatts._obj.value = self.limit * 1000

    def _nvmlDeviceGetPowerManagementDefaultLimit(self, handle, milliwatts):
        milliwatts._obj.value = 700_000

    def _nvmlDeviceGetPersistenceMode(self, handle, mode):
        mode._obj.value = 1

    def _nvmlDeviceGetEccMode(self, handle, now, later):
        now._obj.value, later._obj.value = self.ecc

    def _nvmlDeviceGetTotalEccErrors(self, handle, kind, counter, count):
        count._obj.value = self.errors

    def _nvmlDeviceGetMigMode(self, handle, now, later):
        now._obj.value = later._obj.value = self.mig

    def _nvmlSystemGetCudaDriverVersion(self, version):
        version._obj.value = self.cuda


@pytest.fixture
def driver():
    with loaded(Driver()) as library:
        yield library


@pytest.fixture
def told(driver):
    """Diagnostics by name, without the device's."""

    def told(uuid="GPU-aaaa", torch_cuda="13.0", name="cuda:0"):
        found = gpus.advice({"name": name, "uuid": uuid}, torch_cuda)
        return {each.name.replace(f" of {name}", "").replace(f" on {name}", ""): each for each in found}

    return told


def test_a_gpu_as_it_should_be_has_no_warning(told):
    found = told()
    assert {name: (each.verdict, each.value) for name, each in found.items()} == {
        "clocks": (Verdict.FACT, "application clock 1980 of at most 1980 MHz"),
        "power limit": (Verdict.GOOD, "700 W, by default 700 W"),
        "persistence": (Verdict.GOOD, "on: the driver stays loaded"),
        "ECC": (Verdict.FACT, "on"),
        "others": (Verdict.GOOD, "nobody computes on it"),
        "driver": (Verdict.GOOD, "knows CUDA 13.0; torch was built with 13.0"),
    }


@pytest.mark.parametrize(
    ("change", "name", "verdict", "value", "advice"),
    [
        ({"application_clock": 1410}, "clocks", Verdict.WARNING, "application clock 1410 of at most 1980 MHz",
         "nvidia-smi -rac"),
        ({"limit": 500}, "power limit", Verdict.WARNING, "500 W, by default 700 W", "nvidia-smi -pl 700"),
        ({"ecc": (1, 0)}, "ECC", Verdict.WARNING, "on, off after the next reset", "reset the GPU"),
        ({"errors": 3}, "ECC", Verdict.BAD, "on; 3 errors that could not be corrected", "memory is damaged"),
        ({"ecc": (0, 0)}, "ECC", Verdict.FACT, "off", ""),
        ({"mig": 1}, "MIG", Verdict.WARNING, "on, but this is the whole GPU", "nvidia-smi -mig 0"),
        ({"pids": [41, 7]}, "others", Verdict.WARNING, "processes 7, 41 compute on it", "CUDA_VISIBLE_DEVICES"),
        ({"cuda": 12080}, "driver", Verdict.BAD, "knows CUDA 12.8; torch was built with 13.0", "torch for CUDA 12"),
        ({"cuda": 13010}, "driver", Verdict.GOOD, "knows CUDA 13.1; torch was built with 13.0", ""),
    ],
)  # fmt: skip
def test_what_is_not_as_it_should_be_has_its_advice(driver, told, change, name, verdict, value, advice):
    for attribute, wanted in change.items():
        setattr(driver, attribute, wanted)
    found = told()[name]
    assert (found.verdict, found.value) == (verdict, value)
    assert advice in found.advice


def test_a_driver_older_by_a_minor_version_is_told(driver, told):
    driver.cuda = 12040
    assert told(torch_cuda="12.8")["driver"].verdict == Verdict.WARNING


def test_a_slice_is_told_as_one(told):
    assert told(uuid="GPU-cccc")["MIG"].value == "it is a slice of a GPU"


def test_what_the_driver_does_not_tell_and_other_devices_have_no_line(driver, told):
    driver.missing |= {
        "nvmlDeviceGetApplicationsClock",
        "nvmlDeviceGetEccMode",
        "nvmlDeviceGetComputeRunningProcesses_v3",
    }
    driver.failing["nvmlDeviceGetPowerManagementDefaultLimit"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    assert told().keys() == {"persistence", "driver"}
    assert told(torch_cuda=None).keys() == {"persistence"}
    assert told(uuid="GPU-dddd") == {}
    assert told(name="xpu:0") == {}


def test_what_each_field_of_the_driver_says_is_told(driver):
    """By the library; the process that would keep the GPU busy is not there to be asked."""
    asked = []
    worker = SimpleNamespace(request=lambda *_, **names: asked.append(names) or SimpleNamespace(result=None, pid=1))
    found = list(examine._sensors(worker, {"name": "cuda:0", "uuid": "GPU-aaaa"}, lambda *_: None))
    assert asked == [{"name": "energy", "device": "cuda:0", "seconds": examine.ENERGY_SECONDS}]
    assert [each.name for each in found] == ["energy of cuda:0", "sensors of cuda:0"]
    answered, of_all = (int(word) for word in found[1].value.split()[:3:2])
    assert 0 < answered == of_all - len(found[1].facts["reasons"])
