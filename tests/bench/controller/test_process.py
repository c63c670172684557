"""The controller's end: real cases in real processes, and the name of each way to end."""

import itertools
import json
import os
import shutil
import signal
import statistics
import sysconfig
import venv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.controller import work
from bench.controller.launcher import Launcher, outcome_of, preload_for
from bench.controller.process import Reply, Worker, _Events
from bench.records.record import Outcome, Status
from bench.records.summary import by_launch
from suites import suite
from suites.case import Budget, Case
from suites.errors import DlhwError
from tests.support.runner import ROOT
from tests.support.samples import LENET

BUDGET = Budget(
    precision=0.5, min_samples=3, min_seconds=0, max_seconds=0.02, warmup_seconds=0.02, time_limit_seconds=60
)
LIE = '{"event": "result", "outcome": {"status": "failed", "reason": "a lie"}}'
NETS = f"""
import os, signal, sys, time
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, act=lambda: None):
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.act = act

    def forward(self, x):
        if torch.is_inference_mode_enabled():  # only where it is measured, not where the check is made
            self.act()
        return self.linear(x.flatten(1))


def chatters():
    print("hello, I am", sys.prefix)
    print('''{LIE}''', flush=True)
    os.write(1, b'{{"event": "exited", "status": 1}}\\n' * 1000)
    os.write(2, b"last words\\n")


def tears():
    opened = [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2]
    results = next(one for one in opened if "pipe:" in os.path.realpath(f"/proc/self/fd/{{one}}"))
    os.write(results, b'{{"event": "result", "id": "torn')
    os.kill(os.getpid(), signal.SIGKILL)


def raises():
    raise RuntimeError("out of order")


fine = Net
chatty = lambda: Net(chatters)
torn = lambda: Net(tears)
failing = lambda: Net(raises)
slow = lambda: Net(lambda: time.sleep(3600))
exits = lambda: Net(lambda: os._exit(0))
aborts = lambda: Net(os.abort)
terminated = lambda: Net(lambda: os.kill(os.getpid(), signal.SIGTERM))
real_time = lambda: Net(lambda: os.kill(os.getpid(), signal.SIGRTMIN + 1))
dies_early = lambda: os.kill(os.getpid(), signal.SIGKILL)
"""


def own(name, **axes):
    defaults = {"mode": "inference", "batch_size": 1, "precision": "fp32", "memory_format": "contiguous"}
    return Case(
        architecture=f"launched:{name}", input_shape=(1, 2, 2), compile_mode="eager", device="cpu", threads=1,
        **defaults | axes,
    )  # fmt: skip


def lenet(**axes):
    defaults = {"mode": "training", "batch_size": 4, "precision": "fp32", "memory_format": "contiguous", "threads": 1}
    return Case(
        architecture="lenet", input_shape=(1, 28, 28), compile_mode="eager", device="cpu", **defaults | axes
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    (folder / "launched.py").write_text(NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        yield folder


@pytest.fixture(scope="module")
def new_worker(folder):
    """Makes workers that find the nets; ended with the module."""
    workers = []

    def new(**options):
        workers.append(Worker(**options))
        return workers[-1]

    yield new
    for worker in workers:
        worker.close()


@pytest.fixture(scope="module")
def worker(new_worker):
    return new_worker()


@pytest.fixture(scope="module")
def launcher(worker):
    return Launcher(worker)


def test_a_case_is_measured(launcher):
    record, output = launcher.measure(lenet(), BUDGET)
    assert record.outcome == Outcome(Status.MEASURED)
    assert record.id == lenet().id
    assert Case.from_json(record.case) == lenet()
    assert record.case["parameters"] == 61_706
    assert (record.flops.forward_per_image, record.flops.step) == (833_040, 4 * 2_263_920)
    assert len(record.seconds) == record.sampling.launches[0].samples >= 3
    assert min(record.seconds) > 0
    assert record.memory.parameter_bytes == 4 * 61_706
    assert record.memory.peak_host_bytes > record.memory.base_host_bytes > 0
    assert record.check.relative_error <= record.check.tolerance
    assert record.backends["cuda.matmul"] == "ieee"
    assert record.compile is None
    assert output == ""


def test_what_each_phase_cost_is_kept(launcher):
    record, _ = launcher.measure(lenet(), BUDGET)
    phases = ("building", "checking", "sampling")
    assert all(record.cost[phase] > 0 for phase in phases)
    assert sum(record.cost[phase] for phase in phases) < record.cost["process"] <= record.cost["total"]


def test_once_runs_and_does_not_measure(launcher):
    record, _ = launcher.measure(lenet(), BUDGET, once=True)
    assert record.outcome == Outcome(Status.SKIPPED, "ran once, was not measured")
    assert record.seconds == ()
    assert record.check.relative_error <= record.check.tolerance


def test_cases_of_a_net_share_one_reference(new_worker):
    worker = new_worker()
    launcher = Launcher(worker)
    for size, precision in ((4, "fp32"), (8, "fp32"), (12, "bf16")):
        assert launcher.measure(lenet(batch_size=size, precision=precision), BUDGET)[0].check
    assert sorted(path.name for path in worker.scratch.iterdir()) == ["0.pt", "0.pt.reference"]
    launcher.measure(lenet(mode="inference"), BUDGET)
    assert len(list(worker.scratch.iterdir())) == 4
    launcher.measure(own("fine"), BUDGET)
    assert len(list(worker.scratch.iterdir())) == 6


def test_channels_last_is_for_convolutions(launcher):
    record, _ = launcher.measure(own("fine", memory_format="channels_last"), BUDGET)
    assert record.outcome == Outcome(
        Status.SKIPPED, "launched:fine has no convolutions, which is all that channels_last is for"
    )


def test_chatter_does_not_reach_the_protocol_and_its_tail_is_kept(launcher):
    record, output = launcher.measure(own("chatty"), BUDGET)
    assert record.outcome == Outcome(Status.MEASURED)
    assert output.endswith("last words")
    assert len(output) <= 4000


@pytest.mark.parametrize(
    ("net", "status", "reason"),
    [
        ("aborts", "crashed", "killed by SIGABRT while checking; last words: "),
        ("terminated", "crashed", "killed by SIGTERM while checking; last words: it printed nothing"),
        ("real_time", "crashed", f"killed by signal {signal.SIGRTMIN + 1} while checking; last words: it printed noth"),
        ("torn", "crashed", "killed by SIGKILL while checking; last words: it printed nothing"),
        ("exits", "crashed", "ended with code 0 while checking; last words: it printed nothing"),
        ("failing", "failed", "RuntimeError: out of order (launched.py:"),
        ("dies_early", "crashed", "killed by SIGKILL while preparing the check; last words: it printed nothing"),
    ],
)
def test_each_way_to_end_is_named_and_the_template_goes_on(launcher, worker, net, status, reason):
    launcher.measure(own("fine"), BUDGET)
    template = worker.pid
    record, _ = launcher.measure(own(net), BUDGET)
    assert record.outcome.status == status
    assert record.outcome.reason.startswith(reason)
    assert launcher.measure(own("fine"), BUDGET)[0].outcome.status == "measured"
    assert worker.pid == template


def test_a_case_out_of_time_is_killed_and_the_template_goes_on(launcher, worker):
    launcher.measure(own("fine"), BUDGET)
    template = worker.pid
    record, _ = launcher.measure(own("slow"), BUDGET.model_copy(update={"time_limit_seconds": 2.0}))
    assert record.outcome == Outcome(Status.TIMEOUT, "no end after 2 s, while checking; killed")
    assert worker.pid == template
    assert launcher.measure(own("fine"), BUDGET)[0].outcome.status == "measured"


def test_a_fresh_interpreter_serves_each_request(new_worker):
    worker = new_worker(fork=False)
    launcher = Launcher(worker)
    assert launcher.measure(own("fine"), BUDGET)[0].outcome == Outcome(Status.MEASURED)
    first = worker.pid
    record, _ = launcher.measure(own("dies_early"), BUDGET)
    assert record.outcome.reason.startswith("killed by SIGKILL while preparing the check")
    assert worker.pid != first


def test_launches_are_fresh_interpreters_and_one_record(new_worker):
    template, fresh = new_worker(), new_worker(fork=False)
    launcher = Launcher(template, fresh)
    record, _ = launcher.measure(lenet(), BUDGET.model_copy(update={"launches": 3}))
    assert record.outcome == Outcome(Status.MEASURED)
    assert len(record.sampling.launches) == 3
    assert sum(launch.samples for launch in record.sampling.launches) == len(record.seconds)
    assert [launch.median_seconds for launch in record.sampling.launches] == [
        statistics.median(seconds) for seconds in by_launch(record)
    ]
    assert record.cost["process"] < record.cost["total"]
    assert fresh.pid not in {None, template.pid}


def test_a_launch_that_fails_fails_the_case_and_says_which(new_worker):
    launcher = Launcher(new_worker(), new_worker(fork=False))
    record, _ = launcher.measure(own("aborts"), BUDGET.model_copy(update={"launches": 3}))
    assert record.outcome.status == Status.CRASHED
    assert record.outcome.reason.startswith("launch 1 of 3: killed by SIGABRT while checking")
    assert record.seconds == ()


def test_once_is_one_launch(launcher):
    record, _ = launcher.measure(lenet(), BUDGET.model_copy(update={"launches": 3}), once=True)
    assert record.outcome == Outcome(Status.SKIPPED, "ran once, was not measured")


def test_another_interpreter_measures_with_another_bench(new_worker, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "ours.pth").write_text(sysconfig.get_path("purelib"))
    for package in ("bench", "suites"):
        shutil.copytree(ROOT / package, tmp_path / "other" / package, ignore=shutil.ignore_patterns("__pycache__"))
    worker = new_worker(python=str(environment / "bin" / "python"), root=tmp_path / "other")
    launcher = Launcher(worker)
    assert launcher.describe()["worker"] == str(tmp_path / "other" / "bench" / "worker" / "server.py")
    assert launcher.measure(own("fine"), BUDGET)[0].outcome == Outcome(Status.MEASURED)
    assert Path(f"/proc/{worker.pid}/cmdline").read_bytes().startswith(str(environment).encode())


def test_the_machine_is_described_by_the_measuring_process(launcher):
    found = launcher.describe(["lenet", "launched:missing"])
    assert found["worker"] == str(ROOT / "bench" / "worker" / "server.py")
    assert list(found["unknown_architectures"]) == ["launched:missing"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_worker_of_before_imports_own_nets_where_it_describes_the_machine(launcher, monkeypatch):
    asked, request = [], launcher._worker.request

    def older(operation, *limits, **arguments):
        asked.append((operation, arguments.get("architectures")))
        reply = request(operation, *limits, **arguments)
        return replace(reply, result={key: value for key, value in reply.result.items() if key != "operations"})

    monkeypatch.setattr(launcher._worker, "request", older)
    found = launcher.describe(["lenet", "launched:missing", "launched:fine"])
    assert asked == [("describe", ["lenet"]), ("describe", ["lenet", "launched:missing", "launched:fine"])]
    assert list(found["unknown_architectures"]) == ["launched:missing"]
    assert found["broken_architectures"] == {}


def test_a_worker_of_before_there_was_counting_is_not_asked(launcher):
    launcher.describe(["lenet"])
    told = launcher.count(LENET)
    assert (told["counts"]["operators"]["aten::convolution"], told["version"]) == (2, 2)
    assert told["source"] == str(ROOT / "suites" / "architectures" / "lenet.py")
    launcher._operations = frozenset()
    assert launcher.count(LENET)["outcome"]["reason"] == "its dlhw is of before there was counting"


def test_work_is_counted_of_nets_that_nobody_measures(worker):
    cases = [lenet(), lenet(batch_size=8), own("fine", batch_size=2), own("dies_early"), own("absent")]
    trained, twice, fine, dead, absent = (work.counts(worker, cases)[case.id] for case in cases)
    forward = 2 * (25 * 6 * 784 + 25 * 6 * 16 * 100 + 400 * 120 + 120 * 84 + 84 * 10)
    assert trained["flops"] == 4 * (3 * forward - 2 * 25 * 6 * 784), "no gradient of the images"
    assert trained["parameters"] == 61_706
    assert twice["flops"] == 2 * trained["flops"]
    assert twice["operators"] == trained["operators"] > 30
    assert trained["compulsory_bytes"] < trained["bytes"] < twice["bytes"] < 2 * trained["bytes"]
    assert (fine["flops"], fine["parameters"]) == (2 * 2 * 4 * 2, 4 * 2 + 2)
    assert dead["reason"].startswith("killed by SIGKILL while counting work")
    assert "absent" in absent["reason"]


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
def test_an_interpreter_that_does_not_start_is_one_clear_error(python):
    with Worker(python=python) as worker, pytest.raises(DlhwError, match=rf"\({python}\) did not start"):
        worker.request("describe", 60, architectures=[])


def test_closing_leaves_no_process_and_no_files(folder):
    with Worker() as worker:
        Launcher(worker).measure(own("fine"), BUDGET)
        template, scratch = worker.pid, worker.scratch
        assert os.getpgid(template) == template
        assert list(scratch.iterdir())
    assert worker.pid is None
    assert not scratch.exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(template, 0)


THREADED = """
import threading, time
from torch import nn
threading.Thread(target=time.sleep, args=(9999,)).start()
net = lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
"""


def test_a_thread_that_a_net_has_started_keeps_no_fresh_process_alive(new_worker, folder):
    (folder / "threaded.py").write_text(THREADED)
    launcher = Launcher(new_worker(), new_worker(fork=False))
    case = replace(own("fine"), architecture="threaded:net")
    record, _ = launcher.measure(case, BUDGET.model_copy(update={"launches": 2}))
    assert record.outcome == Outcome(Status.MEASURED)


def reply(**parts):
    return Reply(
        **{
            "result": None, "exit_code": None, "timed_out": False, "phase": "sampling", "pid": 7, "output": "",
            "out_of_memory_kills": 0, "seconds": 1.0,
        } | parts
    )  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "outcome"),
    [
        ({"exit_code": -9}, ("crashed", "killed by SIGKILL while sampling; last words: it printed nothing")),
        (
            {"exit_code": -9, "out_of_memory_kills": 1},
            ("out_of_memory", "killed by the kernel for want of memory, while sampling"),
        ),
        (
            {"exit_code": -11, "out_of_memory_kills": 1},
            ("crashed", "killed by SIGSEGV while sampling; last words: it printed nothing"),
        ),
        ({"exit_code": 3, "output": "one\ntwo"}, ("crashed", "ended with code 3 while sampling; last words: two")),
        ({}, ("crashed", "vanished while sampling; last words: it printed nothing")),
        ({"timed_out": True, "exit_code": -9}, ("timeout", "no end after 60 s, while sampling; killed")),
        (
            {"timed_out": True, "exit_code": -9, "out_of_memory_kills": 1},
            ("timeout", "no end after 60 s, while sampling; killed"),
        ),
        ({"result": {"outcome": {"status": "skipped", "reason": "why"}}}, ("skipped", "why")),
    ],
)
def test_an_end_without_a_record_has_its_outcome(parts, outcome):
    assert outcome_of(reply(**parts), 60) == Outcome(Status(outcome[0]), outcome[1])


STREAM = (
    b'\n{"event": "started", "pid": 7}\n\n{"event": "phase", "name": "a"}\n{"event": "res'
    b'\n{"event": "result", "x": 1}\n'
)


@given(st.sets(st.integers(0, len(STREAM))))
def test_events_are_the_same_however_the_pipe_cuts_them(cuts):
    events, bounds = _Events(), [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(bounds):
        events.take(STREAM[start:end])
    assert (events.pid, events.phase, events.result, events.ended) == (7, "a", {"x": 1}, False)


@pytest.mark.parametrize(
    ("architectures", "operation", "modules"),
    [
        (["lenet"], None, ()),
        (["lenet", "torchvision:resnet18"], None, ("torchvision",)),
        (["lenet"], "copy", ("bench.worker.micro.measure",)),
    ],
)
def test_what_a_template_imports_ahead(architectures, operation, modules, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        f"[[sweep]]\narchitecture = {architectures}\n"
        + (f"[[micro]]\noperation = {operation!r}\nsize = 1024\n" if operation else "")
    )
    assert preload_for(suite.load(str(path))) == modules
