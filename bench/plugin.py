"""The pytest plugin: options, one test a case, pytest-benchmark's hooks, and what is seen meanwhile.

Loaded by name (`-p bench.plugin`), never by entry point: it must not reach into other projects' test runs.
"""

import json
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench import ceilings, options, progress
from bench.answers import answers
from bench.record import SCHEMA, Record, Status, fingerprint, outcomes, plain
from bench.sweep import Sweep
from suites import suite, units
from suites.errors import DlhwError

SWEEP = pytest.StashKey[Sweep]()
PROGRESS = pytest.StashKey[progress.Progress]()
RECORD = pytest.StashKey[Record]()
HERE = Path(__file__).resolve().parent
DEFAULT_JOURNAL = Path("dlhw.journal.jsonl")
JUDGED_TOO_SLOW = frozenset({Status.TIMEOUT, Status.OUT_OF_MEMORY, Status.SKIPPED})
"""Outcomes that are answers about the machine, not mistakes: their tests are skipped, the others' fail."""


class Replay:
    """A timer that pytest-benchmark reads twice a round: 0, then the round's sample."""

    __name__ = "dlhw.device_clock"

    def __init__(self) -> None:
        self._readings: Iterator[float] = iter(())

    def load(self, seconds: Sequence[float]) -> None:
        """Set the samples to be read."""
        self._readings = (reading for sample in seconds for reading in (0.0, sample))

    def __call__(self) -> float:
        """The next reading."""
        return next(self._readings)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("dlhw", "what to measure (dlhw)")
    group.addoption(
        "--suite",
        metavar="NAME|FILE.toml",
        default="quick",
        help=f"one of {', '.join(suite.named())}, or a file; default: quick",
    )
    group.addoption(
        "--axis",
        metavar="AXIS=V,V,...",
        action="append",
        default=[],
        help="redefine an axis of the suite, as in --axis batch_size=1,8,64; may be repeated",
    )
    group.addoption(
        "--journal",
        metavar="PATH",
        type=Path,
        help="where each finished case is kept at once; default: beside the --benchmark-json file",
    )
    group.addoption(
        "--resume",
        action="store_true",
        help="take over the cases that the journal holds for this machine, torch and suite; "
        "measure the rest, and those that crashed or failed",
    )

    group.addoption(
        "--data-root",
        metavar="FOLDER",
        type=Path,
        help="where data sets lie, as torchvision keeps them, for the operation loader; without it, made-up images",
    )
    options.add(group)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sweep(mode): a test that stands for all cases of a mode")
    if not _measures(config):
        return
    if config.getoption("dist", "no") != "no" or os.environ.get("PYTEST_XDIST_WORKER"):
        raise pytest.UsageError("dlhw measures one case at a time: run pytest bench/ without xdist (-n, --dist)")
    try:
        chosen = suite.load(config.getoption("suite"), config.getoption("axis"), options.budget_changes(config))
    except DlhwError as error:
        raise pytest.UsageError(str(error)) from error
    root = config.getoption("data_root")
    if root is not None and not root.is_dir():
        raise pytest.UsageError(f"--data-root {root}: no such folder")
    config.stash[SWEEP] = Sweep(chosen, _journal_path(config), resume=config.getoption("resume"), data_root=root)
    if not config.getoption("benchmark_columns"):
        config.option.benchmark_columns = ["median", "iqr", "rounds"]


def pytest_unconfigure(config: pytest.Config) -> None:
    if sweep := config.stash.get(SWEEP, None):
        sweep.close()


def pytest_collection(session: pytest.Session) -> None:
    if sweep := session.config.stash.get(SWEEP, None):
        _start(sweep)


def _start(sweep: Sweep) -> None:
    try:
        sweep.start()
    except DlhwError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each case of the test's mode."""
    marker = metafunc.definition.get_closest_marker("sweep")
    if marker is None:
        return
    sweep = metafunc.config.stash[SWEEP]
    cases = [case for case, _ in sweep.cases.values() if case.mode == marker.kwargs["mode"]]
    metafunc.parametrize("case", [_parameter(case) for case in cases])


def _parameter(case: Any) -> Any:
    mark = pytest.mark.benchmark(group=case.group, timer=Replay())
    return pytest.param(case.id, id=case.id, marks=mark)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A suite without cases of a mode leaves an empty test, which is nothing to report."""
    items[:] = [item for item in items if not _is_case(item) or _case_id(item)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """With the plan known, begin the journal; the terminal is ours from here on."""
    config = session.config
    sweep = config.stash.get(SWEEP, None)
    planned = _planned(session.items)
    if sweep is None or not planned or config.option.collectonly:
        return
    if not _disabled(config):
        _open_journal(config, sweep, planned)
    config.stash[PROGRESS] = progress.Progress({case_id: sweep.expected_seconds(case_id) for case_id in planned})
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.showfspath = False


def _open_journal(config: pytest.Config, sweep: Sweep, planned: list[str]) -> None:
    header = {
        "machine_info": plain(_machine_info(config)),
        "commit_info": _commit_info(config),
        "suite": {"name": sweep.suite.name, "path": str(sweep.suite.path)},
        "arguments": list(config.invocation_params.args),
        "plan": planned,
    }
    try:
        sweep.open_journal(header)
    except DlhwError as error:
        pytest.exit(f"dlhw: {error}", returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    sweep = config.stash.get(SWEEP, None)
    planned = _planned(items)
    if sweep is None or not planned:
        return []
    impossible = sum(bool(sweep.impossible(case_id)) for case_id in planned)
    taken = sum(case_id in sweep.reused for case_id in planned)
    seconds = sum(sweep.expected_seconds(case_id) for case_id in planned)
    return [
        f"dlhw: {progress.machine(sweep.environment)}",
        f"dlhw: suite {sweep.suite.name}, {len(planned)} cases, {impossible} of them impossible here"
        + (f", {taken} taken over from {sweep.journal_path}" if taken else ""),
        f"dlhw: at most about {units.duration(seconds)} (longer where a step takes seconds)",
    ]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[Any]:
    """Where cases have several launches, make all but the last of each before the tests, round by round."""
    config = session.config
    if PROGRESS in config.stash and not _disabled(config) and not session.testsfailed:
        try:
            _early_rounds(config, config.stash[SWEEP], config.stash[PROGRESS])
        except DlhwError as error:
            pytest.exit(f"dlhw: {error}; what was measured until now is kept", returncode=1)
    return (yield)


def _early_rounds(config: pytest.Config, sweep: Sweep, shown: progress.Progress) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for case_id in sweep.rounds(shown.planned):
        shown.begin()
        if reporter and reporter.isatty:
            reporter.rewrite(f"launching {case_id}  {_eta(shown)}", erase=True)
        record = sweep.launch(case_id)
        shown.advance(case_id, sweep.expected_seconds(case_id))
        if reporter:
            if reporter.isatty:
                reporter.rewrite("", erase=True)
            number, launches = sweep.launches_of(case_id)
            reporter.write_line(f"launch {number} of {launches}  {progress.brief(record)}  {_eta(shown)}")


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Measures the case of a test, and hands the samples to pytest-benchmark."""
    item, config = request.node, request.config

    def measure_case(case_id: str, benchmark: Any) -> None:
        try:
            record, output = config.stash[SWEEP].measure(case_id, item.nodeid, once=benchmark.disabled)
        except DlhwError as error:
            pytest.exit(f"dlhw: {error}; what was measured until now is kept", returncode=1)
        item.stash[RECORD] = record
        if record.outcome.status is Status.MEASURED:
            benchmark.extra_info.update(record.extra_info())
            item.get_closest_marker("benchmark").kwargs["timer"].load(record.seconds)
            benchmark.pedantic(lambda: None, rounds=len(record.seconds))
        elif record.outcome.status in JUDGED_TOO_SLOW:
            pytest.skip(record.outcome.reason)
        else:
            pytest.fail("\n".join(filter(None, (record.outcome.reason, output))), pytrace=False)

    return measure_case


# What is seen while it runs: one line a case as it ends, and on a terminal the case in hand.


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    shown = item.config.stash.get(PROGRESS, None) if _is_case(item) else None
    if shown is None:
        return (yield)
    reporter = item.config.pluginmanager.get_plugin("terminalreporter")
    shown.begin()
    if reporter and reporter.isatty:
        reporter.rewrite(f"{shown.done} measuring {_case_id(item)}  {_eta(shown)}", erase=True)
    result = yield
    record = item.stash.get(RECORD, None)
    shown.end(_case_id(item))
    if reporter and record is not None:
        _show(reporter, record, shown)
    return result


def _show(reporter: Any, record: Record, shown: progress.Progress) -> None:
    if reporter.isatty:
        reporter.rewrite("", erase=True)
    else:
        reporter.ensure_newline()
    good = record.outcome.status is Status.MEASURED
    colour = {"ok": {"green": True}, "skipped": {}, progress.NOISY: {"yellow": True}}
    reporter.write(f"{shown.done} {progress.line(record)}  ")
    reporter.write(progress.word(record), **colour.get(progress.word(record), {"red": True}))
    reporter.write_line(f"  {_eta(shown)}" if good else "")


def _eta(shown: progress.Progress) -> str:
    return "" if shown.eta_seconds is None else f"ETA {units.duration(shown.eta_seconds)}"


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: Any, config: pytest.Config) -> tuple[str, str, str] | None:
    """Our own line says it all; pytest's dots would stand in its way."""
    if PROGRESS not in config.stash or "[" not in report.nodeid or "sweep" not in report.keywords:
        return None
    if report.when == "call" or report.skipped or report.failed:
        return report.outcome, "", report.outcome.upper()
    return "", "", ""


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    sweep = config.stash.get(SWEEP, None)
    if sweep is None or PROGRESS not in config.stash:
        return
    write = terminalreporter.write_line
    terminalreporter.section("dlhw")
    measured = [record for record in sweep.records.values() if record.outcome.status is Status.MEASURED]
    write(f"{progress.tally(sweep.records.values())} of {len(config.stash[PROGRESS])} planned")
    if _disabled(config):
        write("NOTHING WAS MEASURED, and no JSON was written: --benchmark-disable runs each case once", red=True)
        return
    for answer in answers(measured, sweep.environment["host"]):
        write(f"{answer.subject}: {answer.text}")
    if not measured:
        write("NOTHING WAS MEASURED: every case was skipped or failed; the reasons are above", red=True)
    write(f"journal: {sweep.journal_path}")
    results = config.getoption("benchmark_json", None)
    if results:
        write(f"results: {results}    next: dlhw table {results}")
    else:
        write(f"no --benchmark-json was given; to have one: dlhw recover {sweep.journal_path} -o results.json")
    for line in _keep_ceilings(sweep, measured):
        write(line)
    if len(sweep.records) < len(config.stash[PROGRESS]):
        write(f"ended early; the rest: {_resume_command(config)}", yellow=True)


def _keep_ceilings(sweep: Sweep, measured: Sequence[Record]) -> list[str]:
    """What this machine does at best is kept for later runs; that it cannot be is no reason to fail."""
    found = ceilings.measured(measured)
    if not found.known:
        return []
    try:
        return [f"ceilings of this machine: {ceilings.keep(found, fingerprint(sweep.environment))}"]
    except DlhwError as error:
        return [f"the ceilings were not kept: {error}"]


def _resume_command(config: pytest.Config) -> str:
    arguments = [argument for argument in config.invocation_params.args if argument != "--resume"]
    return shlex.join(["pytest", *map(str, arguments), "--resume"])


# pytest-benchmark's hooks: what its JSON does not know by itself.


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    sweep = config.stash.get(SWEEP, None)
    if sweep is None:
        return
    _start(sweep)  # --benchmark-compare asks before anything else does
    for key in ("hz_actual", "hz_actual_friendly"):  # differs at every reading, and makes each comparison warn
        machine_info["cpu"].pop(key, None)
    for key in ("torch", "devices", "host"):
        machine_info[key] = plain(sweep.environment[key])


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    sweep = config.stash.get(SWEEP, None)
    if sweep is not None and PROGRESS in config.stash:
        output_json.update(_what_became_of_the_rest(config, sweep))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """pytest-benchmark writes no JSON when nothing was measured; the outcomes are worth a file all the same."""
    yield
    config = session.config
    path = config.getoption("benchmark_json", None)
    if path is None or PROGRESS not in config.stash or _disabled(config) or config._benchmarksession.benchmarks:  # type: ignore[attr-defined]
        return
    from pytest_benchmark import __version__

    data = {
        "machine_info": plain(_machine_info(config)),
        "commit_info": _commit_info(config),
        "benchmarks": [],
        "datetime": datetime.now(UTC).isoformat(),
        "version": __version__,
        **_what_became_of_the_rest(config, config.stash[SWEEP]),
    }
    Path(path).write_text(json.dumps(data, indent=4))


def _what_became_of_the_rest(config: pytest.Config, sweep: Sweep) -> dict[str, Any]:
    planned = config.stash[PROGRESS].planned
    return {
        "outcomes": outcomes({case_id: sweep.cases[case_id][0].to_json() for case_id in planned}, sweep.records),
        "dlhw": {
            "schema": SCHEMA,
            "suite": sweep.suite.name,
            "arguments": list(map(str, config.invocation_params.args)),
            "planned": len(planned),
            **sweep.key,
        },
    }


def _commit_info(config: pytest.Config) -> Any:
    return config.hook.pytest_benchmark_generate_commit_info(config=config)


def _machine_info(config: pytest.Config) -> dict[str, Any]:
    info = config.hook.pytest_benchmark_generate_machine_info(config=config)
    config.hook.pytest_benchmark_update_machine_info(config=config, machine_info=info)
    return info  # type: ignore[no-any-return]


def _measures(config: pytest.Config) -> bool:
    """Whether this run's arguments reach the tests in this folder."""
    if config.getoption("pyargs") and any(
        argument.partition("::")[0].split(".")[0] == "bench" for argument in config.args
    ):
        return True
    paths = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return any(path == HERE or HERE in path.parents or path in HERE.parents for path in paths)


def _journal_path(config: pytest.Config) -> Path:
    chosen, results = config.getoption("journal"), config.getoption("benchmark_json", None)
    if chosen:
        return Path(chosen)
    return Path(results).with_suffix(".journal.jsonl") if results else DEFAULT_JOURNAL


def _disabled(config: pytest.Config) -> bool:
    return bool(config._benchmarksession.disabled)  # type: ignore[attr-defined]


def _is_case(item: pytest.Item) -> bool:
    return item.get_closest_marker("sweep") is not None


def _case_id(item: pytest.Item) -> str:
    """Of the case that `item` stands for; empty for the test that an empty parametrisation leaves."""
    value = item.callspec.params.get("case") if hasattr(item, "callspec") else None
    return value if isinstance(value, str) else ""


def _planned(items: Sequence[pytest.Item]) -> list[str]:
    return [case_id for item in items if _is_case(item) and (case_id := _case_id(item))]
