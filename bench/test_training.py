"""Training: forward, cross-entropy, backward and an SGD step, a test a case."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.sweep(mode="training")
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")  # a case that failed has nothing to time
def test_training(case: str, benchmark: Any, measure: Callable[[str, Any], None]) -> None:
    measure(case, benchmark)
