"""`dlhw history`: many nights' results in one store, what changed in them, and whose doing it was."""

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from reports.results.arguments import AsJson
from suites import units
from suites.errors import DlhwError

if TYPE_CHECKING:
    import pandas as pd

    from reports.history.adding import Added
    from reports.history.check import Checked
    from reports.history.looking import History
    from reports.history.store import Store

history = typer.Typer(no_args_is_help=True, help="Many nights' results: what changed, when, and whose doing it was.")
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="FILE|URL",
        help="The store: a SQLite file, or postgresql://USER:PASSWORD@HOST/NAME; default: DLHW_STORE, else your own.",
    ),
]  # fmt: skip
Machine = Annotated[str | None, typer.Option(metavar="NAME|ID", help="Of this machine; default: of all.")]
Branch = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of this branch; default: main, or what most runs are of.")
]
Net = Annotated[
    list[str] | None, typer.Option(metavar="PATTERN", help="Nets or cases, as resnet18 or 'lenet-*-b8-*'; repeatable.")
]
Metric = Annotated[
    str, typer.Option(metavar="NAME", help="seconds, peak_bytes, compile_seconds, joules_per_image, operators, ...")
]
FindingId = Annotated[int, typer.Argument(metavar="FINDING", help="Its number, as dlhw history changes shows it.")]
Why = Annotated[str, typer.Option(metavar="TEXT", help="What you know of it.")]


def _open(url: str | None, *, create: bool = False) -> "Store":
    try:
        from reports.history import store

        return store.open_store(url, create=create)
    except ImportError as error:
        raise DlhwError(f"the history needs {error.name}: pip install 'dlhw[store]'") from error


@history.command()
def add(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Results files, imported ones, journals.")],
    store: StoreUrl = None,
    machine: Annotated[
        str | None, typer.Option(metavar="NAME", help="Call the machine so, where its own name changes.")
    ] = None,
) -> None:
    """Put runs into the store, each once however often it is given; it is made where there is none.

    Where the store cannot be used, a copy is kept beside the file, and put in the next time.
    """
    from reports.history import adding, intake

    now = time.time()
    read = {path: intake.read(path, now, machine) for path in files}
    try:
        place = _open(store, create=True)
        for path in adding.pending(path.resolve().parent for path in files):
            _added(path, adding.put(place, intake.read(path, now, machine), now))
            adding.done(path)
        for path, runs in read.items():
            _added(path, adding.put(place, runs, now))
    except DlhwError as error:
        kept = ", ".join(str(adding.keep(path)) for path in files)
        raise DlhwError(f"{error}; kept as {kept}: the next dlhw history add there puts it in") from error


def _added(path: Path, runs: "list[Added]") -> None:
    for run in runs:
        known = f", {run.known} measurements were there already" if run.known else ""
        what = f"run {run.run} of {run.machine}, {run.results} figures" if run.run else f"nothing new of {run.machine}"
        print(f"{path}: {what}{known}", file=sys.stderr)
        if run.note:
            print(f"dlhw: {path}: {run.note}", file=sys.stderr)


@history.command()
def machines(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """The machines, and how many runs each has."""
    from reports.history import looking
    from reports.history.report import day
    from reports.results import export

    with _open(store).reading() as connection:
        found = looking.machines(connection)
    if not as_json:
        found["facts"] = [_told(json.loads(text)) for text in found["facts"]]
        found[["first", "last"]] = [[day(value) for value in row] for row in found[["first", "last"]].to_numpy()]
    export.show(found, as_json=as_json)


def _told(facts: dict[str, object]) -> str:
    return "; ".join(f"{name} {value}" for name, value in facts.items() if value and name != "name")


@history.command()
def runs(store: StoreUrl = None, machine: Machine = None, branch: Branch = None, as_json: AsJson = False) -> None:
    """The runs, the latest first."""
    from reports.history import looking
    from reports.history.report import SHORT, day
    from reports.results import export

    with _open(store).reading() as connection:
        found = looking.runs(connection, machine, branch)
    if not as_json:
        found["at"] = [day(value) for value in found["at"]]
        found["commit"] = [None if value is None else value[:SHORT] for value in found["commit"]]
        found = found.astype(object).where(found.notna(), "-").rename(columns=lambda name: name.replace("_", " "))
    export.show(found, as_json=as_json)


@history.command()
def trend(
    cases: Annotated[list[str], typer.Argument(metavar="CASE...", help="Ids, or patterns as in 'lenet-*'.")],
    store: StoreUrl = None, machine: Machine = None, branch: Branch = None, metric: Metric = "seconds",
    last: Annotated[int, typer.Option(metavar="N", help="Runs.", min=1)] = 60,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """A figure of each case run by run, with its standard error; where the environment changed, what."""
    from reports.history import upkeep
    from reports.results import export

    shown = []
    for own in _histories(_open(store), machine, branch, tuple(cases), metric, last):
        found = upkeep.trend(own, tuple(cases), metric)
        found.insert(0, "machine", own.machine)
        shown.append(found)
    import pandas as pd

    table = pd.concat(shown, ignore_index=True)
    export.show(table if as_json else _trend_text(table, metric), as_json=as_json)


def _trend_text(table: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    from reports.history.report import SHORT, day

    text = {"seconds": units.seconds, "compile_seconds": units.seconds, "peak_bytes": units.octets}
    show = text.get(metric, units.number)
    return table.assign(
        at_seconds=[day(value) for value in table["at_seconds"]],
        commit=[units.UNKNOWN if value is None else value[:SHORT] for value in table["commit"]],
        value=[show(value) for value in table["value"]], error=[units.percent(value) for value in table["error"]],
        launches=table["launches"].astype(object).where(table["launches"].notna(), units.UNKNOWN),
    ).rename(columns={"at_seconds": "at", "run_id": "run", "value": metric.replace("_", " ")})  # fmt: skip


def _histories(
    store: "Store", machine: str | None, branch: str | None, nets: tuple[str, ...], metric: str | None, last: int
) -> "list[History]":
    from reports.history import looking

    with store.reading() as connection:
        found = [
            looking.history(connection, own, branch=branch, nets=nets, metric=metric, last=last)
            for own in looking.machine_ids(connection, machine)
        ]
    there = [own for own in found if not own.results.empty]
    if not there:
        raise DlhwError(f"{', '.join(nets) or metric or 'the store'}: nothing of that in the store")
    return there


@history.command()
def changes(
    store: StoreUrl = None, machine: Machine = None, branch: Branch = None, net: Net = None,
    everything: Annotated[bool, typer.Option("--all", help="Judged and gone ones, too.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """What was found by dlhw history check: where, how much, whose doing."""
    from reports.history import findings, looking, report
    from reports.results import export

    with _open(store).reading() as connection:
        found = findings.all_of(connection, dict(looking.machine_ids(connection, machine)))
    shown = [
        each
        for each in found
        if (everything or each.state is findings.State.OPEN) and (branch is None or branch == each.branch)
        and (not net or each.case is None or looking.fits(each.case, {"architecture": each.case.split("-")[0]}, net))
    ]  # fmt: skip
    if as_json:
        print(json.dumps(report.document(shown), indent=1))
    else:
        export.show(report.table(shown), report.reliability(found))


@history.command()
def show(number: FindingId, store: StoreUrl = None, as_json: AsJson = False) -> None:
    """All that is known of one finding, and the commands that would tell more."""
    from reports.history import findings, report

    with _open(store).reading() as connection:
        found = findings.one(connection, number)
    print(json.dumps(report.document([found]), indent=1) if as_json else "\n".join(report.whole(found)))


@history.command()
def check(
    store: StoreUrl = None, machine: Machine = None, branch: Branch = None, net: Net = None,
    alarms: Annotated[
        str, typer.Option(metavar="N/year", help="False alarms a year put up with, of each machine and metric.")
    ] = "1/year",
    markdown: Annotated[Path | None, typer.Option(metavar="PATH|-", help="Write a comment.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="PATH|-", help="Write JUnit's XML.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="PATH|-", help="Write everything.")] = None,
    github: Annotated[bool, typer.Option("--github", help="Annotations and summary for GitHub Actions.")] = False,
) -> NoReturn:  # fmt: skip
    """For every night: has anything become worse that nobody has judged? New changes are looked for, and kept.

    Exit code: 0 no, 1 yes, 2 a mistake of the command line or a store that cannot be used, 5 too few runs to say.
    """
    opened = _open(store)  # names what is not installed, before anything else needs it
    from reports.history import check as checking
    from reports.history import report
    from reports.results import export

    found = checking.check(
        opened, machine=machine, branch=branch, nets=net or (), alarms=per_year(alarms), folder=Path.cwd(),
        now=time.time(),
    )  # fmt: skip
    for target, content in (
        (markdown, report.markdown(found)), (junit, report.junit(found)),
        (json_path, json.dumps(report.document(found.findings, found), indent=1) + "\n"),
    ):  # fmt: skip
        if target is not None:
            export.write_text(content, target)
    if github:
        _to_github(found)
    if "-" not in map(str, (markdown, junit, json_path)):
        export.show(report.table([each for each in found.findings if each.state == "open"]))
    for line in (report.headline(found), report.reliability(found.findings)):
        print(f"dlhw: {line}", file=sys.stderr)
    raise typer.Exit(found.exit_code)


def _to_github(found: "Checked") -> None:
    from reports.history import report

    print("\n".join(report.github(found)))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(report.markdown(found))


def per_year(text: str) -> float:
    """`1/year`, `2/month` or `0.5` as a number a year.

    Raises:
        DlhwError: it is none.
    """
    number, _, period = text.partition("/")
    times = {"": 1.0, "year": 1.0, "month": 12.0, "week": 52.2}
    try:
        found = float(number) * times[period]
    except (ValueError, KeyError) as error:
        raise DlhwError(f"--alarms {text}: so many a year are wanted, as in 1/year or 0.5/month") from error
    if not 0 < found < float("inf"):
        raise DlhwError(f"--alarms {text}: more than none are wanted: no test of chance is never wrong")
    return found


@history.command()
def accept(number: FindingId, why: Why, store: StoreUrl = None) -> None:
    """It is a change: known, and no alarm any more."""
    _judge(number, "accepted", why, store)


@history.command()
def reject(number: FindingId, why: Why, store: StoreUrl = None) -> None:
    """It is none: a false alarm, counted as one."""
    _judge(number, "rejected", why, store)


def _judge(number: int, state: str, why: str, url: str | None) -> None:
    store = _open(url)
    from reports.history import findings

    with store.writing() as connection:
        findings.judge(connection, number, findings.State(state), why, time.time())
    print(f"finding {number}: {state}")


@history.command(context_settings={"allow_extra_args": True})
def bisect(context: typer.Context, number: FindingId, store: StoreUrl = None) -> None:
    """Find the commit that made it: git bisects in a working copy of its own, the paired gate judges each step.

    What follows -- goes to the gate: dlhw history bisect 3 -- --suite nightly.toml --pairs 12
    """
    opened = _open(store)
    from reports.history import bisect as bisecting
    from reports.history import findings

    with opened.reading() as connection:
        found = findings.one(connection, number)
    print(bisecting.bisect(found, context.args, Path.cwd(), bisecting.gate_command()))


@history.command()
def export(
    store: StoreUrl = None, machine: Machine = None, branch: Branch = None, net: Net = None,
    csv: Annotated[Path | None, typer.Option(metavar="PATH|-", help="A row a figure and run, as CSV.")] = None,
    parquet: Annotated[Path | None, typer.Option(metavar="PATH", help="The same as parquet (needs pyarrow).")] = None,
    otava: Annotated[Path | None, typer.Option(metavar="PATH|-", help="Apache Otava's CSV, of one machine.")] = None,
    metric: Metric = "seconds",
) -> None:  # fmt: skip
    """Take results out for other tools: plain numbers, seconds and bytes."""
    from reports.results import export as writing

    if not (csv or parquet or otava):
        raise DlhwError("nothing to write: --csv PATH, --parquet PATH or --otava PATH")
    found = _histories(_open(store), machine, branch, tuple(net or ()), None, sys.maxsize // 2**32)
    import pandas as pd

    from reports.history import upkeep

    if csv or parquet:
        table = pd.concat([upkeep.tidy(own) for own in found], ignore_index=True)
        for target, write in ((csv, writing.csv), (parquet, writing.parquet)):
            if target is not None:
                write(table, target)
    if otava is not None:
        if len(found) > 1:
            raise DlhwError(f"--otava: of one machine; --machine {'|'.join(own.machine for own in found)}")
        writing.csv(upkeep.otava(found[0], metric), otava)


@history.command()
def prune(
    store: StoreUrl = None,
    keep: Annotated[
        int | None, typer.Option(metavar="N", help="The latest N of each machine and branch stay.", min=1)
    ] = None,
    before: Annotated[str | None, typer.Option(metavar="DATE", help="Only runs from before, as 2026-01-31.")] = None,
    samples: Annotated[bool, typer.Option("--samples", help="Take out their samples alone; figures stay.")] = False,
) -> None:  # fmt: skip
    """Make the store smaller: take out old runs, with what was found in them."""
    if keep is None and before is None:
        raise DlhwError("which runs? --keep N, or --before DATE, or both")
    opened = _open(store)
    from reports.history import upkeep

    with opened.writing() as connection:
        count = upkeep.prune(connection, keep=keep, before=_date(before), samples=samples)
    print(f"{units.count(count, 'run')}: {'samples taken out' if samples else 'taken out'}")


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise DlhwError(f"--before {text}: a date is wanted, as in 2026-01-31") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


@history.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE.db", help="A new file.")], store: StoreUrl = None
) -> None:
    """Copy the store to a new SQLite file, PostgreSQL's too; --store FILE.db reads it."""
    opened = _open(store)
    from reports.history import upkeep

    print(f"{target}: {upkeep.backup(opened, target)} figures")
