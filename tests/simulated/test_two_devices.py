"""dlhw as a person with two devices has it: what is killed or interrupted is gone on with, nothing lost or doubled."""

import itertools
import json
import signal
import sys
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.simulated.conftest import Results
from tests.simulated.device import COLLECTIVE
from tests.support.runner import BRIEF, Runner
from tests.support.waiting import until

TRUTH = {"fp32": 1e9, "bandwidth": 1e9, "link": 2.5e8, "latency": 2e-5}
TWICE = {name: 2 * value for name, value in TRUTH.items()} | {"latency": 1e-5}
NETS = """
import os, signal, time
from pathlib import Path
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, happens=lambda: None):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(256, 200), nn.Linear(200, 100))
        self.happens, self.first = happens, True

    def forward(self, x):
        if torch.is_inference_mode_enabled() and self.first:  # only in the measuring process, and once
            self.first = False
            self.happens()
        return self.layers(x)


def number_of(name):
    with Path(name).open("a") as file:
        file.write(".")
        return file.tell()


def controller():
    pid = os.getpid()
    while b"\\0pytest\\0" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def once(name, number, ending):
    def happens():
        if number_of(name) == number:
            os.kill(controller(), ending)
            time.sleep(120)

    return happens


def killed_on_the_second():
    if torch.accelerator.current_device_index() == 1:
        os.kill(os.getpid(), signal.SIGKILL)


steady = last = Net
killed = lambda: Net(killed_on_the_second)
fatal = lambda: Net(once("fatal", 2, signal.SIGKILL))
interrupted = lambda: Net(once("interrupted", 1, signal.SIGINT))
"""
BLOCKS = {"steady": '["sim:0", "sim:1"]', "killed": '["sim:0", "sim:1"]', "fatal": '"sim:1"', "interrupted": '"sim:0"',
          "last": '"sim:1"'}  # fmt: skip
OCTETS = 2**20
SUITE = f"""{BRIEF}
[[micro]]
operation = "all_reduce"
size = "2x{OCTETS}"
device = "sim:0"
threads = 1

[[micro]]
operation = "scaling"
variant = "lenet"
size = "2x4"
device = "sim:0"
threads = 1
""" + "".join(f"""
[[sweep]]
architecture = "mine:{name}"
mode = "inference"
batch_size = 4
device = {devices}
threads = 1
measure.launches = {2 if name == "fatal" else 1}

[architectures."mine:{name}"]
input_shape = [1, 16, 16]
""" for name, devices in BLOCKS.items())  # fmt: skip


class Person(Runner):
    """Types `dlhw` in a folder, on a machine that has two devices."""

    def __init__(self, folder, environment):
        super().__init__(folder)
        self._environment = environment

    def command(self, *arguments, suite=None):
        return [sys.executable, "-P", "-m", "dlhw", *map(str, arguments)]

    @property
    def environment(self):
        return super().environment | self._environment


def case(name, device):
    return f"mine:{name}@1x16x16-inference-b4-fp32-contiguous-eager-sim:{device}-t1"


@pytest.fixture(scope="module")
def person(simulator, tmp_path_factory):
    return Person(tmp_path_factory.mktemp("person"), simulator.environment(TRUTH, TWICE) | {COLLECTIVE: "1"})


@pytest.fixture(scope="module")
def runs(person):
    """Three runs, of which the first is killed and the second interrupted, and the results that the last one writes."""
    (person.folder / "mine.py").write_text(NETS)
    (person.folder / "suite.toml").write_text(SUITE)
    arguments = ["run", "--suite", "suite.toml", "--benchmark-json", "results.json"]
    found = []
    for more in ((), ("--resume",), ("--resume",)):
        done = person.run(*arguments, *more)
        until(lambda: person.processes() == {})
        found.append(Run(done.returncode, done.stdout, *journal(person.folder)))
    return found, Results(json.loads((person.folder / "results.json").read_text()), found[-1].output)


@dataclass(frozen=True)
class Run:
    """How it ended, and what the journal then holds: ids in its order."""

    code: int
    output: str
    launches: list[str]
    records: list[str]


def journal(folder):
    lines = [json.loads(line) for line in (folder / "results.journal.jsonl").read_text().splitlines()]
    return [[line["record"]["id"] for line in lines if line["kind"] == kind] for kind in ("launch", "record")]


CRASHED = case("killed", 1)
CASES = [*(case(name, device) for name in ("steady", "killed") for device in (0, 1)), case("fatal", 1),
         case("interrupted", 0), case("last", 1)]  # fmt: skip
RANKS = [f"all_reduce-2x{OCTETS}-fp32-sim:0-t1", "scaling-lenet-2x4-fp32-sim:0-t1"]


def test_each_run_ends_as_it_is_ended(runs):
    found, _ = runs
    assert [run.code for run in found] == [-signal.SIGKILL, 2, 1], "the last one for the case that crashes"
    assert (
        "ended early; the rest: dlhw run --suite suite.toml --benchmark-json results.json --resume" in found[1].output
    )


def test_nothing_is_lost_and_nothing_doubled(runs):
    found, results = runs
    for before, after in itertools.pairwise(found):
        assert after.records[: len(before.records)] == before.records
        assert after.launches[: len(before.launches)] == before.launches
    counts = Counter(found[-1].records)
    assert counts == dict.fromkeys([*RANKS, *CASES], 1) | {CRASHED: 3}, "what crashed is tried again"
    assert results.measured.keys() == {*RANKS, *CASES} - {CRASHED}
    assert len(results.data["benchmarks"]) == len(results.measured)
    assert results.others.keys() == {CRASHED}


def test_a_worker_that_is_killed_costs_its_case_on_its_device(runs):
    _, results = runs
    assert results.others[CRASHED]["status"] == "crashed"
    assert results.others[CRASHED]["reason"].startswith("killed by SIGKILL while checking")
    assert case("killed", 0) in results.measured


def test_the_launch_before_the_kill_is_one_of_two(runs):
    found, results = runs
    assert [run.launches for run in found] == [[case("fatal", 1)]] * 3
    assert len(results.info(case("fatal", 1))["sampling"]["launches"]) == 2


@pytest.mark.parametrize("id_", [each for each in CASES if each != CRASHED])
def test_times_are_the_formulas_in_whichever_run_they_were_measured(runs, id_):
    _, results = runs
    truth = TRUTH if "sim:0" in id_ else TWICE
    octets = [4 * (4 * wide + wide * narrow + narrow + 4 * narrow) for wide, narrow in ((256, 200), (200, 100))]
    step = sum(max(2 * 4 * wide * narrow / truth["fp32"], each / truth["bandwidth"]) + truth["latency"]
               for (wide, narrow), each in zip(((256, 200), (200, 100)), octets, strict=True))  # fmt: skip
    assert results.median(id_) == pytest.approx(step, rel=0.01)


def test_ranks_are_forked_before_any_touches_a_device(runs):
    """A process that has a device cannot hand it on: each rank takes its own, whose memory is copied to and fro."""
    _, results = runs
    assert results.median(RANKS[0]) > 2 * OCTETS / (TRUTH["link"] / 2)
    assert results.info(RANKS[0])["work"]["amount"] == OCTETS


def test_ranks_train_each_on_its_device(runs):
    _, results = runs
    assert results.info(RANKS[1])["details"] == {"backend": "cpu:gloo,sim:hostcopies"}
    assert results.info(RANKS[1])["work"] == {"metric": "images_per_second", "amount": 8}
