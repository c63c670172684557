"""Training: forward, cross-entropy, backward and an SGD step, a test a case."""

import pytest


@pytest.mark.sweep(mode="training")
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")  # a case that failed has nothing to time
def test_training(case, benchmark, measure):
    measure(case, benchmark)
