"""What an idle device draws, and the energy above it, by the real pynvml over a driver library that is made here."""

import pynvml
import pytest

from bench.machine import idle
from tests.bench.machine import test_sensors

driver = test_sensors.driver
DEVICE = {"name": "cuda:0", "uuid": "GPU-aaaa"}
COUNTED = {"energy_joules": 1200.0, "window_seconds": 6.0, "reason": ""}


@pytest.fixture
def idle_power(driver):
    """The device's, with a driver whose time passes while we sleep."""
    driver.failing["nvmlDeviceGetUtilizationRates"] = pynvml.NVML_ERROR_NOT_SUPPORTED

    def idle_power(during=lambda: None, device=DEVICE):
        def sleep(seconds):
            driver.seconds += seconds
            during()

        return idle.idle_power(device, sleep)

    return idle_power


def test_it_is_the_median_over_a_window_after_the_device_has_settled(driver, idle_power):
    driver.watts = 300

    def settle():
        driver.watts = 40 if driver.seconds >= 1 else 300
        driver.watts += 100 if 2 < driver.seconds < 2.5 else 0  # a short disturbance

    found = idle_power(settle)
    assert found == {
        "idle_power_watts": 40, "idle_window_seconds": 3, "idle_source": "NVML, median of readings", "idle_reason": "",
    }  # fmt: skip
    assert driver.seconds == pytest.approx(4)


def test_a_device_in_use_is_not_idle(driver, idle_power):
    driver.pids = [7]
    assert idle_power()["idle_reason"] == "1 process computed on it"
    del driver.failing["nvmlDeviceGetUtilizationRates"]
    assert idle_power()["idle_reason"] == "somebody used 87% of it"
    assert idle_power()["idle_power_watts"] is None


def test_what_cannot_be_told_has_its_reason(driver, idle_power):
    driver.failing |= dict.fromkeys((186, "nvmlDeviceGetPowerUsage"), pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert idle_power()["idle_reason"] == "nvmlDeviceGetPowerUsage: Not Supported"
    assert idle_power(device={"name": "cpu", "uuid": None})["idle_reason"] == "no sensors for cpu"


def test_energy_above_idle_is_what_the_window_drew_less_what_it_would_have():
    known = {"idle_power_watts": 40.0, "idle_reason": ""}
    found = idle.above_idle(COUNTED, known)
    assert (found["energy_above_idle_joules"], found["above_idle_reason"]) == (1200 - 6 * 40, "")


@pytest.mark.parametrize(
    ("sensors", "known", "reason"),
    [
        (COUNTED, {"idle_power_watts": None, "idle_reason": "somebody used 87% of it"}, "somebody used 87% of it"),
        ({"energy_joules": None, "reason": "too short"}, {"idle_power_watts": 40.0}, "too short"),
        (COUNTED, {"idle_power_watts": 201.0}, "it drew no more than the 201 W of the idle device"),
    ],
)
def test_without_either_there_is_a_reason_instead(sensors, known, reason):
    found = idle.above_idle(sensors, known)
    assert (found["energy_above_idle_joules"], found["above_idle_reason"]) == (None, reason)
