"""A fleet's folder, made by hand: anchors of every node, a block of each, and what was lost."""

import json

from bench.fleet import publish
from bench.fleet.ledger import Attempt, End, Ledger
from suites.case import Case
from tests.support.samples import ENVIRONMENT, measured, micro

NET = Case.parse("lenet-inference-b8-fp32-contiguous-eager-cpu-t2")
SHAPE = (1.0, 1.1, 0.9, 1.0, 1.0, 1.0)
BLOCK = "lenet-inference"


def fleet_folder(folder, factors, *, slower_at_the_end=None, lost=None):
    """Write it; returns `folder`.

    Args:
        factors: node -> (factor on its nets' times, on its copies').
        slower_at_the_end: node -> factor on all of its last anchors.
        lost: node -> (how its first attempt at its block ended, None where it runs; why; whether there was a second
            that came to its end).
    """
    book = Ledger(folder)
    book.begin({"arguments": ["--suite", "quick"]})
    number = 0
    for node, (nets, copies) in factors.items():
        book.plan(node, {"environment": ENVIRONMENT, "cases": [{"id": NET.id, "case": NET.to_json(), "seconds": 1.0}]})
        end, reason, again = (lost or {}).get(node, (End.DONE, "", False))
        last = (slower_at_the_end or {}).get(node, 1.0)
        tries = [("anchor-begin", End.DONE, "", 1.0), (BLOCK, end, reason, 1.0)]
        tries += [(BLOCK, End.DONE, "", 1.0)] * again + [("anchor-end", End.DONE, "", last)]
        for block, became, why, factor in tries:
            number += 1
            attempt = Attempt(number, block, node, node, became, why, 30.0)
            book.started(attempt)
            for line in _lines(node, block, nets * factor, copies * factor) if became is End.DONE else ():
                book.keep(number, json.dumps(line))
            if became is not None:
                book.ended(attempt)
    book.close()
    publish.write(folder)
    return folder


def _lines(node, block, nets, copies):
    net = measured(NET, tuple(0.002 * nets * share for share in SHAPE))
    if block == BLOCK:
        info = {"node": node, "python_version": "3.11.2", **ENVIRONMENT}
        yield {
            "kind": "header", "schema": 1, "key": {"fingerprint": node, "digest": "d1"}, "machine_info": info,
            "datetime": "2026-01-02T03:04:05+00:00", "plan": [NET.id], "measure": {}, "suite": {"name": "quick"},
            "arguments": [],
        }  # fmt: skip
        yield _record(net)
    else:
        yield from map(_record, (net, micro("copy-65536-fp32-cpu-t2", 1e9 / copies, metric="bytes_per_second")))


def _record(record):
    return {"kind": "record", "node_id": f"bench/test_nets.py::test_net[{record.id}]", "record": record.to_json()}
