"""What is measured in a pair: controls chosen by the coin, all requests in an order of each pair's own."""

import random
from dataclasses import replace

import pytest

from bench.gate.session import PairedSession, PairRequest, controls
from bench.machine import nvml
from bench.machine.nvml import Reading
from bench.records.pair import Pair
from tests.support.samples import LENET

CASES = [replace(LENET, batch_size=2**n) for n in range(8)]


def test_four_cases_are_held_against_themselves_and_two_are_slowed():
    found = controls(CASES, 0.05, random.Random(1))
    assert [(request.control, request.injected) for request in found] == [("negative", 0.0)] * 4 + [
        ("positive", 0.05)
    ] * 2
    assert len({request.case for request in found[:4]}) == 4
    assert found == controls(CASES, 0.05, random.Random(1))
    assert found != controls(CASES, 0.05, random.Random(2))


@pytest.mark.parametrize(("count", "wanted"), [(1, 2), (3, 5), (0, 0)])
def test_of_few_cases_all_are_controls(count, wanted):
    assert len(controls(CASES[:count], 0.05, random.Random(1))) == wanted


class Scripted(PairedSession):
    """A session whose processes die when they are told to; `trios` counts how often they were started."""

    def __init__(self, deaths):
        self.deaths, self.trios = set(deaths), []

    def _processes(self, coin, *, twin):
        self.trios.append(twin)
        process = type("SideProcess", (), {"alive": True})()
        context = type("Context", (), {"__enter__": lambda _: [process], "__exit__": lambda *_: None})
        return context()

    def _measure_pair(self, processes, each, coin):
        processes[0].alive = each.case not in self.deaths
        return Pair()


def test_a_death_costs_its_case_alone():
    session = Scripted(CASES[2:4])
    requests = [PairRequest(case) for case in CASES]
    found = list(session.pair(requests, random.Random(1)))
    assert sorted((request.case.batch_size for request, _, _ in found)) == [case.batch_size for case in CASES]
    assert len(session.trios) in {2, 3}  # fresh processes after each death, unless it was the last request's
    assert not any(session.trios)


def test_the_twin_is_there_for_controls_alone():
    session = Scripted(())
    list(session.pair([PairRequest(CASES[0]), PairRequest(CASES[1], "negative")], random.Random(1)))
    assert session.trios == [True]


def test_each_pair_has_an_order_of_its_own():
    requests = [PairRequest(case) for case in CASES]
    orders = {
        tuple(request.case for request, _, _ in Scripted(()).pair(requests, random.Random(seed))) for seed in range(5)
    }
    assert len(orders) == 5
    assert requests == [PairRequest(case) for case in CASES]


class Gpu:
    def state(self):
        result = {"sm_clock_hertz": Reading(1.98e9), "slowdowns": Reading(["power cap"])}
        return {**result, "power_watts": Reading(reason="not supported")}


@pytest.mark.parametrize(
    ("device", "found"),
    [
        ("cpu", {}),
        ("cuda:0", {"sm_clock_hertz": 1.98e9, "slowdowns": ["power cap"]}),
        ("cuda:1", {}),  # its driver does not know it
        ("xpu:0", {}),  # without a uuid there is nobody to ask
    ],
)
def test_an_accelerators_clock_is_read_beside_each_slice(monkeypatch, device, found):
    known = {"GPU-0": Reading(Gpu())}
    monkeypatch.setattr(nvml, "gpu_of", lambda uuid: known.get(uuid, Reading(reason="no such GPU")))
    session = PairedSession.__new__(PairedSession)
    uuids = (("cpu", None), ("cuda:0", "GPU-0"), ("cuda:1", "GPU-1"), ("xpu:0", None))
    session.environments = ({"devices": [{"name": name, "uuid": uuid} for name, uuid in uuids]},)
    assert session._state(device) == found
