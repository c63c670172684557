"""Tracers and profilers of the measuring process."""

import cProfile
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import torch

from bench.worker import tracing
from bench.worker.tracing import active_tracers
from tests.support.runner import ROOT

TRACED = """
import {module}
def look():
    from bench.worker.tracing import active_tracers
    print(active_tracers())
{call}
"""


class Callable:
    def __call__(self, *event):
        return None


def hook(*event):
    return None


def told(setter, value):
    before = {threading.settrace: threading.gettrace, threading.setprofile: threading.getprofile,
              sys.settrace: sys.gettrace, sys.setprofile: sys.getprofile}[setter]()  # fmt: skip
    setter(value)
    try:
        return active_tracers()
    finally:
        setter(before)


def test_a_process_that_nobody_watches_says_so():
    assert active_tracers() == []


@pytest.mark.parametrize(
    ("setter", "name"),
    [
        (sys.settrace, "sys.settrace"), (sys.setprofile, "sys.setprofile"),
        (threading.settrace, "threading.settrace"), (threading.setprofile, "threading.setprofile"),
    ],
)  # fmt: skip
def test_each_hook_is_told_with_its_owner(setter, name):
    assert told(setter, hook) == [f"{name} ({__name__}.hook)"]
    assert told(setter, Callable()) == [f"{name} ({__name__}.Callable)"]
    assert active_tracers() == []


@pytest.mark.parametrize(
    ("module", "call", "words"),
    [
        ("cProfile", "cProfile.Profile().runcall(look)", "sys.setprofile (cProfile.Profile)"),
        ("trace", "trace.Trace(count=0, trace=0, countfuncs=1).runfunc(look)", "sys.settrace (trace.Trace."),
    ],
)
def test_a_real_profiler_and_a_real_tracer_are_seen(module, call, words):
    if module == "cProfile" and sys.version_info >= (3, 12):
        words = "sys.monitoring (cProfile)"
    output = subprocess.run(
        [sys.executable, "-P", "-c", TRACED.format(module=module, call=call)], text=True, capture_output=True,
        env={"PATH": "", "PYTHONPATH": str(ROOT)}, check=True,
    ).stdout  # fmt: skip
    assert words in output


@pytest.mark.parametrize(
    ("tools", "found"),
    [
        ({}, []),
        ({1: ("coverage", 8)}, ["sys.monitoring (coverage)"]),
        ({0: ("debugpy", 0)}, []),  # there, but asks for nothing
        ({0: ("debugpy", 1), 2: ("Profiler", 2)}, ["sys.monitoring (debugpy)", "sys.monitoring (Profiler)"]),
    ],
)
def test_tools_of_monitoring_are_told_where_they_listen(tools, found):
    monitoring = SimpleNamespace(
        get_tool=lambda tool: tools.get(tool, (None, 0))[0], get_events=lambda tool: tools[tool][1]
    )
    assert tracing._monitoring(monitoring) == found


def test_torchs_own_profiler_is_told():
    with torch.autograd.profiler.profile():
        assert active_tracers() == ["torch.profiler"]


def test_a_profiler_that_has_been_switched_off_is_none():
    profile = cProfile.Profile()
    profile.enable()
    profile.disable()
    assert active_tracers() == []
