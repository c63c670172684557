"""A real grid: 452 cases of seven nets, measured on a quiet 2-core machine with AMX; each with its median alone."""

import gzip
import json
from functools import cache

from bench.records.record import Record
from tests.support.runner import ROOT


@cache
def records():
    text = gzip.decompress((ROOT / "tests/data/grid.jsonl.gz").read_bytes()).decode()
    return tuple(Record.from_json(json.loads(line)) for line in text.splitlines())
