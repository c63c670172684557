"""The suite `hardware`, all of it, on a small, slow device and on a large, fast one: it finds what was set.

The host's time is virtual, and memory has no content (`hollow`): a product of 16384 x 16384 costs nothing but its name.
"""

import json
import math

import pytest

from bench.records.findings import findings
from reports.results import frames
from suites.micro import Micro

SMALL = {
    "fp32": 1e11, "half": 4e11, "bandwidth": 2e10, "link": 5e9, "latency": 1e-4, "memory": 2**30, "launch": 1e-5,
    "synchronise": 3e-5, "depth": 1000, "streams": 0, "hollow": 4096,
}  # fmt: skip
"""100 GFLOP/s and 1 GiB; its streams work one after the other."""
LARGE = SMALL | {
    "fp32": 6e13, "half": 4.8e14, "bandwidth": 2e12, "link": 5e10, "memory": 80 * 2**30, "launch": 5e-6, "depth": 700,
    "streams": 1,
}  # fmt: skip
"""60 TFLOP/s and 80 GiB."""
DEVICES = {"sim:0": SMALL, "sim:1": LARGE}
PAGEABLE = 0.5
"""The share of the link that memory reaches which is not pinned (device.cpp)."""


class Formula:
    """What a micro-benchmark takes on a device, in seconds a step, by what was set."""

    def __init__(self, truth):
        self.truth = truth

    def launched(self, flops, octets, peak="fp32"):
        """An operator that the host need not wait for."""
        return max(flops / self.truth[peak], octets / self.truth["bandwidth"]) + self.truth["latency"]

    def seconds(self, case):
        return getattr(self, case.operation)(case)

    def matmul(self, case):
        rows, inner, columns = case.size
        width = 4 if case.precision == "fp32" else 2
        octets = width * (rows * inner + inner * columns + rows * columns)
        return self.launched(2 * math.prod(case.size), octets, "fp32" if width == 4 else "half")

    def convolution(self, case):
        images, channels, pixels = case.size
        side, width = int(case.variant[1]), 4 if case.precision == "fp32" else 2
        octets = width * (2 * images * channels * pixels**2 + channels**2 * side**2)
        flops = 2 * images * (channels * side * pixels) ** 2
        return self.launched(flops, octets, "fp32" if width == 4 else "half")

    def copy(self, case):
        return self.launched(0, 2 * case.size[0])

    def triad(self, case):
        return self.launched(0, 3 * case.size[0])

    def dispatch(self, case):
        return self.launched(0, 12 * case.size[0])

    def cache(self, case):
        return self.launched(0, case.size[0])

    def transfer(self, case):
        if case.variant == "d2d":
            return self.launched(0, 2 * case.size[0])
        pageable = case.variant.endswith("pageable")
        share, waited = (PAGEABLE, self.truth["launch"]) if pageable else (1, 0)  # the host waits for its end
        return case.size[0] / (self.truth["link"] * share) + self.truth["latency"] + waited

    def launch(self, case):
        waited = self.launched(0, 8 * case.size[0]) + self.truth["synchronise"]
        return self.truth["launch"] + (waited if case.variant == "synchronise" else 0)

    def queue(self, case):
        """Of a launch: each waits until there is room, and its kernel for the one before."""
        side, launches = case.size
        kernel, depth = self.launched(2 * side**3, 12 * side**2), self.truth["depth"]
        host, ends = 0.0, []
        for number in range(launches):
            host = max(host, ends[number - depth] if number >= depth else 0.0) + self.truth["launch"]
            ends.append(max(host, ends[-1] if ends else 0.0) + kernel)
        return host / launches

    def overlap(self, case):
        side, octets = case.size
        compute, copy = self.launched(2 * side**3, 12 * side**2), octets / self.truth["link"] + self.truth["latency"]
        together = max if self.truth["streams"] else lambda *seconds: sum(seconds)
        return {
            "compute": compute, "copy": copy, "both": together(compute, copy), "products": together(compute, compute),
        }[case.variant]  # fmt: skip


OPERATIONS = [name for name in vars(Formula) if name not in {"launched", "seconds"} and not name.startswith("_")]


@pytest.fixture(scope="module")
def swept(simulator, own_ceilings):
    return simulator.sweep("hardware", "hardware", SMALL, LARGE, options=["--axis", "device=sim"], clock="virtual")


@pytest.fixture(scope="module")
def found(swept, tmp_path_factory):
    """(operation, device) -> figures of its finding."""
    path = tmp_path_factory.mktemp("results") / "results.json"
    path.write_text(json.dumps(swept.data))
    return {tuple(each.subject.split()): each.figures for each in findings(frames.results(path).records, {})}


def of(swept, operation, device):
    """The measured cases of an operation."""
    cases = [Micro.from_json(entry["extra_info"]["case"]) for entry in swept.measured.values()]
    return [case for case in cases if (case.operation, case.device) == (operation, device)]


def seconds(swept, case):
    """Of a step; of a launch, where that is what was asked."""
    info = swept.info(case.id)
    return swept.median(case.id) / (info["work"]["amount"] if info["work"]["metric"] == "seconds" else 1)


def test_it_ends_with_a_figure_or_a_reason_for_everything(swept):
    assert {outcome["status"] for outcome in swept.others.values()} == {"skipped"}
    reasons = {case: outcome["reason"] for case, outcome in swept.others.items()}
    assert [case for case, reason in reasons.items() if "ran out of" in reason] == []
    no_library = "torch has no library that adds up tensors of sim over processes"
    assert {
        "scaling-lenet-2x16-fp32-sim:0-t1": no_library,
        "all_reduce-2x4096-fp32-sim:0-t1": no_library,
        "all_reduce-2x4096-fp32-sim:1-t1": "ranks take sim:0 and those after it: measured once, as sim:0's",
        "all_reduce-4x4096-fp32-sim:0-t1": "4 processes of 1 threads asked for, but there is room for 2",
    }.items() <= reasons.items()
    compiled = {reason for case, reason in reasons.items() if case.startswith("fusion")}
    assert compiled == {"torch.compile's own backend, inductor, generates no code for sim"}


@pytest.mark.parametrize(("device", "side", "octets"), [("sim:0", 2048, 2**27), ("sim:1", 16384, 2**32)])
def test_sizes_follow_the_device(swept, device, side, octets):
    """As large as an eighth of its memory, and as end within a quarter of a second."""
    assert max(case.size for case in of(swept, "matmul", device)) == (side,) * 3
    assert max(case.size for case in of(swept, "copy", device)) == (octets,)
    assert max(seconds(swept, case) for case in of(swept, "matmul", device)) < 0.25


def test_the_hosts_threads_are_not_swept_on_a_device(swept):
    assert len({case.threads for case in of(swept, "copy", "sim:0")}) == 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_size_takes_what_the_formula_says(swept, operation, device):
    """Peaks, bandwidth, launches, curves of transfers, a queue before and after it is full, overlap."""
    formula, cases = Formula(DEVICES[device]), of(swept, operation, device)
    assert len(cases) >= 4
    expected = {case.id: formula.seconds(case) for case in cases}
    assert {case.id: seconds(swept, case) for case in cases} == pytest.approx(expected, rel=0.002)


@pytest.mark.parametrize(("device", "truth"), DEVICES.items())
def test_the_findings_are_what_was_set(found, device, truth):
    best = {precision: figures["flops_per_second"] for precision, figures in found["matmul", device].items()}
    assert best == pytest.approx({"fp32": truth["fp32"], "bf16": truth["half"], "fp16": truth["half"]}, rel=0.01)
    launch = found["launch", device]
    assert launch["enqueue_seconds"] == pytest.approx(truth["launch"], rel=0.002)
    of_one = truth["latency"] + 8 / truth["bandwidth"]
    waiting = launch["synchronise_seconds"] - launch["enqueue_seconds"] - of_one
    assert waiting == pytest.approx(truth["synchronise"], rel=0.002)
    assert found["queue", device]["launches"] == pytest.approx(truth["depth"], abs=1)
    for variant, figures in found["transfer", device].items():
        if variant[:3] in {"h2d", "d2h"}:
            share = PAGEABLE if variant.endswith("pageable") else 1
            assert figures["bytes_per_second"] == pytest.approx(truth["link"] * share, rel=0.03)
            least = truth["latency"] + (truth["launch"] if share == PAGEABLE else 0)  # waited for, then launched
            assert figures["least_seconds"] == pytest.approx(least, rel=0.002)


def test_what_runs_beside_is_hidden_where_the_device_can(found):
    assert found["overlap", "sim:0"]["hidden"] == pytest.approx(0, abs=1e-3)
    assert found["overlap", "sim:1"]["hidden"] == pytest.approx(1, abs=1e-3)
    assert [found["overlap", device]["hidden_product"] for device in DEVICES] == pytest.approx([0, 1], abs=1e-3)


@pytest.mark.parametrize(("device", "peer"), [("sim:0", "sim:1"), ("sim:1", "sim:0")])
def test_a_copy_goes_to_the_next_device(swept, device, peer):
    details = [swept.info(case.id)["details"] for case in of(swept, "transfer", device) if case.variant == "peer"]
    assert details
    assert all(each == {"peer": peer, "peer_access": None} for each in details)


def test_what_a_cache_was_flushed_by_is_told(swept):
    """No cache is known: a quarter of the memory, or what would flush the largest that there is."""
    for device, octets in (("sim:0", 2**28), ("sim:1", 2**29)):
        details = {case.variant: swept.info(case.id)["details"] for case in of(swept, "cache", device)}
        assert details == {
            "warm": {"cache_bytes": None, "flushed_by_bytes": 0},
            "flushed": {"cache_bytes": None, "flushed_by_bytes": octets},
        }
