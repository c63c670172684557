"""`dlhw selftest` for real on the CPU, its file, and what happens when it is cut off."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from bench.controller.launcher import Launcher
from bench.controller.process import Reply, Worker
from bench.doctor.diagnostics import Diagnostic
from bench.machine.nvml import Reading
from bench.selftest import cli, flow, judge, quick, steps
from bench.selftest.report import Report
from bench.worker import selftest
from bench.worker.events import Events
from suites.axes import Machine
from suites.case import Case
from suites.errors import DlhwError
from tests.support.runner import ROOT

PRECISIONS = ("fp32", "bf16", "fp16", "amp_bf16", "amp_fp16")
AMX = torch.cpu._is_amx_tile_supported() if hasattr(torch.cpu, "_is_amx_tile_supported") else False
COMMAND = [sys.executable, "-P", "-c", "from reports.cli import main; main()", "selftest"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The checks of the CPU, the report's path, and the steps that were told."""
    path, told = tmp_path_factory.mktemp("selftest") / "found.json", []
    with pytest.MonkeyPatch.context() as patch:
        stub = Diagnostic(name="stub", value="doctor has tests of its own")
        patch.setattr(flow, "examine", lambda begin, devices: [stub])
        patch.setattr(quick, "SUITE", "smoke")
        patch.setattr(quick.run, "__defaults__", (0.0,))
        patch.setattr(steps, "TURNS", 6)
        found = list(flow.checks(Report(path), ["cpu"], lambda *step: told.append(step), quickly=True))
    return {check.name: check for check in found}, path, told


def test_the_cpu_is_checked_for_real(made):
    found, _, _ = made
    passed = {name for name, check in found.items() if check.verdict == "pass"}
    assert passed >= {
        "device", "doctor", *(f"precision {name}" for name in PRECISIONS), "memory", "channels_last", "out of memory",
        "compile", "quick",
    }  # fmt: skip
    assert [found[name].verdict for name in ("precision tf32", "NVML by UUID")] == ["not here"] * 2
    seconds = found["agreement"].facts["seconds"]
    assert {name: len(each) for name, each in seconds.items()} == {"dlhw": 6, "torch.utils.benchmark": 6}
    assert found["compile"].facts["compile"]["graphs"] >= 1


def test_the_file_holds_all_of_it_before_the_end(made):
    found, path, _ = made
    document = json.loads(path.read_text())
    assert [check["name"] for check in document["checks"]] == [*found]
    assert document["ended"] == "running"
    assert document["environment"]["torch"]["version"] == torch.__version__
    assert str(ROOT) not in path.read_text()
    (record,) = document["quick"]["records"]
    assert record["outcome"]["status"] == "measured"
    assert record["seconds"]


def test_every_step_is_told_with_its_time_and_the_rest(made):
    _, _, told = made
    assert told[0] == ("", "starting torch", flow.START_SECONDS, None)
    _, names, seconds, left = zip(*told[1:], strict=True)
    assert names[0] == "doctor on the machine"
    assert names[-2] == "quick on all"
    assert Case.parse(names[-1]).device == "cpu"
    assert left[0] == pytest.approx(sum(seconds[:-1]))
    assert min(left[:-1]) > 0


@pytest.fixture(scope="module")
def place():
    with Worker() as worker:
        machine = Machine(devices=("cpu",), threads=1)
        yield steps.Place(worker, Launcher(worker), machine, {"name": "cpu", "memory_bytes": 2**30})


@pytest.mark.parametrize("make", [steps._agreement, steps._memory, steps._out_of_memory, steps._precisions])
def test_a_probe_that_fails_fails_its_line_alone(place, make):
    nowhere = steps.Place(
        place.worker, place.launcher, Machine(devices=("nowhere:0",), threads=1), {"name": "nowhere:0"}
    )
    found = [check for check in make(nowhere) if check.name != "precision tf32"]
    assert {check.verdict for check in found} == {"fail"}
    assert all("nowhere" in check.text for check in found)


def test_a_step_that_cannot_be_made_is_a_failed_check():
    def run():
        raise DlhwError("the measuring process did not start")
        yield

    (found,) = flow._guarded(steps.Step("memory on cpu", 1.0, run))
    assert (found.name, found.device, found.verdict) == ("memory", "cpu", "fail")


@pytest.mark.skipif(not AMX, reason="needs a CPU that multiplies fp32 in bf16 where it is let: one with AMX")
def test_a_precision_left_on_is_found_on_the_cpu(monkeypatch, tmp_path):
    backend = torch.backends.mkldnn.matmul
    before = backend.fp32_precision

    def left_on(name):
        backend.fp32_precision = "bf16"

    monkeypatch.setattr(selftest.workload, "set_precision", left_on)
    try:
        with (tmp_path / "events").open("w") as file:
            errors = selftest.precisions(Events(file.fileno()), "cpu", ["fp32"])
    finally:
        backend.fp32_precision = before
    found = judge.precision("fp32", "cpu", errors["fp32"])
    assert (found.verdict, found.text.rpartition(": ")[2]) == ("fail", "product computed otherwise")


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ([], ["cpu", "cuda:0", "cuda:1"]), (["cuda"], ["cuda:0", "cuda:1"]), (["cpu", "cpu"], ["cpu"]),
        (["cuda:1", "all"], ["cuda:1", "cpu", "cuda:0"]),
    ],
)  # fmt: skip
def test_devices_are_chosen_by_name_or_kind(wanted, names):
    assert flow.chosen(wanted, ["cpu", "cuda:0", "cuda:1"], ENVIRONMENT) == names


def test_a_device_that_is_not_there_is_a_mistake():
    with pytest.raises(DlhwError, match="--device cuda:0: there is no such device; present: cpu"):
        flow.chosen(["cuda"], ["cpu"], ENVIRONMENT)


ENVIRONMENT = {"host": {"cores": 2}, "compile_problems": {}, "unknown_architectures": {}}


def test_all_nets_have_their_turn_before_any_has_two():
    ids = [f"{net}-inference-b{batch}-fp32-contiguous-eager-cpu-t1" for net in ("lenet", "nin") for batch in (1, 2, 4)]
    assert [(case.architecture, case.batch_size) for case in quick.spread(map(Case.parse, ids))] == [
        ("lenet", 1), ("nin", 1), ("lenet", 2), ("nin", 2), ("lenet", 4), ("nin", 4),
    ]  # fmt: skip


def test_the_memory_of_every_gpu_is_read_without_and_with():
    held = iter((100, 7, 612, 7))
    watch = steps.MemoryWatch({name: lambda: Reading(next(held)) for name in ("cuda:0", "cuda:1")})
    for phase in ("without", "with", "reporting"):
        watch.phase(phase)
        if phase != "reporting":
            watch.tick()
    assert watch.summary(None, None) == {"grown_bytes": {"cuda:0": 512, "cuda:1": 0}, "reason": ""}


class Gpu:
    """As `nvml.Gpu`, of a known memory in use."""

    def __init__(self, used, sliced=False):
        self.used, self.sliced = used, sliced

    def state(self):
        return {"memory_used_bytes": Reading(next(self.used))}


class Holding:
    """A measuring process that holds memory while it says so."""

    def request(self, operation, limit, watch, *, name, device, octets, seconds):
        for phase in ("without", "with"):
            watch.phase(phase)
            watch.tick()
        return Reply(
            result={"facts": {"held_bytes": octets}}, exit_code=0, timed_out=False, phase="", pid=1, output="",
            out_of_memory_kills=0, seconds=0.0,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("own", "other", "verdict"),
    [((0, steps.HELD_BYTES), (7, 7), "pass"), ((7, 7), (0, steps.HELD_BYTES), "fail")],
)
def test_a_handle_of_another_gpu_is_found(own, other, verdict, monkeypatch):
    gpus = {"GPU-0": Gpu(iter(own)), "GPU-1": Gpu(iter(other))}
    monkeypatch.setattr(steps.nvml, "gpu_of", lambda uuid: Reading(gpus[uuid]))
    devices = [{"name": "cuda:0", "uuid": "GPU-0"}, {"name": "cuda:1", "uuid": "GPU-1"}, {"name": "cpu", "uuid": None}]
    (found,) = steps._mapping(steps.Place(Holding(), None, None, devices[0], devices))
    assert found.verdict == verdict


def test_a_slice_of_a_gpu_has_no_memory_of_its_own_to_read(monkeypatch):
    monkeypatch.setattr(steps.nvml, "gpu_of", lambda uuid: Reading(Gpu(iter(()), sliced=True)))
    device = {"name": "cuda:0", "uuid": "GPU-0"}
    (found,) = steps._mapping(steps.Place(Holding(), None, None, device, [device]))
    assert (found.verdict, found.text) == ("not here", "a MIG slice: NVML counts the whole GPU's memory")


def test_a_driver_that_does_not_tell_has_its_reason():
    watch = steps.MemoryWatch({"cuda:0": lambda: Reading(reason="not supported")})
    assert watch.summary(None, None)["reason"] == "no reading"
    watch.phase("without")
    watch.tick()
    assert watch.summary(None, None) == {"grown_bytes": {}, "reason": "not supported"}


def test_a_file_that_cannot_be_written_names_its_option(tmp_path):
    with pytest.raises(DlhwError, match=r"-o .*/none/found\.json: cannot be written: No such file"):
        Report(tmp_path / "none" / "found.json").describe({})


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("not here", 0), ("fail", 1)])
def test_exit_code_and_lines_for_a_pipe(verdict, code, tmp_path, monkeypatch, capsys):
    line = judge.Check(name="memory", device="cpu", verdict=judge.Verdict(verdict), text="in figures")

    def checks(report, wanted, begin, *, quickly):
        assert (wanted, quickly) == (["cpu"], False)
        report.add(line)
        yield line

    monkeypatch.setattr(flow, "checks", checks)
    path = tmp_path / "found.json"
    with pytest.raises(cli.typer.Exit) as end:
        cli.selftest(["cpu"], path, quick=False)
    assert end.value.exit_code == code
    assert capsys.readouterr().out.splitlines()[0] == f"{verdict}\tcpu\tmemory\tin figures"
    assert json.loads(path.read_text())["ended"] == "complete"


def test_an_interruption_leaves_what_there_is(runner):
    path = runner.folder / "found.json"
    process = subprocess.Popen(
        [*COMMAND, "--device", "cpu", "--no-quick", "-o", str(path)], cwd=runner.folder, env=runner.environment,
        text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while process.stdout.readline().split("\t")[:2] != ["pass", "cpu"]:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what was found until now is in" in errors
    document = json.loads(path.read_text())
    assert document["ended"] == "interrupted"
    assert [check["name"] for check in document["checks"]] == ["device"]
    deadline = time.monotonic() + 30
    while runner.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert runner.processes() == {}
