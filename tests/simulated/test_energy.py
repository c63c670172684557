"""Energy and slowdowns, by a driver's library whose figures follow from what the simulated devices do.

Mostly in virtual time; at last `dlhw run` itself, whose controller watches from outside, by a clock on the wall.
"""

import subprocess
import sys

import pytest

from reports.results import frames
from tests.simulated.device import compiler
from tests.support.runner import BRIEF, ROOT

IDLE_WATTS, MOST_WATTS = 50, 300
SLOW = {"fp32": 1e9, "latency": 1e-5}
STEP_SECONDS = 2 * 512**3 / SLOW["fp32"] + SLOW["latency"]
"""0.27 s."""
THROTTLED = SLOW | {"throttle_after": 2.0, "throttle": 1.5}
CODE = """
import json
from tests.simulated.energy import by_index, watched

found = {"works": watched(1, 5.2), "rests": watched(1, 2.6, rest=2.6), "wrong": watched(0, 5.2, fault=by_index)}
found["throttled"] = watched(2, 4.6)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def driver(simulator, tmp_path_factory):
    """The variables by which a process finds the driver's library, and the devices tell it what they do."""
    folder = tmp_path_factory.mktemp("driver")
    name = "libnvidia-ml.so.1"
    source = ROOT / "tests" / "simulated" / "driver.c"
    command = [compiler(), "-x", "c", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(source)]
    subprocess.run(command, check=True)
    return lambda name: {"LD_LIBRARY_PATH": str(folder), "DLHW_SIM_ACTIVITY": str(folder / name)}


@pytest.fixture(scope="module")
def told(simulator, driver, begun):
    """Case -> what the sensors say of it; in virtual time, whatever `begun` does beside."""
    variables = driver("told")
    return simulator.facts(CODE, SLOW, SLOW, THROTTLED, name="energy", variables=variables, clock="virtual")


def joules(found):
    """By the formula: idle power all the time, and the rest of it while the device is busy."""
    return IDLE_WATTS * found["window_seconds"] + (MOST_WATTS - IDLE_WATTS) * found["busy_seconds"]


def step_joules(found):
    """Of a step: of an image, were it a net's."""
    return found["energy_joules"] / found["window_steps"]


def near(found):
    """Whether energy is what the formula says, within 2 %."""
    return found["energy_joules"] == pytest.approx(joules(found), rel=0.02)


@pytest.mark.parametrize("case", ["works", "rests"])
def test_energy_is_the_formulas(told, case):
    assert near(told[case]), told[case]


def test_a_device_that_works_all_the_time_takes_most_for_it(told):
    found = told["works"]
    assert found["busy_seconds"] == pytest.approx(found["window_steps"] * STEP_SECONDS, rel=1e-6)
    assert step_joules(found) == pytest.approx(MOST_WATTS * STEP_SECONDS, rel=0.02)
    assert found["integrated_joules"] == pytest.approx(found["energy_joules"], rel=0.1)
    assert found["reason"] == ""


def test_rest_costs_idle_power(told):
    found = told["rests"]
    assert IDLE_WATTS < found["mean_power_watts"] < 0.8 * MOST_WATTS


def test_another_devices_handle_is_seen(told):
    """What is read is the idle power of a device that does nothing."""
    assert not near(told["wrong"])
    assert told["wrong"]["mean_power_watts"] == pytest.approx(IDLE_WATTS, rel=0.02)


def test_a_throttle_in_the_middle_has_its_share(told):
    """From the first step on that begins after two busy seconds: the eighth has ended by then."""
    found = told["throttled"]
    slowed = (found["window_steps"] - 8) * 1.5 * STEP_SECONDS
    assert found["busy_seconds"] == pytest.approx(8 * STEP_SECONDS + slowed, rel=1e-3)
    share = found["throttle_reasons"]["thermal slowdown"]
    assert share == pytest.approx(slowed / found["window_seconds"], rel=0.02)
    assert any(f"for {100 * share:.0f}% of the time" in reason for reason in found["noise"].values())


def test_without_one_there_is_none(told):
    assert told["works"]["throttle_reasons"] == {}


NET = {"fp32": 2e8, "latency": 1e-5, "throttle_after": 5.0, "throttle": 1.5}
IMAGES = 32
CASE = f"lenet-inference-b{IMAGES}-fp32-contiguous-eager-sim:0-t1"
SUITE = f"""
[[sweep]]
architecture = "lenet"
mode = "inference"
batch_size = {IMAGES}
device = "sim:0"
threads = 1
measure = {{ energy_seconds = 5.5 }}
"""


@pytest.fixture(scope="module")
def begun(simulator, driver, tmp_path_factory):
    """`dlhw run` of a net on a device that slows down in the middle of the energy window, and its folder.

    It watches for ten seconds by a clock on the wall: begun before the other tests here, awaited after them.
    """
    folder = tmp_path_factory.mktemp("run")
    (folder / "suite.toml").write_text(BRIEF + SUITE)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "dlhw", "run", "--suite", "suite.toml", "--benchmark-json=results.json"],
        cwd=folder, env=simulator.environment(NET) | driver("run"), text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    yield folder, process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def run(begun):
    """What `dlhw run` found."""
    folder, process = begun
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    (record,) = frames.results(folder / "results.json").records
    (row,) = frames.tabulate([frames.results(folder / "results.json")]).to_dict("records")
    return record, row


def slowed_steps(record):
    """How many of the window's steps were: each adds half a step to it."""
    step, sensors = row_seconds(record), record.sensors
    return (sensors["window_seconds"] / step - sensors["window_steps"]) / (NET["throttle"] - 1)


def row_seconds(record):
    """Of a step that was not slowed down: the samples were all taken before."""
    return sorted(record.seconds)[len(record.seconds) // 2]


def test_a_nets_joules_an_image_are_the_formulas(run):
    """300 W, and for as long as the formula says."""
    record, row = run
    steps, slowed = record.sensors["window_steps"], slowed_steps(record)
    mean = row_seconds(record) * (1 + (NET["throttle"] - 1) * slowed / steps)
    assert row["joules_per_image"] == pytest.approx(MOST_WATTS * mean / IMAGES, rel=0.02)
    assert row["idle_power_watts"] == IDLE_WATTS
    assert row["above_idle_joules_per_image"] == pytest.approx((MOST_WATTS - IDLE_WATTS) * mean / IMAGES, rel=0.02)


def test_a_nets_throttle_has_its_share_and_is_told(run):
    record, _ = run
    slowed = slowed_steps(record)
    assert 0.2 < slowed / record.sensors["window_steps"] < 0.8
    share = record.sensors["throttle_reasons"]["thermal slowdown"]
    seconds = slowed * NET["throttle"] * row_seconds(record)
    assert share == pytest.approx(seconds / record.sensors["window_seconds"], rel=0.05)
    assert any(f"slowed down for {100 * share:.0f}% of the time" in reason for reason in record.sampling.noisy)
