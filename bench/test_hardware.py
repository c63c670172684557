"""Micro-benchmarks of the hardware, a test a case."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.sweep(mode="hardware")
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")  # a case that failed has nothing to time
def test_hardware(case: str, benchmark: Any, measure: Callable[[str, Any], None]) -> None:
    measure(case, benchmark)
