"""The command `dlhw`: a table of contents. Each command is beside its own code; heavy imports stay inside it."""

import os
import sys
from typing import NoReturn

import typer

import reports.analysis.cli as analysis
import reports.fleet.cli as fleet
import reports.gate.cli as gate
import reports.history.cli as history
import reports.page.cli as page
import reports.results.cli as results
from bench.selftest.cli import selftest
from bench.sweep import command, streams
from suites.errors import DlhwError

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def run(context: typer.Context) -> NoReturn:
    """Measure: the same as pytest bench/ ARGS, from any folder.

    Every option of pytest, pytest-benchmark and dlhw is passed on, as in
    dlhw run --suite smoke -o results.json; dlhw run --help shows them all. -o FILE is --benchmark-json FILE.
    """
    command.run(context.args)


app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="What does this piece of hardware do for deep learning? Numbers that can be trusted.",
)  # fmt: skip
app.command(context_settings=PASS_ON)(run)
for each in (
    analysis.doctor, selftest, results.suites, results.table, analysis.roofline, analysis.findings, analysis.explain,
    analysis.predict, page.report, analysis.advise, page.compare, gate.gate, analysis.layers, results.recover,
):  # fmt: skip
    app.command()(each)
app.add_typer(results.imports, name="import")
app.add_typer(fleet.fleet, name="fleet")
app.add_typer(history.history, name="history")


def main() -> None:
    """Run the command; a mistake that a person can mend is one line on stderr and exit code 2."""
    streams.make_writable()
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
