"""`dlhw findings`: the sentences that results have to say, and the course's claims."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.records.record import plain
from bench.records.sentences import findings
from reports.analysis.claims import judge
from reports.results import frames
from reports.results.frames import Results


def load(paths: Iterable[Path]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(sentences, judged claims) of each machine's results taken together, in plain JSON types.

    Raises:
        DlhwError: a file cannot be read, or is damaged.
    """
    return of_results([frames.results(path) for path in paths])


def of_results(results: Iterable[Results]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The same of files that have been read."""
    machines: dict[str, list[Results]] = {}
    for file in results:
        with frames.damage_named(Path(file.common["file"])):
            for part in frames.by_machine(file):
                machines.setdefault(part.common["fingerprint"], []).append(part)
    sentences, claims = [], []
    for files in machines.values():
        own = _of_machine(files, several=len(machines) > 1)
        sentences += own[0]
        claims += own[1]
    return sentences, claims


def _of_machine(files: Sequence[Results], *, several: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A later file's record stands for an earlier one's of the same case."""
    with frames.damage_named(Path(files[-1].common["file"])):
        known = {record.id: record for file in files for record in file.records}
        records = [
            record for record in known.values() if record.case.get("kind") != "other"
        ]  # others' say nothing here
        machine = {"machine": files[-1].common["machine"]}
        prefix = f"{machine['machine']} " if several else ""
        found = [plain(machine | asdict(finding)) for finding in findings(records, files[-1].host)]
        judged = [plain(machine | asdict(judgement)) for judgement in judge(records)]
        for item in found:
            item["subject"] = prefix + item["subject"]
        for item in judged:
            item["claim"] = prefix + item["claim"]
        return found, judged
