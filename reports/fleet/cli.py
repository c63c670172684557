"""The commands of `dlhw fleet`: run, status, compare."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from suites.errors import DlhwError, did_you_mean

if TYPE_CHECKING:
    from bench.fleet.fleet import Request
    from bench.fleet.task import Engine
    from reports.fleet.compare import Standing

INTERRUPTED = 130
fleet = typer.Typer(no_args_is_help=True, help="Measure on many machines by one command, each alone on its machine.")

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that dlhw fleet run -o named.")]


@fleet.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where everything is kept.")],
    engine: Annotated[str, typer.Option(metavar="local|ray|slurm", help="What runs the blocks.")] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of a Ray cluster; default: one that is started here.")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Of Slurm; default: its own default.")] = None,
    time_limit: Annotated[int, typer.Option(metavar="MINUTES", help="Of a block's job in Slurm.")] = 120,
    each: Annotated[
        str, typer.Option(metavar="node|kind", help="Every node, or one of each kind of hardware.")
    ] = "node",
    shard: Annotated[bool, typer.Option("--shard", help="Divide the suite over the nodes of a kind.")] = False,
    nodes: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many nodes.")] = None,
    anchors: Annotated[
        bool, typer.Option(help="Measure the anchor cases before and after, by which nodes are compared.")
    ] = True,
    max_load: Annotated[
        float, typer.Option(metavar="CORES", min=0, help="What others may use of the cores; more: refused.")
    ] = 0.2,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for a quiet node.")] = 60.0,
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A variable for the measuring processes.")
    ] = None,
    ship: Annotated[
        bool, typer.Option("--ship", help="Nodes run this dlhw, sent to them, whatever they have installed.")
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="Put all results into this store, as dlhw history add does."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the fleet in FOLDER: only what is missing.")
    ] = False,
) -> NoReturn:  # fmt: skip
    """Measure a suite on many machines: ARGS are those of pytest bench/.

    As in dlhw fleet run --engine ray --address 10.0.0.1:6379 --suite inference -o out. One results file a node is in
    FOLDER, at any time: dlhw report FOLDER. Ctrl-C ends all of it; --resume goes on.

    Exit code: 0 all was measured, 1 some blocks were not, 2 a mistake of the command line, 130 interrupted.
    """
    from bench.fleet.fleet import Request
    from bench.fleet.schedule import Each

    if each not in {*Each}:
        raise DlhwError(f"--each {each}: node or kind")
    request = Request(
        arguments=tuple(context.args), each=Each(each), shard=shard, nodes=nodes, anchors=anchors,
        max_other_cores=max_load, wait_seconds=wait, variables=dict(map(_variable, env or ())),
    )  # fmt: skip
    chosen = _engine(engine, address, partition, time_limit, output, ship=ship)
    raise typer.Exit(_run(request, chosen, output, store, resume=resume))


def _run(request: "Request", engine: "Engine", output: Path, store: str | None, *, resume: bool) -> int:
    """The exit code."""
    from bench.fleet.fleet import Fleet
    from bench.sweep.command import to_store

    try:
        whole = Fleet(request, engine, output, lambda line: print(line, flush=True)).run(resume=resume)
    except KeyboardInterrupt:
        results_of(output)
        print(f"dlhw: interrupted; go on with --resume, look at it with dlhw fleet status {output}", file=sys.stderr)
        return INTERRUPTED
    written = results_of(output)
    for path in written:
        print(f"results: {path}", flush=True)
    if store and written:
        to_store(written, store)
    print(f"next: dlhw fleet compare {output}    dlhw report {output} -o page.html")
    return 0 if whole else 1


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise DlhwError(f"--env {text}: NAME=VALUE is wanted")
    return name, value


def _engine(  # type: ignore[no-untyped-def]
    name: str, address: str | None, partition: str | None, time_limit: int, folder: Path, *, ship: bool
):  # fmt: skip
    from bench.fleet.ship import packed

    match name:
        case "local":
            if ship:
                raise DlhwError("--ship: the engine local has no other machine; name it with --engine ray or slurm")
            from bench.fleet.engines.local import Local

            return Local()
        case "ray":
            from bench.fleet.engines.ray import Ray

            return Ray(address, packed() if ship else None)
        case "slurm":
            from bench.fleet.engines.slurm import Slurm

            return Slurm(folder, partition, time_limit, packed() if ship else None)
    raise DlhwError(f"--engine {name}: no such engine{did_you_mean(name, ['local', 'ray', 'slurm'])}")


def results_of(folder: Path) -> list[Path]:
    """Make each node's results file of its journal, whole or not at all; their paths.

    Raises:
        DlhwError: one cannot be written.
    """
    from bench.fleet import ledger
    from reports.results.recover import recover

    journals = sorted(folder.glob("*.journal.jsonl"))
    found = {journal.name.removesuffix(".journal.jsonl"): recover(journal)[0] for journal in journals}
    if found and ledger.read(folder).header.get("shard"):
        from reports.fleet.compare import machine_offsets, share_offsets

        share_offsets(found, machine_offsets(folder))
    return [_replaced(folder / f"{node}.json", data) for node, data in found.items()]


def _replaced(path: Path, data: Mapping[str, Any]) -> Path:
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(data, indent=1), encoding="utf-8")
        return part.replace(path)
    except OSError as error:
        raise DlhwError(f"{path}: {error.strerror}; the journals beside it are whole") from error


@fleet.command()
def status(
    folder: Folder, as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a row an attempt.")] = False
) -> None:
    """Tell what was measured where, what runs, and what was lost."""
    from dataclasses import asdict

    from bench.fleet import ledger
    from reports.results import export

    history = ledger.read(folder)
    rows = [asdict(attempt) for attempt in history.attempts.values()]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    import pandas as pd

    table = pd.DataFrame(rows, columns=["number", "node", "block", "end", "seconds", "measuring_seconds", "reason"])
    table["end"] = table["end"].fillna("running, or its controller was killed")
    results_of(folder)
    export.show(table.astype("string").fillna(""), f"{folder}: dlhw fleet run {' '.join(history.header['arguments'])}")


@fleet.command()
def compare(
    folder: Folder,
    level: Annotated[float, typer.Option(min=0.001, max=0.5, help="Accepted share of false findings.")] = 0.05,
    tolerance: Annotated[float, typer.Option(min=0, help="Smaller differences are no finding.")] = 0.02,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a row a node and family.")] = False,
) -> None:
    """Tell which machine is not like the others of its kind, by how much, and in what.

    By the anchor cases, which every node measured before and after its own. Exit code: 0 all alike, 1 one is not.
    """
    from dataclasses import asdict

    from reports.fleet.compare import compare as standings
    from reports.fleet.compare import sentences
    from reports.results import export

    found = standings(folder, level, tolerance)
    if not found:
        raise DlhwError(f"{folder}: no node has measured its anchor cases yet")
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=1))
    else:
        import pandas as pd

        rows = [{"kind": each.kind, "node": each.node, "family": each.family, "offset": _interval(each),
                 "others' spread": _percent(each.spread), "drift": _percent(each.drift),
                 "": "UNLIKE" if each.outlier else ""} for each in found]  # fmt: skip
        export.show(pd.DataFrame(rows), f"{folder}: nodes against the others of their kind, by anchor cases")
        for line in sentences(found):
            print(line)
    raise typer.Exit(1 if any(each.outlier for each in found) else 0)


def _interval(each: "Standing") -> str:
    if each.low is None or each.high is None:
        return _percent(each.offset)
    return f"{_percent(each.offset)} [{100 * each.low:+.1f}, {100 * each.high:+.1f}]"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:+.1f}%"
