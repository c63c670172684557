"""The sensors, end to end: a driver library in C, found by the real loader in a process of its own."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.driver import compiled
from tests.support.runner import ROOT

UUID = "GPU-11111111-2222-3333-4444-555555555555"
COMPILER = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
PROGRAM = f"""
import json
from bench.machine import nvml, sensors
from bench.records.record import plain

device = {{"name": "cuda:0", "uuid": "{UUID}"}}
seconds = iter(range(0, 600, 6))
watch = sensors.watch_for(device, now=lambda: float(next(seconds)))
watch.phase("sampling")
watch.phase("energy")
watch.phase("reporting")
lost = sensors.watch_for({{"name": "cuda:0", "uuid": "GPU-unknown"}})
print(json.dumps(plain({{
    "found": watch.summary(10, 100), "facts": sensors.facts_of(device), "unknown": lost.summary(None, None)["reason"],
}})))
"""

pytestmark = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux", reason="needs a C compiler and Linux's loader"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The folder with the compiled driver."""
    return compiled(tmp_path_factory.mktemp("driver"), COMPILER)


def run(library, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": str(library), **variables}
    output = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM], env=environment, text=True, capture_output=True, check=True
    )
    return json.loads(output.stdout)


def test_a_driver_is_loaded_and_what_it_lacks_has_its_reason(library):
    answer = run(library)
    facts = answer["facts"]
    assert facts["driver"] == "580.65.06"
    assert facts["nvml"] == {
        "driver": "580.65.06", "default_power_limit_watts": 350, "power_limit_range_watts": [100, 400],
    }  # fmt: skip
    assert facts["nvml_reasons"]["ecc"] == "nvmlDeviceGetEccMode: Not Supported"
    assert facts["nvml_reasons"]["name"] == "nvmlDeviceGetName: Function Not Found"
    assert answer["unknown"] == "nvmlDeviceGetHandleByUUID: Not Found"


def test_energy_is_counted_and_integrated(library):
    found = run(library)["found"]
    window = found["window_seconds"]
    assert found["energy_joules"] == 1500
    assert found["mean_power_watts"] == 1500 / window
    assert (found["integrated_joules"], found["window_steps"]) == (250 * (window - 12), 10)
    assert found["other_processes"] == 1
    assert found["reasons"]["utilisation"] == "nvmlDeviceGetUtilizationRates: Function Not Found"
    assert found["temperature_celsius"] is None


def test_a_gpu_that_is_lost_in_the_middle_is_a_reason(library):
    found = run(library, LIVES="3")["found"]
    assert found["reasons"]["power_watts"] == "nvmlDeviceGetPowerUsage: GPU is lost"
    assert (found["energy_joules"], found["integrated_joules"]) == (1500, None)
