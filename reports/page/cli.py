"""The commands report and compare: the page, its summary, its data; two results side by side."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from reports.results.arguments import Json, Markdown, Price, give
from suites.errors import DlhwError


def report(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULTS.json|FOLDER...", help="Results, what gates wrote, and folders of fleets."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PAGE.html", help="The page to write.")
    ] = None,
    title: Annotated[str, typer.Option(help="Of the page.")] = "What this hardware does for deep learning",
    reference: Annotated[
        str | None, typer.Option(metavar="MACHINE", help="Hold the others against it; default: the first file's.")
    ] = None,
    price: Price = None,
    name: Annotated[
        list[str] | None, typer.Option(metavar="FILE=LABEL", help="Call a file's machine so; may be repeated.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="PATH|-", help="Write a summary for a pull request or a README.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="Show the history in this store, too, or alone.")
    ] = None,
    machine: Annotated[str | None, typer.Option(metavar="NAME|ID", help="Of the history this machine alone.")] = None,
    branch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the history this branch; default: main, or what most are of.")
    ] = None,
    net: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Of the history these nets or cases; repeatable.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the data of each figure as CSV.")] = None,
    png: Annotated[Path | None, typer.Option(metavar="DIR", help="Write a picture of each figure (kaleido).")] = None,
    svg: Annotated[Path | None, typer.Option(metavar="DIR", help="The same as SVG.")] = None,
) -> None:
    """Compare machines and settings on one page that needs no network.

    Sweeps, hardware runs and imported results, of one or many machines, go together, what dlhw gate --json wrote, the
    folder of a fleet, and the history in a store.
    """
    from reports.analysis import dataset
    from reports.analysis.advise import price as parse_price
    from reports.page import beside, publish

    pictures = {kind: folder for kind, folder in (("png", png), ("svg", svg)) if folder}
    if not output and not markdown and not csv and not pictures:
        raise DlhwError("nothing to write: -o PAGE.html, --markdown PATH, --csv DIR, --png DIR or --svg DIR")
    if not files and store is None:
        raise DlhwError("nothing to show: RESULTS.json, the FOLDER of a fleet, or --store FILE|URL")
    others, results = beside.read(files or (), store, machine, branch, net or ())
    names, prices = dict(publish.label(text) for text in name or ()), dict(parse_price(text) for text in price or ())
    data = dataset.Dataset.empty()
    if results:
        data = dataset.load(results, names=names, reference=reference, prices=prices)
    wanted = publish.write(data, title, page=output, markdown=markdown, csv=csv, pictures=pictures, beside=others)
    for path, line in wanted:
        print(f"{path}: {line}", file=sys.stderr if "-" in map(str, (output, markdown)) else sys.stdout)


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE.json", help="Results before.")],
    head: Annotated[Path, typer.Argument(metavar="HEAD.json", help="Results after, or of another machine.")],
    markdown: Markdown = None,
    json_path: Json = None,
    html: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="Write a page of both, opened where it compares them.")
    ] = None,
) -> None:
    """Put two results side by side: every case of either, its change and the interval, and what else differs.

    It describes and refuses nothing; whether a change is a regression is what dlhw gate judges.
    """
    from reports.analysis import compare as comparing
    from reports.page import publish

    found = comparing.compare(base, head)
    for fact, values in found.environment:
        print(f"dlhw: {fact}: {' -> '.join(values)}", file=sys.stderr)
    for warning in found.warnings:
        print(f"dlhw: {warning}", file=sys.stderr)
    if html is not None:
        print(f"dlhw: {html}: {publish.comparison(base, head, html)}", file=sys.stderr)
    give(comparing.text(found.rows), found.rows, comparing.summary(found.rows), None, json_path, markdown, None)
    if not sys.stdout.isatty():
        print(f"dlhw: {comparing.summary(found.rows)}", file=sys.stderr)
