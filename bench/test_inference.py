"""Inference: forward passes in eval mode without autograd, a test a case."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.sweep(mode="inference")
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")  # a case that failed has nothing to time
def test_inference(case: str, benchmark: Any, measure: Callable[[str, Any], None]) -> None:
    measure(case, benchmark)
