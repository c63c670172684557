"""The command `dlhw`. Heavy imports stay inside the commands that need them; torch is in none of them."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from reports import gate_cli
from suites.errors import DlhwError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="What does this piece of hardware do for deep learning? Numbers that can be trusted.",
)  # fmt: skip
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
Files = Annotated[list[Path], typer.Argument(metavar="RESULTS.json...", help="Results files, of one or many machines.")]
Csv = Annotated[Path | None, typer.Option(metavar="PATH|-", help="Write the tidy table as CSV; - for standard output.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="PATH|-", help="Write the tidy table as JSON rows.")]
Markdown = Annotated[Path | None, typer.Option(metavar="PATH|-", help="Write the table for people as markdown.")]
Parquet = Annotated[Path | None, typer.Option(metavar="PATH", help="Write the tidy table as parquet (needs pyarrow).")]


def main() -> None:
    """Run the command; a mistake that a person can mend is one line on stderr and exit code 2."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except DlhwError as error:
        print(f"dlhw: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command(context_settings=PASS_ON)
def run(context: typer.Context) -> NoReturn:
    """Measure: the same as pytest bench/ ARGS, from any folder.

    Every option of pytest, pytest-benchmark and dlhw is passed on, as in
    dlhw run --suite smoke --benchmark-json results.json; dlhw run --help shows them all.
    """
    command = ["-P", "-m", "pytest", "-p", "bench.plugin", "--pyargs", "bench", *context.args]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - our own interpreter


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the numbers behind each finding.")] = False,
) -> NoReturn:
    """Tell what this machine is, how far its numbers can be trusted, and what to do about it.

    Takes about a minute; nothing else should run. Exit code: 0 good, 1 usable with warnings, 2 not usable.
    """
    from reports import diagnosis

    raise typer.Exit(diagnosis.run(as_json=as_json))


@app.command()
def suites(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE.toml]", help="A suite, to see its cases.")] = None,
    axis: Annotated[
        list[str] | None, typer.Option(metavar="AXIS=V,V,...", help="Redefine an axis, as in a run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the suites, or the cases of one on this machine, with an estimate of the time."""
    from reports import export, listing

    if name is None:
        table, caption = listing.suites()
    else:
        print("asking torch what is here ...", file=sys.stderr)
        table, caption = listing.cases(name, axis or ())
    export.show(table, caption, as_json=as_json)


@app.command()
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
    from reports import tables
    from reports.frames import load

    tables.require_value(value)
    frame = load(files)
    said = [f"{axis} {what}" for axis, what in tables.constants(frame).items() if what is not None]
    shown = tables.pivot(frame, by.split(","), value) if by else tables.cases(frame)
    caption = f"all: {', '.join(said)}" if said and not by else ""
    _give(shown, shown if by else frame, caption, csv, json_path, markdown, parquet)


@app.command()
def roofline(
    files: Files, csv: Csv = None, json_path: Json = None, markdown: Markdown = None, parquet: Parquet = None
) -> None:
    """Tell what bounds each case: arithmetic, memory, or overhead; and what share of this machine's best it reaches.

    The machine's best is what pytest bench/ --suite hardware has found, in these files or in earlier runs on the
    same machine. CSV, JSON and parquet hold all columns and plain numbers.
    """
    from reports import roofline as analysis

    frame = analysis.load(files)
    _give(analysis.text(frame), frame, "", csv, json_path, markdown, parquet)


@app.command()
def findings(
    files: Files,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the numbers behind each sentence.")] = False,
) -> None:
    """Say in a sentence each what the micro-benchmarks found, and which of the course's claims hold.

    The sentences come from runs of --suite hardware and --suite input, the claims from --suite notes.
    """
    from reports import diagnosis
    from reports import findings as found

    sentences, claims = found.load(files)
    if as_json:
        print(json.dumps({"findings": sentences, "claims": claims}, indent=2))
        return
    if not sentences and not claims:
        raise DlhwError(f"{', '.join(map(str, files))}: nothing in it to say a sentence of; see dlhw findings --help")
    diagnosis.paragraphs([(item["subject"], item["text"]) for item in sentences])
    diagnosis.paragraphs([(f"{item['verdict']}: {item['claim']}", item["figures"]) for item in claims])


@app.command()
def explain(
    files: Files,
    case: Annotated[str, typer.Option("--case", metavar="ID", help="The case, as a table shows it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the numbers behind each line.")] = False,
) -> None:
    """Tell in ten lines why a case takes as long as it does, and which toggle helped most here."""
    from reports import diagnosis
    from reports.explain import explain as of

    found = of(files, case)
    if as_json:
        print(json.dumps({"lines": [list(line) for line in found.lines], **found.facts}, indent=2))
    else:
        diagnosis.paragraphs(found.lines)


@app.command()
def report(
    files: Files,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PAGE.html", help="The page to write.")
    ] = None,
    title: Annotated[str, typer.Option(help="Of the page.")] = "What this hardware does for deep learning",
    reference: Annotated[
        str | None, typer.Option(metavar="MACHINE", help="Hold the others against it; default: the first file's.")
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option(metavar="MACHINE=USD_PER_HOUR", help="For cost per image; may be repeated.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(metavar="FILE=LABEL", help="Call a file's machine so; may be repeated.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="PATH|-", help="Write a summary for a pull request or a README.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the data of each figure as CSV.")] = None,
) -> None:
    """Compare machines and settings on one page that needs no network.

    Sweeps, hardware runs and imported results, of one or many machines, go together, and what dlhw gate --json wrote.
    """
    from reports import dataset, figures_gate, publish
    from reports.advise import price as parse_price

    if not output and not markdown and not csv:
        raise DlhwError("nothing to write: -o PAGE.html, --markdown PATH or --csv DIR")
    gates = [figures_gate.load(path) for path in files if figures_gate.is_gate(path)]
    names, prices = dict(publish.label(text) for text in name or ()), dict(parse_price(text) for text in price or ())
    results = [path for path in files if not figures_gate.is_gate(path)]
    data = dataset.Dataset.empty()
    if results or not gates:
        data = dataset.load(results, names=names, reference=reference, prices=prices)
    for path, line in publish.write(data, title, page=output, markdown=markdown, csv=csv, gates=gates):
        print(f"{path}: {line}", file=sys.stderr if "-" in map(str, (output, markdown)) else sys.stdout)


@app.command()
def advise(
    files: Files,
    architecture: Annotated[str, typer.Option(metavar="NET", help="As a table shows it.")],
    objective: Annotated[str, typer.Option(help="throughput, latency, energy or cost.")] = "throughput",
    mode: Annotated[str, typer.Option(help="inference or training.")] = "inference",
    max_latency: Annotated[str | None, typer.Option(metavar="20ms", help="No caller waits longer.")] = None,
    max_memory: Annotated[str | None, typer.Option(metavar="8GB", help="No more memory at the peak.")] = None,
    precision_loss: Annotated[
        float | None, typer.Option(metavar="1e-2", help="No further from fp64, as a share of the output.")
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option(metavar="MACHINE=USD_PER_HOUR", help="For the objective cost; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell which settings to use for a net on each machine, what they give, and how sure that is."""
    from reports import advise as advising
    from reports import dataset, export, quantities

    prices = dict(advising.price(text) for text in price or ())
    wishes = advising.Wishes(
        architecture=architecture, objective=objective, mode=mode, max_error=precision_loss, prices=prices,
        max_latency_seconds=quantities.seconds(max_latency, "--max-latency") if max_latency else None,
        max_memory_bytes=quantities.octets(max_memory, "--max-memory") if max_memory else None,
    )  # fmt: skip
    found = advising.advise(dataset.load(files, names={}, prices={}, reference=None).cases, wishes)
    if as_json:
        print(json.dumps(advising.documents(found), indent=2))
    else:
        export.show(advising.table(found), "")


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE.json", help="Results before.")],
    head: Annotated[Path, typer.Argument(metavar="HEAD.json", help="Results after, or of another machine.")],
    markdown: Markdown = None,
    json_path: Json = None,
) -> None:
    """Put two results side by side: every case of either, its change and the interval, and what else differs.

    It describes and refuses nothing; whether a change is a regression is what dlhw gate judges.
    """
    from reports import compare as comparing

    found = comparing.compare(base, head)
    for fact, values in found.environment:
        print(f"dlhw: {fact}: {' -> '.join(values)}", file=sys.stderr)
    for warning in found.warnings:
        print(f"dlhw: {warning}", file=sys.stderr)
    _give(comparing.text(found.rows), found.rows, comparing.summary(found.rows), None, json_path, markdown, None)
    if not sys.stdout.isatty():
        print(f"dlhw: {comparing.summary(found.rows)}", file=sys.stderr)


app.command()(gate_cli.gate)
imports = typer.Typer(no_args_is_help=True, help="Make results files of what other tools have measured.")
app.add_typer(imports, name="import")
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="PATH", help="Where to write; default: FILE.dlhw.json.")
]


@imports.command()
def timm(files: Annotated[list[Path], typer.Argument(metavar="FILE.csv...")], output: Output = None) -> None:
    """Results of timm's benchmark.py: what its file names say is read from them, as in
    benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv."""
    from reports import imports as importing

    _import(files, output, importing.timm)


@imports.command("pytest-benchmark")
def pytest_benchmark(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.json...")], output: Output = None
) -> None:
    """Results of any other project's pytest-benchmark."""
    from reports import imports as importing

    _import(files, output, importing.pytest_benchmark)


def _import(files: list[Path], output: Path | None, read: "Callable[[Path], dict[str, Any]]") -> None:
    """All files are read before the first one is written."""
    from reports import export

    if output and len(files) > 1:
        raise DlhwError(f"-o {output}: one file for {len(files)}; without it each has its own")
    found = [(path, read(path)) for path in files]
    for path, data in found:
        target = output or path.with_suffix(".dlhw.json")
        export.write_text(json.dumps(data, indent=1) + "\n", target)
        print(f"{target}: {len(data['benchmarks'])} cases, summaries without intervals", file=sys.stderr)


@app.command()
def layers(
    net: Annotated[str, typer.Argument(metavar="NET|CASE", help="A net, or the id of a case as a table shows it.")],
    axis: Annotated[
        list[str] | None, typer.Option(metavar="AXIS=V", help="As in a run, but one value: --axis precision=bf16.")
    ] = None,
    suite: Annotated[
        str, typer.Option(metavar="FILE.toml", help="The suite that tells the input shape of a net of your own.")
    ] = "smoke",
    csv: Csv = None, json_path: Json = None, markdown: Markdown = None, parquet: Parquet = None,
) -> None:  # fmt: skip
    """Tell where the time of one case goes: time, FLOPs, bytes and bound of each layer, forward and backward.

    Without --axis: inference, batch 8, fp32, contiguous, all threads. Nothing else should run meanwhile.
    """
    from reports import layers as analysis

    print("measuring the step, then each operator in it ...", file=sys.stderr)
    frame, facts = analysis.measure(net, axis or (), suite)
    _give(analysis.text(frame), frame, analysis.caption(facts), csv, json_path, markdown, parquet)
    if not sys.stdout.isatty():
        print(analysis.caption(facts), file=sys.stderr)


@app.command()
def recover(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="A .journal.jsonl file, as every run writes one.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PATH", help="The results file to write.")] = Path(
        "results.json"
    ),
) -> None:
    """Make the results file of a run that did not come to its end, from its journal."""
    from reports import export
    from reports.recover import recover as from_journal

    data, warnings = from_journal(journal)
    for warning in warnings:
        print(f"dlhw: {journal}: {warning}", file=sys.stderr)
    export.write_text(json.dumps(data, indent=4) + "\n", output)
    where = sys.stderr if str(output) == "-" else sys.stdout
    print(f"{output}: {len(data['benchmarks'])} cases measured, {len(data['outcomes'])} not", file=where)


def _give(
    shown: "pd.DataFrame", tidy: "pd.DataFrame", caption: str, csv: Path | None, json_path: Path | None,
    markdown: Path | None, parquet: Path | None,
) -> None:  # fmt: skip
    """Write the table to every file that was named; to standard output where none was."""
    from reports import export

    wanted = (
        (csv, export.csv, tidy), (json_path, export.json_rows, tidy), (markdown, export.markdown, shown),
        (parquet, export.parquet, tidy),
    )  # fmt: skip
    for target, write, table in wanted:
        if target is not None:
            write(table, target)
    if not any(target for target, _, _ in wanted):
        export.show(shown, caption)
