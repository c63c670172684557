"""Cases that were not measured, predicted from a results file of the machine; and how good that is on what was."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from bench.machine import ceilings
from bench.prediction import evaluate
from bench.prediction.facts import KnownWork, StepWork, uncounted
from bench.prediction.predict import Prediction, predict
from bench.records.record import Record
from bench.sweep.sweep import machine_of
from reports.results import frames
from suites import suite, units
from suites.axes import impossible as not_possible
from suites.case import Case
from suites.errors import DlhwError


def of_suite(path: Path, name: str, axes: Sequence[str]) -> tuple[dict[str, Any], dict[str, tuple[Case, Prediction]]]:
    """The results in `path`, and each net of the suite that they lack and that is possible there, with its prediction.

    Raises:
        DlhwError: the file or the suite cannot be read.
    """
    data = frames.read(path)
    file = frames.results(path)
    with frames.damage_named(path):
        machine = machine_of(data["machine_info"])
    chosen = suite.load(name, axes)
    cases = [case for case in chosen.cases(machine) if isinstance(case, Case) and not_possible(case, machine) is None]
    known = ceilings.measured(file.records)
    memory = {device["name"]: device.get("memory_bytes") for device in data["machine_info"]["devices"]}
    found = predict(
        file.records, cases, counts=_counted(cases, file.records), ceilings=known, memory_bytes=memory,
        drawn=data["dlhw"].get("drawn"),
    )  # fmt: skip
    return data, {case.id: (case, found[case.id]) for case in cases if case.id in found}


def _counted(cases: Sequence[Case], records: Sequence[Record]) -> dict[Case, StepWork | str]:
    """The work of nets that were never measured: counted by a process that runs none of them."""
    from bench.controller.process import Worker
    from bench.sweep.telling import counted

    if not uncounted(cases, KnownWork(records)):
        return {}
    with Worker() as worker:
        return counted(worker, cases, records)


def table(found: Mapping[str, tuple[Case, Prediction]]) -> pd.DataFrame:
    """A row a case, as text: predicted, or why not."""
    return pd.DataFrame(
        [
            {
                "case": case_id,
                "time a step": "-" if one.median_seconds is None
                else f"~{units.interval(one.median_seconds, one.low, one.high)}",
                "images/s": "-" if one.median_seconds is None
                else f"~{units.images_per_second(case.batch_size / one.median_seconds)}",
                "": "; ".join(filter(None, (one.expected.replace("_", " "), one.reason))),
            }
            for case_id, (case, one) in found.items()
        ]
    )  # fmt: skip


def rows(found: Mapping[str, tuple[Case, Prediction]]) -> list[dict[str, Any]]:
    """The same with the numbers behind it."""
    return [
        {"id": case_id, "case": case.to_json(), "prediction": one.to_json()} for case_id, (case, one) in found.items()
    ]


def merged(data: Mapping[str, Any], found: Mapping[str, tuple[Case, Prediction]]) -> dict[str, Any]:
    """The results with the predictions among their outcomes: what was measured stays as it is."""
    others = [outcome for outcome in data.get("outcomes", ()) if outcome["id"] not in found]
    known = {outcome["id"]: outcome for outcome in data.get("outcomes", ())}
    skipped = {"status": "skipped", "reason": "not measured"}
    added = [
        {"id": case_id, "case": case.to_json(), **skipped, **known.get(case_id, {}), "prediction": one.to_json()}
        for case_id, (case, one) in found.items()
    ]
    return {**data, "outcomes": [*others, *added]}


def evaluations(files: Sequence[Path]) -> Iterator[tuple[str, evaluate.Score]]:
    """(machine and device, score) by cross-validation on what was measured: shares of it, and nets left out.

    Raises:
        DlhwError: no file holds enough counted cases of a device.
    """
    told = False
    for path in files:
        for part in frames.by_machine(frames.results(path)):
            for device in dict.fromkeys(str(record.case["device"]) for record in part.records if record.seconds):
                known = evaluate.measured_of(_comparable(part.records), device)
                if len(known.facts) < evaluate.FEWEST_TO_EVALUATE:
                    continue
                told = True
                place = f"{part.common['machine']} {device}"
                yield from ((place, score) for score in (*evaluate.curve(known), *evaluate.left_out(known)))
    if not told:
        raise DlhwError(
            f"{', '.join(map(str, files))}: {evaluate.FEWEST_TO_EVALUATE} measured nets of one device whose work was "
            "counted are needed"
        )


def _comparable(records: Sequence[Record]) -> list[Record]:
    """Without what other tools measured: they count no bytes."""
    return [record for record in records if not (record.details or {}).get("imported")]


def scores(found: Sequence[tuple[str, evaluate.Score]]) -> pd.DataFrame:
    """A row a score, as text."""
    return pd.DataFrame(
        [
            {
                "machine": place, "measured or left out": score.what, "method": score.method,
                "cases": f"{score.measured} -> {score.hidden}",
                "median error": units.percent(score.median_error), "90th percentile": units.percent(score.p90_error),
                "intervals hold": units.percent(score.coverage), "half width": units.percent(score.half_width),
            }
            for place, score in found
        ]
    )  # fmt: skip


def scores_json(found: Sequence[tuple[str, evaluate.Score]]) -> str:
    """The same with plain numbers."""
    return json.dumps([{"machine": place, **asdict(score)} for place, score in found], indent=1)
