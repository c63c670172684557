"""Sensors, by the real pynvml over a driver library that is made here, and by RAPL files that are made here."""

import json
import os

import pynvml
import pytest

from bench.machine import nvml, rapl, sensors
from bench.records.record import Launch, Memory, Outcome, Record, Sampling, Status, plain
from tests.support.driver import loaded

ERRORS = [
    value for name, value in vars(pynvml).items()
    if name.startswith("NVML_ERROR_") and isinstance(value, int) and value != pynvml.NVML_ERROR_INSUFFICIENT_SIZE
]  # fmt: skip


class Driver:
    """A driver library for two GPUs, the second of them cut into MIG slices; time passes when a test says so.

    `failing` maps a function to the error that it returns; `missing` are functions that an old driver lacks.
    """

    def __init__(self):
        self.seconds = 0.0
        self.failing = {}
        self.missing = set()
        self.watts = 200
        self.slowdowns = 0
        self.pids = []
        self.slowed_ns = 0
        self.uuids = {b"GPU-aaaa": 1, b"GPU-bbbb": 2, b"MIG-cccc": 3}

    def __getattr__(self, name):
        if not name.startswith("nvml") or name in self.missing:
            raise AttributeError(name)
        answer = getattr(type(self), f"_{name}", None)

        def call(*arguments):
            if name in self.failing:
                return self.failing[name]
            return pynvml.NVML_ERROR_NOT_SUPPORTED if answer is None else answer(self, *arguments) or 0

        return call

    def _nvmlInitWithFlags(self, flags): ...

    def _nvmlSystemGetDriverVersion(self, text, length):
        text.value = b"580.65"

    def _nvmlDeviceGetHandleByUUID(self, uuid, handle):
        number = self.uuids.get(uuid.value)
        if number is None:
            return pynvml.NVML_ERROR_NOT_FOUND
        handle._obj.value = number
        return 0

    def _nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, piece, handle):
        handle._obj.value = 2

    def _nvmlDeviceGetName(self, handle, text, length):
        text.value = b"Fake H200"

    def _nvmlDeviceGetTotalEnergyConsumption(self, handle, millijoules):
        millijoules._obj.value = int(self.seconds * self.watts * 1000)

    def _nvmlDeviceGetPowerUsage(self, handle, milliwatts):
        milliwatts._obj.value = self.watts * 1000

    def _nvmlDeviceGetClockInfo(self, handle, kind, megahertz):
        megahertz._obj.value = {1: 1980, 2: 3201}[kind.value]

    def _nvmlDeviceGetTemperatureV(self, handle, temperature):
        temperature._obj.temperature = 61

    def _nvmlDeviceGetUtilizationRates(self, handle, rates):
        rates._obj.gpu = 87

    def _nvmlDeviceGetMemoryInfo_v2(self, handle, memory):
        memory._obj.used = 3 << 30

    def _nvmlDeviceGetCurrentClocksEventReasons(self, handle, mask):
        mask._obj.value = self.slowdowns

    def _nvmlDeviceGetComputeRunningProcesses_v3(self, handle, count, processes):
        if processes is None:
            count._obj.value = len(self.pids)
            return pynvml.NVML_ERROR_INSUFFICIENT_SIZE if self.pids else 0
        count._obj.value = len(self.pids)
        for place, pid in enumerate(self.pids):
            processes[place].pid = pid
        return 0

    def _nvmlDeviceGetFieldValues(self, handle, count, values):
        for field in values._obj:
            field.nvmlReturn = self.failing.get(field.fieldId, 0)
            field.valueType = 3 if field.fieldId == 74 else 1
            if field.fieldId == 74:
                field.value.ullVal = self.slowed_ns
            else:
                field.value.uiVal = self.watts * 1000 if field.fieldId == 186 else 0


@pytest.fixture
def driver():
    with loaded(Driver()) as library:
        yield library


def measure(driver, *, energy_seconds=6.0, during=lambda driver: None, uuid="GPU-aaaa", pid=100):
    """What a GPU's watch says of a second of sampling and an energy window, a tick every half second."""
    watch = sensors.watch_for({"name": "cuda:0", "uuid": uuid}, now=lambda: driver.seconds)
    for name, seconds in (("building", 0.5), ("sampling", 1.0), ("energy", energy_seconds), ("reporting", 0.0)):
        watch.phase(name)
        for _ in range(int(seconds / 0.5)):
            driver.seconds += 0.5
            during(driver)
            watch.tick()
    found = watch.summary(1000, pid)
    json.dumps(found, allow_nan=False)
    return found


def test_energy_is_counted_over_its_window(driver):
    found = measure(driver)
    assert found["source"] == "NVML"
    assert (found["energy_joules"], found["window_seconds"], found["window_steps"]) == (1200, 6, 1000)
    assert found["mean_power_watts"] == 200
    assert (found["integrated_joules"], found["disagreement"]) == (1200, 0)
    assert (found["sm_clock_hertz"], found["memory_clock_hertz"]) == (1_980_000_000, 3_201_000_000)
    assert (found["temperature_celsius"], found["utilisation"], found["memory_used_bytes"]) == (61, 0.87, 3 << 30)
    assert (found["throttle_reasons"], found["other_processes"]) == ({}, 0)


def test_a_short_window_gives_no_joules(driver):
    found = measure(driver, energy_seconds=2.0)
    assert found["energy_joules"] is None
    assert found["reason"] == "a window of 2 s is too short; 5 s is the least"


def test_a_counter_that_stands_still_or_was_reset_gives_no_joules(driver):
    driver.watts = 0
    assert measure(driver)["reason"] == "the energy counter did not move"
    driver.watts = 200

    def reset(driver):
        driver.watts = 1 if driver.seconds > 12 else 200

    found = measure(driver, during=reset)
    assert found["energy_joules"] is None
    assert "reset" in found["reason"]


def test_a_counter_that_disagrees_with_the_power_is_told(driver):
    driver.failing[186] = pynvml.NVML_ERROR_NOT_SUPPORTED
    type(driver)._nvmlDeviceGetPowerUsage, before = (
        lambda self, handle, value: setattr(value._obj, "value", 100_000),
        (type(driver)._nvmlDeviceGetPowerUsage),
    )
    try:
        found = measure(driver)
    finally:
        type(driver)._nvmlDeviceGetPowerUsage = before
    assert (found["energy_joules"], found["integrated_joules"], found["disagreement"]) == (1200, 600, 0.5)
    assert found["reason"] == "the counter and the integrated power differ by 50%"


def test_throttling_is_flagged_with_its_share(driver):
    def throttle(driver):
        driver.slowdowns = 0x40 if driver.seconds > 4.5 else 0x1
        driver.slowed_ns += int(0.05e9)

    found = measure(driver, during=throttle)
    assert set(found["throttle_reasons"]) == {"hardware thermal slowdown", "power cap"}
    assert found["throttle_reasons"]["power cap"] == pytest.approx(0.1)
    assert [text.split(" for ")[0] for text in sensors.noise(found).values()] == ["the GPU was slowed down"] * 2


@pytest.mark.parametrize(
    ("pids", "ours", "others"),
    [([100], 100, 0), ([100, 7], 100, 1), ([5007], 100, 0), ([5007, 7], 100, 1), ([], 100, 0)],
)
def test_other_processes_on_the_gpu_are_counted(driver, pids, ours, others):
    driver.pids = pids
    found = measure(driver, pid=ours)
    assert found["other_processes"] == others
    assert any("other process" in text for text in sensors.noise(found).values()) == bool(others)


def test_gpus_are_found_by_uuid_and_a_slice_is_its_whole_gpu(driver):
    assert nvml.gpu_of("GPU-bbbb").value.handle.value == 2
    piece = nvml.gpu_of("GPU-cccc").value
    assert (piece.handle.value, piece.sliced) == (2, True)
    assert measure(driver, uuid="GPU-cccc")["source"] == "NVML, the whole GPU of a slice"
    assert measure(driver, uuid="GPU-dddd")["reason"] == "nvmlDeviceGetHandleByUUID: Not Found"


FUNCTIONS = sorted(name.removeprefix("_") for name in vars(Driver) if name.startswith("_nvml"))


FIELDS = {
    "nvmlInitWithFlags": "energy_joules",
    "nvmlSystemGetDriverVersion": "energy_joules",
    "nvmlDeviceGetHandleByUUID": "energy_joules",
    "nvmlDeviceGetTotalEnergyConsumption": "energy_joules",
    "nvmlDeviceGetClockInfo": "sm_clock_hertz",
    "nvmlDeviceGetUtilizationRates": "utilisation",
    "nvmlDeviceGetComputeRunningProcesses_v3": "other_processes",
    "nvmlDeviceGetTemperatureV": "temperature_celsius",
    "nvmlDeviceGetMemoryInfo_v2": "memory_used_bytes",
}
"""What cannot be known when a function fails, and its older sister is not there."""


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("error", ERRORS)
def test_whatever_fails_in_whatever_way_is_a_reason_and_no_zero(driver, function, error):
    driver.failing = {function: error}
    found = measure(driver)
    if function in FIELDS:
        assert found.get(FIELDS[function]) is None
        assert found["reason"] or found["reasons"]


def test_an_old_driver_is_asked_by_the_older_functions(driver):
    driver.missing = {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetTemperatureV", "nvmlDeviceGetFieldValues"}
    type(driver)._nvmlDeviceGetTemperature = lambda self, handle, kind, value: setattr(value._obj, "value", 55)
    try:
        found = measure(driver)
    finally:
        del type(driver)._nvmlDeviceGetTemperature
    assert found["temperature_celsius"] == 55
    assert found["integrated_joules"] == 1200
    assert found["reasons"]["power cap"] == "nvmlDeviceGetFieldValues: Function Not Found"
    assert "nvmlDeviceGetCurrentClocksThrottleReasons" in found["reasons"]["slowdowns"]


def test_a_gpu_that_is_lost_in_the_middle_leaves_reasons(driver):
    def lose(driver):
        if driver.seconds > 3:
            driver.failing = dict.fromkeys(FUNCTIONS, pynvml.NVML_ERROR_GPU_IS_LOST)

    found = measure(driver, during=lose)
    assert found["energy_joules"] is None
    assert found["reason"] == "nvmlDeviceGetTotalEnergyConsumption: GPU is lost"
    assert found["sm_clock_hertz"] == 1_980_000_000


def test_facts_have_values_or_reasons(driver):
    values, reasons = nvml.split(nvml.gpu_of("GPU-aaaa").value.facts())
    assert values == {"name": "Fake H200", "driver": "580.65"}
    assert reasons["power_limit_watts"] == "nvmlDeviceGetEnforcedPowerLimit: Not Supported"


def test_a_device_is_described_with_its_driver_and_what_it_does_not_tell(driver):
    facts = sensors.facts_of({"name": "cuda:1", "uuid": "GPU-bbbb"})
    assert (facts["driver"], facts["nvml"]["name"]) == ("580.65", "Fake H200")
    assert "ecc" in facts["nvml_reasons"]
    unknown = sensors.facts_of({"name": "cuda:1", "uuid": "GPU-dddd"})
    assert (unknown["driver"], unknown["nvml"]) == (None, {})
    assert unknown["nvml_reasons"] == {"gpu": "nvmlDeviceGetHandleByUUID: Not Found"}
    assert sensors.facts_of({"name": "cpu", "uuid": None}) == {}


def test_a_slowdown_too_short_to_matter_is_kept_but_is_no_noise():
    assert sensors.noise({"throttle_reasons": {"power cap": 0.009}}) == {}
    assert sensors.noise({"throttle_reasons": {"power cap": 0.01}}) != {}


def test_without_a_driver_there_is_a_reason():
    nvml.initialised.cache_clear()
    if nvml.initialised().reason == "":
        pytest.skip("this machine has a driver")
    found = sensors.watch_for({"name": "cuda:0", "uuid": "GPU-aaaa"}).summary(None, None)
    assert found == {"source": None, "energy_joules": None, "reason": "nvmlInit: NVML Shared Library Not Found"}


@pytest.mark.parametrize(
    "device", [{"name": "mps:0"}, {"name": "xpu:0", "uuid": None}, {"name": "cuda:0", "uuid": None}]
)
def test_a_device_without_sensors_says_so(device):
    assert sensors.watch_for(device).summary(None, None)["reason"] == f"no sensors are known for {device['name']}"


def test_the_driver_says_which_devices_are_its_by_their_uuids(driver):
    assert isinstance(sensors.watch_for({"name": "sim:0", "uuid": "GPU-aaaa"}), sensors.GpuWatch)
    found = sensors.watch_for({"name": "xpu:0", "uuid": "GPU-zzzz"}).summary(None, None)
    assert found == {"source": None, "energy_joules": None, "reason": "nvmlDeviceGetHandleByUUID: Not Found"}


@pytest.fixture
def zones(tmp_path):
    for number, micro in enumerate((900_000_000, 5_000_000)):
        folder = tmp_path / f"intel-rapl:{number}"
        folder.mkdir()
        (folder / "max_energy_range_uj").write_text("1000000000")
        (folder / "energy_uj").write_text(str(micro))
        (tmp_path / f"intel-rapl:{number}:0").mkdir()
    return tmp_path


def step(zones, *micro):
    for number, value in enumerate(micro):
        (zones / f"intel-rapl:{number}" / "energy_uj").write_text(str(value))


def test_packages_are_added_and_a_counter_may_start_again(zones):
    seconds = [0.0]
    watch = sensors.RaplWatch(rapl.zones(zones).value, lambda: seconds[0])
    watch.phase("sampling")
    watch.phase("energy")
    seconds[0] = 10.0
    step(zones, 100_000_000, 55_000_000)
    watch.phase("reporting")
    found = watch.summary(20, None)
    assert (found["energy_joules"], found["mean_power_watts"], found["window_steps"]) == (250, 25, 20)


def test_a_zone_that_vanishes_is_a_reason(zones):
    watch = sensors.RaplWatch(rapl.zones(zones).value, lambda: 0.0)
    watch.phase("energy")
    (zones / "intel-rapl:0" / "energy_uj").unlink()
    watch.phase("reporting")
    assert watch.summary(None, None)["reason"].startswith("RAPL: ")


def test_counters_that_may_not_be_read_are_a_reason(zones):
    if os.geteuid() == 0:
        (zones / "intel-rapl:0" / "energy_uj").write_text("no number")
    else:
        (zones / "intel-rapl:0" / "energy_uj").chmod(0)
    assert str(zones) in rapl.zones(zones).reason


def test_without_counters_there_is_a_reason(tmp_path):
    assert "no RAPL counters" in rapl.zones(tmp_path).reason


def test_a_record_takes_what_the_watch_saw(driver):
    driver.pids = [100, 7]
    watch = sensors.watch_for({"name": "cuda:0", "uuid": "GPU-aaaa"}, now=lambda: driver.seconds)
    watch.phase("sampling")
    sampling = Sampling(
        launches=(Launch(samples=1, warmup_steps=1, steady=True, median_seconds=1.0),), steps_per_sample=1,
        stop_reason="precision", noisy=("few samples",),
    )  # fmt: skip
    record = Record(
        id="x", case={}, outcome=Outcome(Status.MEASURED), seconds=(1.0,), sampling=sampling,
        memory=Memory(peak_host_bytes=1, base_host_bytes=1, host_source="", parameter_bytes=1),
        sensors={"window_steps": 5},
    )  # fmt: skip
    joined = sensors.join(record, watch, 100)
    assert joined.sensors["window_steps"] == 5
    assert sensors.noise(joined.sensors) == {"company": "1 other process computed on the GPU"}
    plain(joined.sensors)
