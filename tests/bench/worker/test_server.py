"""The measuring process by itself: its protocol, its outcomes, and what a child is before it measures."""

import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.controller.launcher import preload_for
from bench.records.record import Check, Outcome, Status
from bench.worker import events, server
from bench.worker.events import Events
from bench.worker.nets import measure
from bench.worker.nets.correctness import Unsuitable
from bench.worker.server import Server, outcome_of
from suites import suite
from tests.support.runner import ROOT


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Unsuitable("no such size"), "skipped", "no such size"),
        (TimeoutError("a step takes 9 s"), "timeout", "a step takes 9 s"),
        (MemoryError(), "out_of_memory", "MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory", "CUDA out of memory."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 bytes"), "out_of_memory", "DefaultCPUAllocator:"),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), "out_of_memory", "DefaultCPUAllocator:"),
        (RuntimeError("std::bad_alloc"), "out_of_memory", "std::bad_alloc"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), "out_of_memory", "MPS backend out of memory"),
        (RuntimeError("Compilation failed\ncaused by: CUDA out of memory"), "out_of_memory", "Compilation failed"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `x`"),
            "out_of_memory",
            "CUDA error: CUBLAS",
        ),
        (RuntimeError("\"conv\" not implemented for 'Half'"), "skipped", 'torch cannot do this here: "conv" not'),
        (
            NotImplementedError("\"mm\" not implemented for 'BFloat16'"),
            "skipped",
            'torch cannot do this here: "mm" not',
        ),
        (
            RuntimeError("\"mm\" not implemented for 'Long'"),
            "failed",
            "RuntimeError: \"mm\" not implemented for 'Long'",
        ),
        (ValueError("first\nsecond"), "failed", "ValueError: first (test_server.py:"),
        (KeyError("weight"), "failed", "KeyError: 'weight' (test_server.py:"),
        (AssertionError(), "failed", "AssertionError: AssertionError (test_server.py:"),
        (StopIteration("  "), "failed", "StopIteration: StopIteration (test_server.py:"),
    ],
)
def test_each_kind_of_exception_is_an_outcome(error, status, reason):
    with pytest.raises(type(error)) as caught:
        raise error
    outcome = outcome_of(caught.value)
    assert outcome.status == status
    assert outcome.reason.startswith(reason)
    assert "\n" not in outcome.reason


def test_a_failure_names_the_line_that_raised():
    with pytest.raises(RuntimeError) as caught:
        nn.functional.conv2d(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 1, 1))
    line = caught.traceback[-1].lineno + 1
    assert outcome_of(caught.value).reason.endswith(f"({Path(__file__).name}:{line})")


def test_a_wrong_result_says_what_and_by_how_much():
    checked = Check(relative_error=0.0123, tolerance=1e-5, reference="gradients of fp64 eager, 4 images")
    assert measure._wrong(checked) == Outcome(
        Status.WRONG_RESULT, "gradients differ from fp64 by 0.012 of their size; rounding explains 1e-05"
    )


class Pipe:
    """A server that tells into a pipe, and what came out."""

    def __init__(self):
        self._read, write = os.pipe()
        self.events = Events(write)
        self.write = write

    def told(self):
        lines = os.read(self._read, 1 << 16).split(b"\n")
        return [json.loads(line) for line in lines if line]


@pytest.fixture
def pipe():
    return Pipe()


def test_phases_are_told_and_their_cost_is_kept(pipe, monkeypatch):
    readings = iter([1.0, 3.0, 10.0, 10.5])
    monkeypatch.setattr(events.time, "perf_counter", lambda: next(readings))
    with pipe.events.phase("building"):
        pass
    with pytest.raises(ValueError, match="no"), pipe.events.phase("building"):
        raise ValueError("no")
    assert pipe.events.cost == {"building": 2.5}
    assert pipe.told() == [{"event": "phase", "name": "building"}] * 2


def test_an_event_ends_the_line_that_a_killed_process_left(pipe):
    os.write(pipe.write, b'{"event": "result", "id')
    pipe.events.emit("exited", pid=7, status=-9)
    torn, whole, rest = os.read(pipe._read, 1 << 16).split(b"\n")
    assert torn == b'{"event": "result", "id'
    assert json.loads(whole) == {"event": "exited", "pid": 7, "status": -9}
    assert rest == b""


def test_an_exception_is_a_result(pipe, tmp_path, capfd):
    arguments = {
        "architecture": "alexnet", "input_shape": [1, 8, 8], "mode": "inference", "images": 1,
        "path": str(tmp_path / "0.pt"),
    }  # fmt: skip
    threads = torch.get_num_threads()
    Server(pipe.events).serve({"op": "prepare", "arguments": arguments})
    torch.set_num_threads(threads)
    started, phase, result = pipe.told()
    assert started == {"event": "started", "pid": os.getpid()}
    assert phase == {"event": "phase", "name": "preparing the check"}
    assert result["outcome"]["status"] == "skipped"
    assert result["outcome"]["reason"].startswith("alexnet does not take 1x8x8 images")
    assert "Traceback" in capfd.readouterr().err


class Ring:
    def __init__(self):
        self.itself = self


def test_garbage_is_collected_before_sampling_and_not_meanwhile():
    garbage = weakref.ref(Ring())
    with measure.no_garbage_collection():
        assert garbage() is None
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_line_is_read_no_further_than_its_end():
    read, write = os.pipe()
    os.write(write, b"first\nsec")
    assert server.read_line(read) == b"first\n"
    os.write(write, b"ond\nthird")
    os.close(write)
    assert server.read_line(read) == b"second\n"
    assert server.read_line(read) == b""


class Process:
    """`python -m bench.worker` as the controller starts it."""

    def __init__(self, scratch, *options):
        read, write = os.pipe()
        self.scratch = scratch
        self.popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.worker", "--results", str(write), "--scratch", str(scratch), *options],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(write,),
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{scratch.parent}", "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        os.close(write)
        self._lines = os.fdopen(read)

    def ask(self, operation, **arguments):
        self.popen.stdin.write(json.dumps({"op": operation, "arguments": arguments}).encode() + b"\n")
        self.popen.stdin.flush()

    def event(self):
        """The next event; None at the end."""
        return next((json.loads(line) for line in self._lines if line.strip()), None)

    def close(self):
        self.popen.kill()  # its child, if there is one, dies with it
        self.popen.wait()
        self.popen.stdin.close()
        self._lines.close()


NET = """
import json, os, sys
from pathlib import Path
from torch import nn


def net():
    facts = {"group": os.getpgid(0), "victim": Path("/proc/self/oom_score_adj").read_text().strip()}
    facts["compiler"] = "torch._inductor.compile_fx" in sys.modules
    Path("facts.json").write_text(json.dumps(facts))
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
"""


@pytest.fixture
def start(tmp_path):
    begun = []

    def start(*options):
        (tmp_path / "scratch").mkdir()
        (tmp_path / "facts.py").write_text(NET)
        begun.append(Process(tmp_path / "scratch", *options))
        return begun[-1]

    yield start
    for process in begun:
        process.close()


@pytest.mark.skipif(sys.platform != "linux", reason="templates are forked on Linux only")
def test_a_template_has_one_thread_serves_by_children_and_cleans_up(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    everything = tmp_path / "everything.toml"
    everything.write_text(
        '[[sweep]]\narchitecture = "torchvision:resnet18"\n[[micro]]\noperation = "copy"\nsize = 1024\n'
    )
    process = start("--fork", "--preload", *preload_for(suite.load(str(everything))))
    assert process.event() == {"event": "ready", "pid": process.popen.pid, "threads": 1}

    question = {"architecture": "facts:net", "input_shape": [1, 2, 2], "mode": "inference", "images": 1}
    children = []
    for number in range(2):
        process.ask("prepare", **question, path=str(process.scratch / "0.pt"))
        started, phase, result, exited = (process.event() for _ in range(4))
        assert [started["event"], phase["event"], result["event"]] == ["started", "phase", "result"]
        assert result["reference"]["parameters"] == 10
        assert exited == {"event": "exited", "pid": started["pid"], "status": 0}
        facts = json.loads((tmp_path / "facts.json").read_text())
        assert facts == {"group": started["pid"], "victim": "1000", "compiler": number > 0}
        children.append(started["pid"])
        process.ask("operate", case={}, budget={}, data_root=None, compiler_cache=str(tmp_path), once=True)
        assert [process.event()["event"] for _ in range(3)] == ["started", "result", "exited"]
        assert len(list(Path(f"/proc/{process.popen.pid}/task").iterdir())) == 1
    assert len({process.popen.pid, *children}) == 3

    process.ask("prepare", **question | {"architecture": "facts:missing"}, path=str(process.scratch / "1.pt"))
    events = [process.event() for _ in range(4)]
    assert events[2]["outcome"]["status"] == "failed"
    assert "module 'facts' has no attribute 'missing'" in events[2]["outcome"]["reason"]

    process.popen.stdin.close()
    assert process.event() is None
    assert process.popen.wait(60) == 0
    assert not process.scratch.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="templates are forked on Linux only")
def test_a_child_is_ended_when_the_controller_is_gone(start, tmp_path):
    (tmp_path / "hangs.py").write_text("import time\nnet = lambda: time.sleep(3600)\n")
    process = start("--fork")
    process.event()
    process.ask(
        "prepare", architecture="hangs:net", input_shape=[1, 2, 2], mode="inference", images=1,
        path=str(process.scratch / "0.pt"),
    )  # fmt: skip
    child = process.event()["pid"]
    process.event()
    process.popen.stdin.close()
    assert process.popen.wait(60) == 1
    assert process.event() is None, "the pipe ends when the last process that holds it does"
    assert not Path(f"/proc/{child}").exists()
    assert not process.scratch.exists()


def test_a_fresh_interpreter_serves_one_request_and_ends(start):
    process = start()
    assert process.event()["event"] == "ready"
    process.ask("describe", architectures=["lenet"])
    started, result = process.event(), process.event()
    assert started == {"event": "started", "pid": process.popen.pid}
    assert result["environment"]["unknown_architectures"] == {}
    assert Path(result["worker"]) == ROOT / "bench" / "worker" / "server.py"
    assert process.event() is None
    assert process.popen.wait(60) == 0
    assert process.scratch.exists()
