"""pytest-benchmark's hooks: what its JSON does not know by itself, and the file that it does not write."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench.machine import ceilings
from bench.records.record import SCHEMA, outcomes, plain
from bench.sweep import command
from bench.sweep.stash import PROGRESS, SWEEP, disabled, start
from bench.sweep.sweep import Sweep


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    sweep = config.stash.get(SWEEP, None)
    if sweep is None:
        return
    start(sweep)  # --benchmark-compare asks before anything else does
    for key in ("hz_actual", "hz_actual_friendly"):  # differs at every reading, and makes each comparison warn
        machine_info["cpu"].pop(key, None)
    for key in ("torch", "devices", "host"):
        machine_info[key] = plain(sweep.environment[key])


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    sweep = config.stash.get(SWEEP, None)
    if sweep is not None and PROGRESS in config.stash:
        output_json.update(_what_became_of_the_rest(config, sweep))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """pytest-benchmark writes no JSON when nothing was measured; the outcomes are worth a file all the same."""
    yield
    config = session.config
    path = config.getoption("benchmark_json", None)
    if path is None or PROGRESS not in config.stash or disabled(config) or config._benchmarksession.benchmarks:  # type: ignore[attr-defined]
        return
    from pytest_benchmark import __version__

    data = {
        "machine_info": plain(machine_info_of(config)),
        "commit_info": commit_info(config),
        "benchmarks": [],
        "datetime": datetime.now(UTC).isoformat(),
        "version": __version__,
        **_what_became_of_the_rest(config, config.stash[SWEEP]),
    }
    Path(path).write_text(json.dumps(data, indent=4))


def _what_became_of_the_rest(config: pytest.Config, sweep: Sweep) -> dict[str, Any]:
    planned = config.stash[PROGRESS].planned
    return {
        "outcomes": with_predictions(
            outcomes({case_id: sweep.cases[case_id][0].to_json() for case_id in planned}, sweep.records), sweep
        ),
        "dlhw": {
            "schema": SCHEMA,
            "suite": sweep.suite.name,
            "arguments": command.typed(config.invocation_params.args, config.invocation_params.dir)[1],
            "planned": len(planned),
            **({"drawn": sorted(sweep.drawn)} if sweep.drawn else {}),
            **sweep.key,
        },
    }


def with_predictions(outcomes: list[dict[str, Any]], sweep: Sweep) -> list[dict[str, Any]]:
    """The outcomes; those of nets that the budget did not reach with what they would take, by those that were."""
    wanted = [sweep.cases[case_id][0] for case_id in sweep.unreached()]
    if not wanted:
        return outcomes
    from bench.prediction.predict import predict

    records = list(sweep.records.values())
    memory = {device["name"]: device.get("memory_bytes") for device in sweep.environment["devices"]}
    found = predict(
        records, wanted, counts=sweep.telling.counts if sweep.telling else None, ceilings=ceilings.measured(records),
        drawn=sweep.drawn, memory_bytes=memory,
    )  # fmt: skip
    return [
        {**each, "prediction": plain(found[each["id"]].to_json())} if each["id"] in found else each for each in outcomes
    ]


def commit_info(config: pytest.Config) -> Any:
    """The commit of the folder that pytest runs in, as pytest-benchmark tells it."""
    return config.hook.pytest_benchmark_generate_commit_info(config=config)


def machine_info_of(config: pytest.Config) -> dict[str, Any]:
    """The machine as pytest-benchmark describes it, and as the measuring process does."""
    info = config.hook.pytest_benchmark_generate_machine_info(config=config)
    config.hook.pytest_benchmark_update_machine_info(config=config, machine_info=info)
    return info  # type: ignore[no-any-return]
