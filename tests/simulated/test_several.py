"""Several devices: each is measured on its own, and one that fails costs itself alone, with its reason."""

import pytest

ONE = """
[[sweep]]
architecture = "lenet"
mode = "inference"
device = ["sim", "sim:1", "sim:2", "sim:3"]
threads = 1
"""
EACH = """
import json, os, torch
from unittest import mock
from bench.worker import environment, probe
from bench.worker.events import Events
from bench.worker.timing.clock import clock_for

torch.accelerator.set_device_index(0)
found = []
for name in ("sim:1", "sim:0", "sim:2"):
    left, right = torch.randn(2, 64, 64, device=name)
    found.append(clock_for(name).samples(lambda: left @ right, 1, 3))
left, right = torch.randn(2, 256, 256, device="sim:1")
with mock.patch.object(probe, "_workloads", return_value={"product": lambda: left @ right}):
    compared = probe.instrument(Events(os.open(os.devnull, os.O_WRONLY)), "sim:1", 2)
quiet = Events(os.open(os.devnull, os.O_WRONLY))
print(json.dumps([found, compared["product"], environment.devices(), probe.known_allocation(quiet, "sim:1")]))
"""


@pytest.fixture(scope="module")
def swept(simulator):
    devices = ({}, {"broken": "allocate"}, {"broken": "synchronise"}, {"broken": "describe"})
    return simulator.sweep("broken", ONE, *devices, clock="virtual")


def case(index):
    return f"lenet-inference-b1-fp32-contiguous-eager-sim:{index}-t1"


def test_the_device_that_works_is_measured(swept):
    assert set(swept.measured) == {case(0)}
    assert {id_: outcome["reason"] for id_, outcome in swept.others.items()} == {
        case(index): f"there is no device sim:{index} here (present: cpu, sim:0)" for index in (1, 2, 3)
    }


@pytest.mark.parametrize(
    "reason",
    ["sim:1 has no memory left that works", "sim:2 does not answer", "sim:3 does not say what it is"],
)
def test_what_is_wrong_with_the_others_is_told(swept, reason):
    assert reason in swept.output


@pytest.fixture(scope="module")
def each(simulator):
    """What the clocks of three devices tell of one product, both instruments of another on the second, and what is told
    of the devices, of which torch knows no properties, and the last of which has no memory.
    """
    devices = ({"fp32": 1e9, "broken": "bare"}, {"fp32": 2e9, "memory": 2**29}, {"fp32": 5e8}, {"broken": "allocate"})
    return simulator.measured(EACH, *devices, name="each")


def test_a_device_that_torch_cannot_describe_is_there(each):
    _, first, *_, last = each[2]
    assert (first["name"], first["model"], first["reason"]) == ("sim:0", None, None)
    assert last["reason"] == "sim:3 has no memory left that works"


def test_each_of_several_devices_is_measured_on_its_own(each):
    """Whichever device is current: torch's own events are recorded in its queue."""
    for seconds, peak in zip(each[0], (2e9, 1e9, 5e8), strict=True):
        assert seconds == pytest.approx([2 * 64**3 / peak + 2e-5] * 3, rel=1e-3)


def test_torchs_own_timer_waits_for_the_device_that_is_examined(each):
    _, compared, *_ = each
    assert compared["ours_seconds"] == pytest.approx([2 * 256**3 / 2e9 + 2e-5] * 2, rel=1e-3)
    assert min(compared["theirs_seconds"]) > 0.9 * min(compared["ours_seconds"])


def test_doctor_sees_a_known_allocation_to_the_byte(each):
    *_, known = each
    assert known == {"expected_bytes": 2**28, "seen_bytes": 2**28, "source": "torch's allocator"}
