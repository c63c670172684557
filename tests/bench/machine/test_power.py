"""A power limit is set for a case and back again on every way out: the real pynvml over a driver library in C.

The library keeps its state in a file, as a real driver keeps the limit when a process ends.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.bench.machine.test_driver import COMPILER, UUID
from tests.support.driver import compiled
from tests.support.runner import ROOT

DEVICE = {"name": "cuda:0", "uuid": UUID}
PROGRAM = """
import json, os, signal, sys, time
from bench.machine import nvml, power
from suites.errors import DlhwError

device, way = json.loads(sys.argv[1]), sys.argv[2]
facts = nvml.gpu_of(device["uuid"]).value.facts()
told = {"ranges": power.ranges([device | {"nvml": nvml.split(facts)[0]}])}
try:
    with power.limited(device, float(sys.argv[3])) as limit:
        told |= {"problem": limit.problem, "inside": nvml.gpu_of(device["uuid"]).value.power_limit().value}
        told["read_back"] = limit.read_back() if not limit.problem else None
        print(json.dumps(told), flush=True)
        if way == "error":
            raise RuntimeError("a case that fails")
        if way == "hold":
            sys.stdin.readline()
        if way == "guardian":
            os.kill(int(open(os.environ["DRIVER_STATE"] + ".setter").read()), signal.SIGKILL)
        if way == "elsewhere":
            nvml.gpu_of(device["uuid"]).value.set_power_limit(310)
            print(json.dumps({"read_back": limit.read_back()}), flush=True)
        if way == "refused":
            open(os.environ["DRIVER_STATE"] + ".refused", "w").close()
except (DlhwError, RuntimeError, KeyboardInterrupt) as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
"""

pytestmark = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux", reason="needs a C compiler and Linux's loader"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("driver"), COMPILER)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "milliwatts"


@pytest.fixture
def start(library, state):
    """Starts a process that limits the GPU to so many watts."""
    started = []

    def start(way="end", watts=250, **variables):
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": str(library), "DRIVER_STATE": str(state),
            **variables,
        }  # fmt: skip
        command = [sys.executable, "-P", "-c", PROGRAM, json.dumps(DEVICE), way, str(watts)]
        process = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lines(process):
    """What it told until its end."""
    return [json.loads(line) for line in process.communicate()[0].splitlines()]


def watts(state):
    return int(state.read_text()) / 1000


def restored(state):
    """Whether the limit is the driver's own again, before long: the one who held it is no child of ours."""
    deadline = time.monotonic() + 60
    while watts(state) != 350 and time.monotonic() < deadline:
        time.sleep(0.01)
    return watts(state) == 350


def test_a_limit_is_held_read_back_and_restored(start, state):
    (told,) = lines(start())
    assert told == {"ranges": {"cuda:0": [100, 400]}, "problem": "", "inside": 250, "read_back": ""}
    assert watts(state) == 350


def test_a_case_that_fails_leaves_no_limit_behind(start, state):
    told, error = lines(start("error"))
    assert (told["inside"], error["error"]) == (250, "RuntimeError: a case that fails")
    assert watts(state) == 350


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whoever_is_ended_leaves_no_limit_behind(start, state, number):
    process = start("hold")
    assert json.loads(process.stdout.readline())["inside"] == 250
    assert watts(state) == 250
    process.send_signal(number)
    process.wait()
    assert restored(state)


def test_where_the_guardian_is_killed_the_other_restores(start, state):
    (told,) = lines(start("guardian"))
    assert told["inside"] == 250
    assert watts(state) == 350


def test_a_limit_that_somebody_else_changes_is_told(start, state):
    _, later = lines(start("elsewhere"))
    assert later["read_back"] == "its power limit is 310 W, not 250 W"
    assert watts(state) == 350


def test_a_limit_that_cannot_be_restored_is_told_with_what_to_do(start, state):
    _, error = lines(start("refused"))
    assert error["error"] == (
        "DlhwError: the power limit of cuda:0 could not be set back to 350 W (nvmlDeviceSetPowerManagementLimit: "
        "Insufficient Permissions): nvidia-smi -pl 350 as root does"
    )
    assert watts(state) == 250


def test_without_the_rights_nothing_is_set(start, state):
    (told,) = lines(start(REFUSE_POWER_LIMIT="1"))
    assert (
        told["problem"] == "the power limit cannot be set: nvmlDeviceSetPowerManagementLimit: Insufficient Permissions"
    )
    assert (told["inside"], state.exists()) == (350, False)
