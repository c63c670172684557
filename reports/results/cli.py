"""Commands that show what can be measured and what was: suites, table, recover, import."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reports.results.arguments import AsJson, Axis, Csv, Files, Json, Markdown, Parquet, give
from suites.errors import DlhwError

if TYPE_CHECKING:
    from collections.abc import Callable


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
    said = [f"{axis} {what}" for axis, what in tables.constants(frame).items() if what is not None]
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
    print(f"{output}: {len(data['benchmarks'])} cases measured, {len(data['outcomes'])} not", file=where)


imports = typer.Typer(no_args_is_help=True, help="Make results files of what other tools have measured.")
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="PATH", help="Where to write; default: FILE.dlhw.json.")
]


@imports.command()
def timm(files: Annotated[list[Path], typer.Argument(metavar="FILE.csv...")], output: Output = None) -> None:
    """Results of timm's benchmark.py: what its file names say is read from them, as in
    benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv."""
    from reports.results import imports as importing

    _import(files, output, importing.timm)


@imports.command("pytest-benchmark")
def pytest_benchmark(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.json...")], output: Output = None
) -> None:
    """Results of any other project's pytest-benchmark."""
    from reports.results import imports as importing

    _import(files, output, importing.pytest_benchmark)


def _import(files: list[Path], output: Path | None, read: "Callable[[Path], dict[str, Any]]") -> None:
    """All files are read before the first one is written."""
    from reports.results import export

    if output and len(files) > 1:
        raise DlhwError(f"-o {output}: one file for {len(files)}; without it each has its own")
    found = [(path, read(path)) for path in files]
    for path, data in found:
        target = output or path.with_suffix(".dlhw.json")
        export.write_text(json.dumps(data, indent=1) + "\n", target)
        print(f"{target}: {len(data['benchmarks'])} cases, summaries without intervals", file=sys.stderr)
