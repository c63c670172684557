"""Inference: forward passes in eval mode without autograd, a test a case."""

import pytest


@pytest.mark.sweep(mode="inference")
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")  # a case that failed has nothing to time
def test_inference(case, benchmark, measure):
    measure(case, benchmark)
