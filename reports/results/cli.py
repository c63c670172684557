"""Commands that show what can be measured and what was: suites, table, recover, import."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reports.results.arguments import AsJson, Axis, Csv, Files, Json, Markdown, Parquet, give
from suites import units
from suites.case import UNSAID
from suites.errors import DlhwError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reports.results.imports.common import Found


def suites(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE.toml]", help="A suite, to see its cases.")] = None,
    axis: Axis = None,
    as_json: AsJson = False,
) -> None:
    """List the suites, or the cases of one on this machine, with an estimate of the time."""
    from reports.results import export, listing

    if name is None:
        table, caption = listing.suites()
    else:
        print("asking torch what is here ...", file=sys.stderr)
        table, caption = listing.cases(name, axis or ())
    export.show(table, caption, as_json=as_json)


def table(
    files: Files,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="AXIS,AXIS", help="Pivot: the best of the cases that share these axes, the last one across."
        ),
    ] = None,
    value: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="What a pivot shows: images_per_second, median_seconds, flops_per_second, peak_bytes, ...",
        ),
    ] = "images_per_second",
    csv: Csv = None,
    json_path: Json = None,
    markdown: Markdown = None,
    parquet: Parquet = None,
) -> None:
    """Show results as a table, a row a case, or write it in another form.

    Printed to a terminal it is for people; to a pipe it is tab-separated. CSV, JSON and parquet hold all columns
    and plain numbers: seconds, bytes, FLOP/s; with --by they hold the pivot.
    """
    from reports.results import tables
    from reports.results.frames import load

    tables.require_value(value)
    frame = load(files)
    said = [f"{axis} {what}" for axis, what in tables.constants(frame).items() if what != UNSAID.get(axis)]
    shown = tables.pivot(frame, by.split(","), value) if by else tables.cases(frame)
    caption = f"all: {', '.join(said)}" if said and not by else ""
    give(shown, shown if by else frame, caption, csv, json_path, markdown, parquet)


def recover(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="A .journal.jsonl file, as every run writes one.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PATH", help="The results file to write.")] = Path(
        "results.json"
    ),
) -> None:
    """Make the results file of a run that did not come to its end, from its journal."""
    from reports.results import export
    from reports.results.recover import recover as from_journal

    data, warnings = from_journal(journal)
    for warning in warnings:
        print(f"dlhw: {journal}: {warning}", file=sys.stderr)
    export.write_text(json.dumps(data, indent=4) + "\n", output)
    where = sys.stderr if str(output) == "-" else sys.stdout
    print(f"{output}: {units.count(len(data['benchmarks']), 'case')} measured, {len(data['outcomes'])} not", file=where)


imports = typer.Typer(no_args_is_help=True, help="Make results files of what other tools have measured.")
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="PATH|-", help="One file for all; default: FILE.dlhw.json for each."),
]
Machine = Annotated[str | None, typer.Option(metavar="NAME", help="What the machine is called.")]
JsonFiles = Annotated[list[Path], typer.Argument(metavar="FILE.json...")]


@imports.command()
def timm(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.csv...")],
    output: Output = None,
    mode: Annotated[str | None, typer.Option(metavar="inference|training", help="What was measured.")] = None,
    precision: Annotated[str | None, typer.Option(metavar="fp32|amp_fp16|...", help="In which it computed.")] = None,
    memory_format: Annotated[str | None, typer.Option(metavar="contiguous|channels_last")] = None,
    torch: Annotated[str | None, typer.Option(metavar="VERSION", help="Of torch, as in 2.4.0.")] = None,
    machine: Machine = None,
    device: Annotated[str | None, typer.Option(metavar="cpu|cuda:0", help="The device, in torch's words.")] = None,
) -> None:
    """Results of timm's benchmark.py: what a file's name says is read from it, as in
    benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv; what it does not say is given by the options."""
    from reports.results.imports import timm as importing

    said = importing.given(
        mode=mode, precision=precision, memory_format=memory_format, torch=torch, machine=machine, device=device
    )
    _import(files, output, lambda path: importing.read(path, said))


@imports.command("pytest-benchmark")
def pytest_benchmark(files: JsonFiles, output: Output = None, machine: Machine = None) -> None:
    """Results of any other project's pytest-benchmark, versions 3 to 5."""
    from reports.results.imports import pytest_benchmark as importing

    _import(files, output, lambda path: importing.read(path, machine))


@imports.command()
def asv(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.json|FOLDER...")],
    output: Output = None,
    machine: Machine = None,
) -> None:
    """Results of asv (airspeed velocity): files of its results folder, or the folder."""
    from reports.results.imports import asv as importing

    _import(importing.files(files), output, lambda path: importing.read(path, machine))


@imports.command("google-benchmark")
def google_benchmark(files: JsonFiles, output: Output = None, machine: Machine = None) -> None:
    """Results of google-benchmark, as --benchmark_out and --benchmark_format=json write them."""
    from reports.results.imports import google_benchmark as importing

    _import(files, output, lambda path: importing.read(path, machine))


def _import(files: list[Path], output: Path | None, read: "Callable[[Path], Found]") -> None:
    """All files are read before the first one is written; a file that cannot be read costs itself, and is told."""
    from reports.results import export
    from reports.results.imports.common import results

    found: list[Found] = []
    refused: list[DlhwError] = []
    for path in files:
        try:
            found.append(read(path))
        except DlhwError as error:
            refused.append(error)
    for each in refused if found else refused[:-1]:
        print(f"dlhw: {each}; left out", file=sys.stderr)
    if not found:
        raise refused[-1]
    for own in found:
        for note in own.notes:
            print(f"dlhw: {own.path}: {note}", file=sys.stderr)
    for target, sources in _targets(found, output).items():
        data = results([part for source in sources for part in source.parts])
        export.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", target)
        print(f"{target}: {len(data['benchmarks'])} imported", file=sys.stderr)


def _targets(found: "list[Found]", output: Path | None) -> "dict[Path, list[Found]]":
    """Where to write -> what; never over a file that was read, and never one over the other."""
    targets: dict[Path, list[Found]] = {}
    for each in found:
        targets.setdefault(output or each.path.with_suffix(".dlhw.json"), []).append(each)
    read = {each.path.resolve() for each in found}
    for target, own in targets.items():
        if str(target) != "-" and target.resolve() in read:
            raise DlhwError(f"{target}: it would be written over what was imported; -o names another file")
        if output is None and len({each.path.resolve() for each in own}) > 1:
            raise DlhwError(f"{target}: {' and '.join(str(each.path) for each in own)} would be written to it; give -o")
    return targets
