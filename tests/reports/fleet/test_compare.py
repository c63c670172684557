"""Which node is not like the others, and how far nodes that share a suite may be from one another."""

import json
import math

import pytest

from bench.fleet.ledger import Attempt, End, Ledger
from reports.fleet import cli
from reports.fleet.compare import compare, family_of, machine_offsets, sentences, share_offsets
from reports.results import frames
from suites.case import Case
from tests.support.samples import ENVIRONMENT, measured, micro, results

NET = Case.parse("lenet-inference-b8-fp32-contiguous-eager-cpu-t2")


@pytest.mark.parametrize(
    ("case_id", "family"),
    [
        ("matmul-1024x1024x1024-fp32-cpu-t2", "arithmetic, cpu"),
        ("copy-67108864-fp32-cuda:1-t2", "memory bandwidth, cuda"),
        (NET.id, "nets, cpu"),
    ],
)
def test_families(case_id, family):
    assert family_of(case_id) == family


@pytest.fixture
def fleet(tmp_path):
    """A maker of a fleet's folder: node -> (factor on its nets' times, on its copies')."""

    def make(factors, **header):
        book = Ledger(tmp_path)
        book.begin({"arguments": [], **header})
        number = 0
        for node, (nets, copies) in factors.items():
            book.plan(node, {"environment": ENVIRONMENT, "cases": []})
            for block in ("anchor-begin", "anchor-end"):
                number += 1
                attempt = Attempt(number, block, node, node, End.DONE)
                book.started(attempt)
                copy = micro("copy-65536-fp32-cpu-t2", 1e9 / copies, metric="bytes_per_second")
                for record in (measured(NET, tuple(nets * s for s in (1.0, 1.1, 0.9, 1.0, 1.0, 1.0))), copy):
                    line = {"kind": "record", "node_id": "n", "record": record.to_json()}
                    book.keep(number, json.dumps(line))
                book.ended(attempt)
        book.close()
        return tmp_path

    return make


def spread(index):
    return 1 + 0.005 * math.sin(index)


def test_a_slow_node_is_named_with_what_is_slow_in_it(fleet):
    factors = {f"n{i:02}": (spread(i), spread(3 * i)) for i in range(15)} | {"slow": (1.0, 1.12)}
    found = compare(fleet(factors))
    (bad,) = [each for each in found if each.outlier]
    assert (bad.node, bad.family) == ("slow", "memory bandwidth, cpu")
    assert bad.offset == pytest.approx(0.12, abs=0.005)
    assert bad.drift == pytest.approx(0)
    (sentence,) = sentences(found)
    assert sentence.startswith("slow is not like the other 15 of its kind: memory bandwidth, cpu ")
    assert sentence.endswith(f" {100 * bad.offset:.1f}% slower than their middle")


def test_a_difference_too_small_to_matter_is_no_finding(fleet):
    factors = {f"n{i}": (1 + 1e-5 * math.sin(i), 1.0) for i in range(8)} | {"other": (1.005, 1.0)}
    found = compare(fleet(factors))
    assert not any(each.outlier for each in found)
    assert sentences(found)[0].endswith("the 9 nodes are alike")


def test_of_three_nodes_none_can_be_told(fleet):
    found = compare(fleet({"a": (1, 1), "b": (1, 1), "c": (2, 1)}))
    assert sentences(found)[0].endswith("3 nodes; 4 are needed to tell which is unlike the others")


def test_what_nodes_that_share_a_suite_differ_by_is_in_the_intervals(fleet):
    folder = fleet({"a": (1.0, 1.0), "b": (1.0, 1.25)})
    offsets = machine_offsets(folder)
    nets, copies = ({node: offsets[node][family] for node in "ab"} for family in ("nets, cpu", "memory bandwidth, cpu"))
    assert nets["a"] < 1e-9
    assert copies["b"] == pytest.approx(0.25)
    assert copies["a"] == pytest.approx(0.25)  # 1/1.25 to one side is 1.25 to the other
    micros = [micro(f"{name}-65536-fp32-cpu-t2", 1e9, metric="bytes_per_second") for name in ("copy", "triad")]
    data = {node: results(measured(NET), *micros) for node in "ab"}
    share_offsets(data, offsets)
    told = {each["param"].partition("-")[0]: each["extra_info"]["machine_offset"] for each in data["b"]["benchmarks"]}
    assert told["copy"] == told["triad"] == copies["b"]  # triad has no anchor: the largest
    assert told["lenet"] == nets["b"]


def test_what_is_not_known_of_nodes_that_share_a_suite_is_said():
    data = {node: results(measured(NET)) for node in "ab"}
    share_offsets(data, {})
    (info,) = (benchmark["extra_info"] for benchmark in data["a"]["benchmarks"])
    assert info["machine_offset"] is None
    assert "how far this one is from them is not known" in info["notes"]["machine"]


def test_results_of_nodes_that_share_a_suite_hold_how_far_they_are_apart(fleet):
    folder = fleet({"a": (1.0, 1.0), "b": (1.1, 1.0)}, shard=True)
    info = {
        "machine_info": {"node": "box", "python_version": "3.11.2", **ENVIRONMENT}, "suite": {"name": "mini"},
        "datetime": "2026-01-02T03:04:05", "arguments": [], "key": {"fingerprint": "f", "digest": "d"},
    }  # fmt: skip
    for node, case in (("a", NET), ("b", Case.parse(NET.id.replace("lenet", "nin")))):
        header = {"kind": "header", "schema": 1, "plan": [case.id], **info}
        record = {"kind": "record", "node_id": "n", "record": measured(case).to_json()}
        (folder / f"{node}.journal.jsonl").write_text(f"{json.dumps(header)}\n{json.dumps(record)}\n")
    first, second = (frames.load(path).iloc[0] for path in cli.results_of(folder))
    assert (first["architecture"], second["architecture"]) == ("lenet", "nin")
    assert first["machine_offset"] == pytest.approx(0.1)
    assert second["machine_offset"] == pytest.approx(0.1)
