"""Findings do not rest on disturbed points."""

from dataclasses import replace

from bench.records.findings import findings as of_all
from bench.records.sentences import findings
from tests.support.samples import ENVIRONMENT, micro

HOST = ENVIRONMENT["host"]


def disturbed(text, figure):
    calm = micro(text, figure)
    return replace(calm, sampling=replace(calm.sampling, noisy=("steal 9%",)))


def test_undisturbed_points_say_what_they_say():
    points = [micro(f"matmul-{n}x{n}x{n}-fp32-cpu-t2", 1e9 * n) for n in (1, 2, 3)]
    assert findings(points, HOST) == of_all(points, HOST)


def test_a_disturbed_point_is_left_out_and_that_is_said():
    calm = micro("matmul-8x8x8-fp32-cpu-t2", 1e9)
    (found,) = findings([calm, disturbed("matmul-64x64x64-fp32-cpu-t2", 9e9)], HOST)
    assert found.text == "at best fp32 1.00 GFLOP/s (8x8x8), 2 threads (1 disturbed point left out)"
    assert found.figures["disturbed"] == 1


def test_of_disturbed_points_alone_nothing_is_said_but_that():
    points = [disturbed(f"matmul-{n}x{n}x{n}-fp32-cpu-t2", 1e9) for n in (8, 64)]
    (found,) = findings(points, HOST)
    assert found.subject == "matmul cpu"
    assert found.text == "nothing can be said: 2 of its points were disturbed, and the others are too few"
