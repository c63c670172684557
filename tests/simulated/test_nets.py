"""What bounds each of the seven nets, by `dlhw explain` and the page, on a device where the formula says what does.

The nets are computed, and checked against fp64; time is virtual.
"""

import json

import pytest

from reports.analysis import dataset
from reports.analysis.explain import explain
from suites.architectures import ARCHITECTURES

TRUTH = {"fp32": 1.5e11, "bandwidth": 1e10, "link": 1e10, "latency": 5e-5, "memory": 2**31}
BOUNDS = {
    "lenet": "overhead-bound", "lenet_bn": "overhead-bound", "alexnet": "bandwidth-bound", "vgg11": "compute-bound",
    "nin": "compute-bound", "googlenet": "overhead-bound", "resnet18": "bandwidth-bound",
}  # fmt: skip
SUITE = f"""
[[sweep]]
architecture = {list(BOUNDS)}
mode = "inference"
device = "sim:0"
threads = 1

[[micro]]
operation = "matmul"
size = "1024x1024x1024"
device = "sim:0"

[[micro]]
operation = "triad"
size = 33554432
device = "sim:0"

[[micro]]
operation = "dispatch"
size = 1
device = "sim:0"
"""
FORMULA = f"""
import json, torch
from suites.architectures import ARCHITECTURES, build

def launched(name):
    with torch.device("meta"):
        net = build(name)
    net = net.to_empty(device="sim:0").eval()
    images = torch.empty(1, *ARCHITECTURES[name].input_shape, device="sim:0")
    with torch.inference_mode(), torch.sim.operators() as operators:
        net(images)
    return operators

print(json.dumps({{name: launched(name) for name in {list(BOUNDS)}}}))
"""


@pytest.fixture(scope="module")
def results(simulator, own_ceilings, tmp_path_factory):
    swept = simulator.sweep("nets", SUITE, TRUTH, clock="virtual")
    assert swept.others == {}
    path = tmp_path_factory.mktemp("results") / "results.json"
    path.write_text(json.dumps(swept.data))
    return path


@pytest.fixture(scope="module")
def formula(simulator):
    """Net -> seconds of an image by arithmetic, by memory, by launches, each alone, and by all of its operators.

    As a device counts that computes nothing: it knows the operators' shapes, and no dlhw.
    """
    told = simulator.measured(FORMULA, TRUTH | {"hollow": 1}, name="launched", clock="virtual")
    return {
        net: {
            "compute": sum(flops for _, flops, _, _ in operators) / TRUTH["fp32"],
            "bandwidth": sum(octets for _, _, octets, _ in operators) / TRUTH["bandwidth"],
            "dispatch": len(operators) * TRUTH["latency"],
            "all": sum(
                max(flops / TRUTH["fp32"], octets / TRUTH["bandwidth"]) + TRUTH["latency"]
                for _, flops, octets, _ in operators
            ),
        }
        for net, operators in told.items()
    }


def case(net):
    return f"{net}-inference-b1-fp32-contiguous-eager-sim:0-t1"


def test_the_formula_has_nets_of_all_three_kinds(formula):
    """By what takes longest: the table above is no more than that."""
    kinds = {"compute": "compute-bound", "bandwidth": "bandwidth-bound", "dispatch": "overhead-bound"}
    assert {net: kinds[max(kinds, key=seconds.get)] for net, seconds in formula.items()} == BOUNDS
    assert set(BOUNDS) == set(ARCHITECTURES) - {"resnet18_inplace"}


@pytest.mark.parametrize("net", BOUNDS)
def test_explain_says_what_the_formula_says(results, formula, net):
    facts = explain([results], case(net)).facts
    assert facts["seconds"] == pytest.approx(formula[net]["all"], rel=0.001)
    bounds = {name: formula[net][name] for name in ("compute", "bandwidth", "dispatch")}
    assert facts["bounds"] == pytest.approx(bounds, rel=0.01)
    assert facts["bound"] == BOUNDS[net]


def test_the_page_has_the_class_and_the_share_of_the_roof(results, formula):
    cases = dataset.load([results], names={}, prices={}, reference=None).cases
    rows = {row["architecture"]: row for row in cases[cases["mode"] == "inference"].to_dict("records")}
    assert {net: rows[net]["bound"] for net in BOUNDS} == BOUNDS
    shares = {net: formula[net]["compute"] / formula[net]["all"] for net in BOUNDS}
    assert {net: rows[net]["share_of_ceiling"] for net in BOUNDS} == pytest.approx(shares, rel=0.01)
