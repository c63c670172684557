"""A case with a power limit, measured by a real process under it, and skipped without the rights."""

import json
import os
import subprocess
import sys

import pytest

from tests.bench.machine.test_driver import COMPILER, UUID
from tests.support.driver import compiled
from tests.support.runner import ROOT

CASE = "lenet-inference-b1-fp32-contiguous-eager-cpu-t1-250W"
PROGRAM = f"""
import json, os
from bench.controller.launcher import Launcher
from bench.controller.process import Worker
from bench.machine import nvml
from suites.case import Budget, Case

with Worker() as worker:
    launcher = Launcher(worker)
    launcher._devices = {{"cpu": {{"name": "cpu", "uuid": "{UUID}"}}}}  # a GPU, as far as its power goes
    gpu = nvml.gpu_of("{UUID}").value
    seen = []
    request, case = worker.request, Case.parse("{CASE}")
    worker.request = lambda *args, **named: (seen.append(gpu.power_limit().value), request(*args, **named))[1]
    budget = Budget(min_seconds=0, max_seconds=0.1, warmup_seconds=0.1, precision=0.5)
    found = [launcher.measure(case, budget)[0]]
    request = lambda *args, **named: (gpu.set_power_limit(300), worker_request(*args, **named))[1]
    worker_request = Worker.request.__get__(worker)
    found += [launcher.measure(case, budget)[0]]
    os.environ["REFUSE_POWER_LIMIT"] = "1"
    found += [launcher.measure(case, budget)[0]]
    told = [[each.id, each.outcome.status, each.outcome.reason] for each in found]
    print(json.dumps({{"seen": seen, "after": gpu.power_limit().value, "told": told}}))
"""

pytestmark = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux", reason="needs a C compiler and Linux's loader"
)


def test_a_case_is_measured_under_its_limit_or_not_at_all(tmp_path):
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": str(compiled(tmp_path, COMPILER)),
        "DRIVER_STATE": str(tmp_path / "milliwatts"),
    }  # fmt: skip
    output = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM], env=environment, text=True, capture_output=True, check=True
    ).stdout
    answer = json.loads(output.splitlines()[-1])
    measured, changed, refused = answer["told"]
    assert set(answer["seen"]) == {250}
    assert measured == [CASE, "measured", ""]
    assert changed == [CASE, "failed", "its power limit is 300 W, not 250 W"]
    assert refused[1:] == [
        "skipped", "the power limit cannot be set: nvmlDeviceSetPowerManagementLimit: Insufficient Permissions",
    ]  # fmt: skip
    assert answer["after"] == 350
