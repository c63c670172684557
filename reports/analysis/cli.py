"""Commands that say what results mean: doctor, roofline, findings, explain, advise, layers."""

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from reports.results.arguments import AsJson, Axis, Csv, Files, Json, Markdown, Parquet, Price, give
from suites.errors import DlhwError


def doctor(
    as_json: AsJson = False,
) -> NoReturn:
    """Tell what this machine is, how far its numbers can be trusted, and what to do about it.

    Takes about a minute; nothing else should run. Exit code: 0 good, 1 usable with warnings, 2 not usable.
    """
    from reports.analysis import diagnosis

    raise typer.Exit(diagnosis.run(as_json=as_json))


def roofline(
    files: Files, csv: Csv = None, json_path: Json = None, markdown: Markdown = None, parquet: Parquet = None
) -> None:
    """Tell what bounds each case: arithmetic, memory, or overhead; and what share of this machine's best it reaches.

    The machine's best is what pytest bench/ --suite hardware has found, in these files or in earlier runs on the
    same machine. CSV, JSON and parquet hold all columns and plain numbers.
    """
    from reports.analysis import roofline as analysis

    frame = analysis.load(files)
    give(analysis.text(frame), frame, "", csv, json_path, markdown, parquet)


def findings(
    files: Files,
    as_json: AsJson = False,
) -> None:
    """Say in a sentence each what the micro-benchmarks found, and which of the course's claims hold.

    The sentences come from runs of --suite hardware and --suite input, the claims from --suite notes.
    """
    from reports.analysis import diagnosis
    from reports.analysis import findings as found

    sentences, claims = found.load(files)
    if as_json:
        print(json.dumps({"findings": sentences, "claims": claims}, indent=2))
        return
    if not sentences and not claims:
        raise DlhwError(f"{', '.join(map(str, files))}: nothing in it to say a sentence of; see dlhw findings --help")
    diagnosis.paragraphs([(item["subject"], item["text"]) for item in sentences])
    diagnosis.paragraphs([(f"{item['verdict']}: {item['claim']}", item["figures"]) for item in claims])


def explain(
    files: Files,
    case: Annotated[str, typer.Option("--case", metavar="ID", help="The case, as a table shows it.")],
    as_json: AsJson = False,
) -> None:
    """Tell in ten lines why a case takes as long as it does, and which setting helped most here."""
    from reports.analysis import diagnosis
    from reports.analysis.explain import explain as of

    found = of(files, case)
    if as_json:
        print(json.dumps({"lines": [list(line) for line in found.lines], **found.facts}, indent=2))
    else:
        diagnosis.paragraphs(found.lines)


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
    price: Price = None,
    as_json: AsJson = False,
) -> None:
    """Tell which settings to use for a net on each machine, what they give, and how sure that is."""
    from reports.analysis import advise as advising
    from reports.analysis import dataset
    from reports.results import export
    from suites import quantities

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
    from reports.analysis import layers as analysis

    print("measuring the step, then each operator in it ...", file=sys.stderr)
    frame, facts = analysis.measure(net, axis or (), suite)
    give(analysis.text(frame), frame, analysis.caption(facts), csv, json_path, markdown, parquet)
    if not sys.stdout.isatty():
        print(analysis.caption(facts), file=sys.stderr)


def predict(
    files: Files,
    suite: Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="Whose cases to predict.")] = "inference",
    axis: Axis = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Tell how good predictions are, by hiding what was measured.")
    ] = False,
    as_json: AsJson = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="RESULTS.json", help="Results, with predictions in them.")
    ] = None,
) -> None:
    """Predict what the cases of a suite would take that were not measured, from those that were.

    By the work of a step, at rates learnt from this machine's own measurements, and a Gaussian process on what that
    leaves over; intervals hold in nine cases of ten, by cases measured at random. Predictions are marked (~) and are
    never a measurement: no gate, ceiling or winner knows them. docs/prediction.md says how good they are.
    """
    from reports.analysis import predict as analysis
    from reports.results import export

    if evaluate:
        scores = list(analysis.evaluations(files))
        if as_json:
            print(analysis.scores_json(scores))
        else:
            export.show(analysis.scores(scores), "predictions held against what was measured")
        return
    if len(files) != 1:
        raise DlhwError("one results file is wanted: of the machine that is predicted")
    data, found = analysis.of_suite(files[0], suite, axis or ())
    if not found:
        raise DlhwError(f"{files[0]}: every case of {suite} that is possible there is measured in it")
    if output is not None:
        export.write_text(json.dumps(analysis.merged(data, found)), output)
    if as_json:
        print(json.dumps(analysis.rows(found), indent=1))
    elif output is None or str(output) != "-":
        export.show(analysis.table(found), f"{files[0]}: predicted cases of {suite}")
