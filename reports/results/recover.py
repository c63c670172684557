"""From a journal to the results file that a run would have written, had it come to its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.controller.combine import best_of
from bench.records.journal import Run, launched, read
from bench.records.record import SCHEMA, Record, Status, outcomes
from suites import cases, units
from suites.case import Budget
from suites.errors import DlhwError


def recover(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The results in pytest-benchmark's format of the last run in the journal at `path`, and what to warn of.

    Runs of the same machine, torch and suite are taken together, as `--resume` takes them.

    Raises:
        DlhwError: there is no journal at `path`.
    """
    runs, damaged = read(path)
    try:
        return _recover(runs, damaged)
    except DlhwError as error:
        raise DlhwError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DlhwError(f"{path}: a header in it is damaged ({type(error).__name__}: {error})") from error


def _recover(runs: Sequence[Run], damaged: int) -> tuple[dict[str, Any], list[str]]:
    last = runs[-1].header
    same = [run for run in runs if run.header.get("key") == last.get("key")]
    found: dict[str, Record] = {}
    node_ids: dict[str, str] = {}
    planned: dict[str, None] = {}
    for run in same:
        found |= run.records
        node_ids |= run.node_ids
        planned |= dict.fromkeys(run.header.get("plan", ()))
    node_ids |= {case_id: node_ids.get(case_id, case_id) for case_id in planned}
    found |= _of_launches(same, last, [case_id for case_id in planned if case_id not in found])
    warnings = []
    if damaged:
        warnings.append(f"passed over: {units.count(damaged, 'damaged line')}")
    if len(same) < len(runs):
        warnings.append(f"left out: {units.count(len(runs) - len(same), 'run')} of another machine, torch or suite")
    return _results(last, found, node_ids, list(planned)), warnings


def _of_launches(runs: Sequence[Run], header: Mapping[str, Any], missing: Sequence[str]) -> dict[str, Record]:
    """Records of the cases that had launches, but no record yet, when the run was killed."""
    launches = launched(runs, header.get("key", {}))
    begun = [case_id for case_id in missing if case_id in launches]
    if not begun:
        return {}
    budget, cores = Budget.model_validate(header["measure"]), int(header["machine_info"]["host"]["cores"])
    return {case_id: best_of(launches[case_id], budget, cores) for case_id in begun}


def _results(
    header: Mapping[str, Any], found: Mapping[str, Record], node_ids: Mapping[str, str], planned: list[str]
) -> dict[str, Any]:
    from pytest_benchmark import __version__

    measured = [record for record in found.values() if record.outcome.status is Status.MEASURED]
    return {
        "machine_info": header["machine_info"],
        "commit_info": header.get("commit_info"),
        "benchmarks": [_benchmark(record, node_ids[record.id]) for record in measured],
        "datetime": header["datetime"],
        "version": __version__,
        "outcomes": outcomes({case_id: cases.parse(case_id).to_json() for case_id in planned}, found),
        "dlhw": {
            "schema": SCHEMA,
            "suite": header["suite"]["name"],
            "arguments": header["arguments"],
            "planned": len(planned),
            **header["key"],
        },
    }


def _benchmark(record: Record, node_id: str) -> dict[str, Any]:
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for seconds in record.seconds:
        stats.update(seconds)
    return {
        "group": cases.from_json(record.case).group,
        "name": node_id.rpartition("::")[2] if "::" in node_id else node_id,
        "fullname": node_id,
        "params": {"case": record.id},
        "param": record.id,
        "extra_info": record.extra_info(),
        "options": {"timer": "dlhw.device_clock"},
        "stats": {**stats.as_dict(), "data": list(record.seconds), "iterations": 1},
    }
