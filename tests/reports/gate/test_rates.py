"""How often the gate is wrong: whole runs of it on virtual time, on machines whose noise is known."""

import contextlib
import functools
import random
from collections import Counter
from unittest import mock

import pytest
from scipy.stats import binom

from reports.gate import plan
from reports.gate.judge import Judgement
from reports.gate.statistics import Verdict
from tests.support.virtual_gate import Noise, VirtualGate

SEEN = Noise(launches=0.006, first=0.006, steps=0.005, drift=0.005, spikes=0.02, tenant=0.1)
"""As on quiet machines: a pair differs by 1 %, and the process that is started first is slower."""
ODD = Noise(launches=0.006, first=0.006, steps=0.005, odd=1 / 8)
"""One launch in eight is 40 % off."""
LOUD = Noise(launches=0.025)
RUNS = 500
SURE = 0.999
SLOWER_KERNEL = {0: 0.05}
"""The first of three kernels, and so a step 3 % slower."""
TRUTH = 1.03


def at_most(count, rate):
    """So many of `count` are seen with a chance of 0.1 % at most, if they come at `rate`."""
    return binom.ppf(SURE, count, rate)


@contextlib.contextmanager
def verdicts_alone():
    """Nothing is remembered from run to run, and the MDE, which no verdict depends on, is not computed: it is dear."""
    with (
        mock.patch.object(plan, "keep"),
        mock.patch.object(plan, "planned", functools.cache(plan.planned)),
        mock.patch.object(Judgement, "minimum_detectable", return_value=1.0),
    ):
        yield


def times(gate):
    return [row for row in gate.rows if row.measure == "time"]


def wrong(gates):
    """Of runs of the same code, in how many any case is said to differ, and how many do not count."""
    found = Counter()
    for gate in gates:
        found.update({row.verdict for row in times(gate)})
    return found


@pytest.mark.parametrize("noise", [SEEN, ODD], ids=["as seen", "odd launches"])
def test_the_same_code_is_said_to_differ_as_seldom_as_promised(tmp_path, noise):
    """Without a tolerance: with one the same code differs more seldom still."""
    gate = VirtualGate(tmp_path, noise, cases=2)
    with verdicts_alone():
        found = wrong(gate.run(seed, pairs=4) for seed in range(RUNS))
    assert max(found[Verdict.REGRESSED], found[Verdict.IMPROVED]) <= at_most(RUNS, 0.05)
    if noise is SEEN:
        assert found[Verdict.INVALID] <= at_most(RUNS, 0.01)
        assert found[Verdict.PASS] > 0.9 * RUNS


def test_an_order_that_is_not_tossed_is_seen(tmp_path):
    """What these tests can see: base is always started first, and so always slower."""
    gate = VirtualGate(tmp_path, Noise(launches=0.002, first=0.006), cases=3)
    with verdicts_alone(), mock.patch.object(random.Random, "shuffle"):
        found = wrong(gate.run(seed, pairs=4) for seed in range(40))
    assert found[Verdict.IMPROVED] + found[Verdict.INVALID] > at_most(40, 0.06)


def test_a_slower_kernel_is_found_as_often_as_the_mde_says(tmp_path):
    gate = VirtualGate(tmp_path, SEEN.times(2), cases=2, head=SLOWER_KERNEL)
    rows = [row for seed in range(70) for row in times(gate.run(seed)) if row.verdict is not Verdict.INVALID]
    promised = [row for row in rows if row.figures.minimum_detectable <= TRUTH]
    assert len(promised) > 50
    assert sum(row.verdict is Verdict.REGRESSED for row in promised) >= binom.ppf(1 - SURE, len(promised), 0.8)


def test_where_a_slower_kernel_cannot_be_seen_no_more_pass_than_promised(tmp_path):
    """It is 3 % slower, which is just what PASS excludes with 95 % where nothing is tolerated."""
    gate = VirtualGate(tmp_path, LOUD, cases=6, head=SLOWER_KERNEL)
    with verdicts_alone():
        rows = [
            row for seed in range(60) for row in times(gate.run(seed, pairs=8)) if row.verdict is not Verdict.INVALID
        ]
    found = Counter(row.verdict for row in rows)
    assert found[Verdict.PASS] <= at_most(len(rows), 0.05)
    assert found[Verdict.INCONCLUSIVE] > len(rows) / 10
    assert found[Verdict.PASS] + found[Verdict.INCONCLUSIVE] + found[Verdict.REGRESSED] == len(rows)


def test_the_mde_of_such_a_machine_says_so(tmp_path):
    gate = VirtualGate(tmp_path, LOUD, cases=6, head=SLOWER_KERNEL).run(1)
    assert min(row.figures.minimum_detectable for row in times(gate)) > TRUTH


def test_a_tenant_that_the_system_counts_makes_a_run_invalid(tmp_path):
    gate = VirtualGate(tmp_path, Noise(tenant=0.3, seen=0.5), cases=2).run(1)
    assert {row.verdict for row in times(gate)} == {Verdict.INVALID}
    assert all("co-running processes used 0.5 cores" in row.reason for row in times(gate))
