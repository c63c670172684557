"""Files as other tools write them, small and made by hand, and what the command does with them."""

import json
import sys

import pytest

from reports.cli import main
from reports.results.frames import load
from reports.results.imports.common import results

ROWS = "resnet18,224,1000.0,256.0,256,11.69,1.82,2.48\ntest_vit,160,2000.0,64.0,128,0.37,0.04,0.48\n"
NAME = "benchmark-infer-amp-nhwc-pt240-cu124-rtx4090-dynamo.csv"


def columns(*prefixes):
    """The header of a file of timm's."""
    names = ("img_size", "samples_per_sec", "step_time", "batch_size")
    return f"model,{','.join(f'{prefix}_{name}' for prefix in prefixes for name in names)},param_count\n"


INFER = columns("infer").replace("\n", ",infer_gmacs,infer_macts\n")


def pytest_file(*benchmarks, **document):
    return {"machine_info": {"node": "box", "python_version": "3.12"}, "benchmarks": list(benchmarks)} | document


def bench(name, **stats):
    return {"fullname": name, "name": name, "group": None, "params": None, "stats": stats}


def asv_file(results, **document):
    return {
        "version": 2, "commit_hash": "c0ffee", "env_name": "virtualenv-py3.12", "python": "3.12", "requirements": {},
        "params": {"machine": "farm", "cpu": "Model 7"}, "date": 0,
        "result_columns": ["result", "params", "version", "started_at", "duration", "stats_ci_99_a", "samples"],
        "results": results,
    } | document  # fmt: skip


def google_file(*runs, **document):
    context = {"date": "2026-02-03T04:05:06+00:00", "host_name": "rack", "num_cpus": 8}
    return {"context": context, "benchmarks": list(runs)} | document


def run(name, time, **parts):
    return {
        "name": name, "run_name": name, "run_type": "iteration", "repetitions": 1, "threads": 1, "iterations": 9,
        "real_time": time, "cpu_time": time, "time_unit": "ns",
    } | parts  # fmt: skip


def write(path, content, encoding="utf-8"):
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode(encoding))
    return path


def frame_of(found, folder):
    """The tidy table of what an importer has found, by way of a results file; strict JSON, or it raises."""
    path = folder / "imported.json"
    path.write_text(json.dumps(results(found.parts), allow_nan=False))
    return load(path)


def strict(path):
    """A file as a strict reader of JSON has it: no NaN, no Infinity."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def dlhw(monkeypatch, *arguments):
    """The exit code of the command with these arguments."""
    monkeypatch.setattr(sys, "argv", ["dlhw", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0
