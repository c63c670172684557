"""What `dlhw gate --json` writes, of entries made by hand."""

import json

from reports.gate import report
from reports.gate.judge import Terms, judge_pairs
from tests.support.entries import CASES, entries, lost

LENET, OTHER = CASES[:2]


def gate_file(path, *, name=OTHER):
    found = [
        *entries(LENET, 0.05), *entries(LENET, 0.05, stage=2), *entries(OTHER), *entries(OTHER, control="negative"),
        *entries(LENET, 0.06, control="positive", injected=0.06), lost(name, head="killed"),
    ]  # fmt: skip
    terms = Terms(tolerances=dict.fromkeys((LENET, OTHER, name), 0.02), confirm=6)
    gate = judge_pairs(found, terms, base="abc base", head="def head", notes=("base and head differ",))
    path.write_text(json.dumps(report.document(gate, strict=False), indent=1))
    return path
