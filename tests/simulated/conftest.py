"""The simulated accelerator, for tests: always in processes of their own, for it becomes their torch's accelerator."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulated import device, warm
from tests.support.runner import BRIEF, ROOT, Runner
from tests.support.shared import folder_of_all, once


class Simulator:
    """Runs code and sweeps where torch has devices `sim`.

    Args:
        cache: the folder that keeps the compiled device.
        shared: a folder of this test run, for all its processes.
    """

    def __init__(self, cache, shared):
        self._cache, self.shared = cache, shared

    def environment(self, *devices, clock=""):
        """That of a process with such devices: each a dictionary with keys of `device.DEFAULTS`.

        Args:
            clock: `virtual` where the host's clock is the simulation's, and nothing disturbs it.
        """
        return {
            **os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, device.AUTOLOAD))), "COLUMNS": "200",
            "DLHW_SIM": json.dumps(devices), "DLHW_SIM_CACHE": str(self._cache), "DLHW_SIM_CLOCK": clock,
        }  # fmt: skip

    def facts(self, code, *devices, name="", variables=None, clock=""):
        """What `code` prints as the last line, as JSON; run once a test run if it has a name."""
        if name:
            return once(self.shared, name, lambda _: self.facts(code, *devices, variables=variables, clock=clock))
        environment = self.environment(*devices, clock=clock) | (variables or {})
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], env=environment, text=True,
            capture_output=True, timeout=300, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def measured(self, code, *devices, name, clock=""):
        """As `facts`, of code that needs torch: in a process that is forked from one that has imported it."""

        def run(folder):
            exit_code, output = warm.run(code, self.environment(*devices, clock=clock), folder)
            assert exit_code == 0, output
            return json.loads(output.splitlines()[-1])

        return once(self.shared, name, run)

    def sweep(self, name, suite, *devices, options=(), clock="", variables=None):
        """What a sweep finds, run once a test run.

        Args:
            suite: the blocks of one, or the name of one of dlhw's own.
        """
        environment = self.environment(*devices, clock=clock) | (variables or {})
        return Results(**once(self.shared, name, lambda folder: self._sweep(folder, suite, options, environment)))

    def _sweep(self, folder, suite, options, environment):
        path = folder / "suite.toml"
        path.write_text(BRIEF + suite)
        chosen = path if "[[" in suite else suite
        done = subprocess.run(
            Runner(folder).command("--benchmark-json=results.json", *options, suite=chosen), cwd=folder, text=True,
            env=environment, capture_output=True, timeout=300, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return {"data": json.loads((folder / "results.json").read_text()), "output": done.stdout}


class Results:
    """What a sweep has measured.

    Attributes:
        data: the results file.
        measured: case id -> pytest-benchmark's entry.
        others: case id -> the outcome of what was not measured.
    """

    def __init__(self, data, output):
        self.data, self.output = data, output
        self.measured = {entry["name"].partition("[")[2][:-1]: entry for entry in data["benchmarks"]}
        self.others = {entry["id"]: entry for entry in data["outcomes"] if entry["id"] not in self.measured}

    def median(self, case_id):
        """Seconds of a step."""
        return self.measured[case_id]["stats"]["median"]

    def info(self, case_id):
        """The record."""
        return self.measured[case_id]["extra_info"]

    def rate(self, case_id):
        """What a micro-benchmark did a second."""
        return self.info(case_id)["work"]["amount"] / self.median(case_id)


@pytest.fixture(scope="module")
def own_ceilings(tmp_path_factory):
    """What a machine was seen to do is kept by its fingerprint, and other modules' simulated machines have the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def simulator(request, tmp_path_factory):
    if device.compiler() is None:
        pytest.skip("the simulated accelerator needs a C++ compiler (g++ or clang++, or CXX naming one)")
    shared = folder_of_all(tmp_path_factory)
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("simulated") if cache else shared
    of_torch = Path(importlib.util.find_spec("torch").origin).parent
    device.library(of_torch, folder)  # here, where no test's time limit counts
    return Simulator(folder, shared)
