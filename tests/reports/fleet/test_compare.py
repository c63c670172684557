"""Which node is not like the others: Rosner's test on his own kind of example, false findings counted."""

import json
import math
import random

import pytest

from bench.fleet.ledger import Attempt, End, Ledger
from reports.fleet.compare import compare, family_of, outliers, sentences
from suites.case import Case
from tests.support.samples import ENVIRONMENT, measured, micro

ROSNER = (
    -0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65, 1.69, 1.70, 1.76,
    1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26, 2.35, 2.37, 2.40, 2.47, 2.54,
    2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30, 4.64, 5.34, 5.42, 6.01,
)  # fmt: skip
"""Rosner's own data (1983), as in the NIST/SEMATECH handbook, section 1.3.5.17.3: three outliers at 5 %."""
NET = Case.parse("lenet-inference-b8-fp32-contiguous-eager-cpu-t2")


def test_rosners_example():
    values = {str(index): value for index, value in enumerate(ROSNER)}
    assert {values[name] for name in outliers(values, 0.05)} == {6.01, 5.42, 5.34}


def test_two_bad_ones_do_not_hide_one_another():
    values = {f"n{i}": 0.01 * math.sin(i) for i in range(14)} | {"bad": 0.10, "worse": 0.11}
    assert outliers(values, 0.05) == {"bad", "worse"}


def test_too_few_have_no_outlier():
    assert outliers({"a": 0.0, "b": 0.0, "c": 9.0}, 0.05) == set()


def test_of_sixteen_alike_one_is_named_as_seldom_as_was_asked():
    tossed = random.Random(5)
    runs = 1000
    false = sum(bool(outliers({str(i): tossed.gauss(0, 0.02) for i in range(16)}, 0.05)) for _ in range(runs))
    assert 0.03 * runs <= false <= 0.07 * runs  # 50 +- 2.9 standard deviations


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

    def make(factors):
        book = Ledger(tmp_path)
        book.begin({"arguments": []})
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
