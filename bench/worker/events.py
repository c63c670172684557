"""What a measuring process tells its controller: one JSON line an event."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from bench.records.messages import Event


class Events:
    """Writes events to the file descriptor `results`, and keeps what each phase cost in seconds."""

    def __init__(self, results: int) -> None:
        self._results = results
        self.cost: dict[str, float] = {}

    def emit(self, event: Event, **details: Any) -> None:
        """Write one event. The newline ahead ends a line that a killed process left unfinished."""
        line = json.dumps({"event": event, **details})
        data = f"\n{line}\n".encode()
        while data:
            data = data[os.write(self._results, data) :]

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Tell that a phase begins, and keep what it cost."""
        self.emit(Event.PHASE, name=name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.cost[name] = self.cost.get(name, 0.0) + time.perf_counter() - start
