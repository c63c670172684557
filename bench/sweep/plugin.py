"""The pytest plugin: a suite's cases become tests, each of which measures its case.

Loaded by name (`-p bench.sweep.plugin`), never by entry point: it must not reach into other projects' test runs.
"""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.records.record import Status, plain
from bench.sweep import command, early, options, order, progress, results, streams, terminal
from bench.sweep.stash import PROGRESS, RECORD, SWEEP, case_id_of, disabled, is_case, planned, start
from bench.sweep.sweep import Sweep
from suites import suite
from suites.errors import DlhwError

HERE = Path(__file__).resolve().parents[1]
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
    options.add(parser.getgroup("dlhw", "what to measure (dlhw)"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sweep(mode): a test that stands for all cases of a mode")
    if not _measures(config):
        return
    streams.make_writable()
    if config.getoption("dist", "no") != "no" or os.environ.get("PYTEST_XDIST_WORKER"):
        raise pytest.UsageError("dlhw measures one case at a time: run pytest bench/ without xdist (-n, --dist)")
    try:
        chosen = suite.load(config.getoption("suite"), config.getoption("axis"), options.budget_changes(config))
        only = options.chosen_cases(config)
    except DlhwError as error:
        raise pytest.UsageError(str(error)) from error
    root = config.getoption("data_root")
    if root is not None and not root.is_dir():
        raise pytest.UsageError(f"--data-root {root}: no such folder")
    for part in (results, terminal):
        config.pluginmanager.register(part)
    config.stash[SWEEP] = Sweep(
        chosen, _journal_path(config), resume=config.getoption("resume"), data_root=root, only=only,
        instructions=config.getoption("instructions"), budget_seconds=options.budget_seconds(config, chosen),
    )  # fmt: skip
    if config.getoption("plan"):
        config.option.collectonly = True
    terminal.quieten(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    if sweep := config.stash.get(SWEEP, None):
        sweep.close()
        if config.getoption("store") and PROGRESS in config.stash and not disabled(config):
            _to_store(config, config.getoption("store"))


def _to_store(config: pytest.Config, store: str) -> None:
    output = config.getoption("benchmark_json", None)
    whole = output and Path(output).is_file() and Path(output).stat().st_size
    command.to_store([Path(output) if whole else _journal_path(config)], store)


def pytest_collection(session: pytest.Session) -> None:
    if sweep := session.config.stash.get(SWEEP, None):
        start(sweep)


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
    """A suite without cases of a mode leaves an empty test, which is nothing to report; the others are spread."""
    items[:] = [item for item in items if not is_case(item) or case_id_of(item)]
    if (sweep := config.stash.get(SWEEP, None)) and not config.option.collectonly:
        chosen = [item for item in items if is_case(item)]
        ordered = order.spread(sweep.cases[case_id][0] for case_id in dict.fromkeys(map(case_id_of, chosen)))
        rank = {case.id: number for number, case in enumerate(ordered)}
        spread = iter(sorted(chosen, key=lambda item: rank[case_id_of(item)]))
        items[:] = [next(spread) if is_case(item) else item for item in items]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """With the plan known, begin the journal; the terminal is ours from here on."""
    config = session.config
    sweep = config.stash.get(SWEEP, None)
    case_ids = planned(session.items)
    if sweep is not None and (path := config.getoption("plan")):
        _write_plan(path, sweep, case_ids)
    if sweep is None or not case_ids or config.option.collectonly:
        return
    sweep.planned = tuple(case_ids)
    if not disabled(config):
        _open_journal(config, sweep, case_ids)
    config.stash[PROGRESS] = progress.Progress(case_ids, sweep.remaining_seconds)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.showfspath = False


def _write_plan(path: Path, sweep: Sweep, case_ids: Sequence[str]) -> None:
    try:
        path.write_text(json.dumps(plain(sweep.plan(case_ids))), encoding="utf-8")
    except OSError as error:
        raise pytest.UsageError(f"--plan {path}: {error.strerror}") from error


def _open_journal(config: pytest.Config, sweep: Sweep, case_ids: list[str]) -> None:
    header = {
        "machine_info": plain(results.machine_info_of(config)),
        "commit_info": results.commit_info(config),
        "suite": {"name": sweep.suite.name, "path": str(sweep.suite.path)},
        "arguments": command.typed(config.invocation_params.args, config.invocation_params.dir)[1],
        "plan": case_ids,
        "measure": sweep.suite.content.measure.model_dump(),
    }
    try:
        sweep.open_journal(header)
    except DlhwError as error:
        pytest.exit(f"dlhw: {error}", returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[Any]:
    """Make the launches that come before the tests; an interruption meanwhile leaves the best so far to them."""
    config, interrupted = session.config, False
    if PROGRESS in config.stash and not disabled(config) and not session.testsfailed:
        try:
            early.launches(config, config.stash[SWEEP], config.stash[PROGRESS])
        except DlhwError as error:
            pytest.exit(f"dlhw: {error}; what was measured until now is kept", returncode=1)
        except KeyboardInterrupt:
            if config.stash[SWEEP].budget_seconds is None:
                raise
            interrupted = True
    result = yield
    if interrupted:
        raise KeyboardInterrupt
    return result


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Measures the case of a test, and hands the samples to pytest-benchmark."""
    item, config = request.node, request.config

    def measure_case(case_id: str, benchmark: Any) -> None:
        sweep = config.stash[SWEEP]
        try:
            record, output = sweep.measure(case_id, once=benchmark.disabled)
            with uninterrupted():  # what is in the journal is in the results, too
                sweep.keep(record, item.nodeid)
                item.stash[RECORD] = record
                if record.outcome.status is Status.MEASURED:
                    benchmark.extra_info.update(record.extra_info())
                    item.get_closest_marker("benchmark").kwargs["timer"].load(record.seconds)
                    benchmark.pedantic(lambda: None, rounds=len(record.seconds))
        except DlhwError as error:
            pytest.exit(f"dlhw: {error}; what was measured until now is kept", returncode=1)
        if record.outcome.status in JUDGED_TOO_SLOW:
            pytest.skip(record.outcome.reason)
        if record.outcome.status is not Status.MEASURED:
            pytest.fail("\n".join(filter(None, (record.outcome.reason, output))), pytrace=False)

    return measure_case


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """An interruption waits until what is inside has ended."""
    caught: list[Any] = []
    before = signal.signal(signal.SIGINT, lambda *call: caught.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught and callable(before):
        before(*caught[0])


def _measures(config: pytest.Config) -> bool:
    """Whether this run's arguments reach the tests in this folder."""
    if config.getoption("pyargs") and any(
        argument.partition("::")[0].split(".")[0] == "bench" for argument in config.args
    ):
        return True
    paths = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return any(path == HERE or HERE in path.parents or path in HERE.parents for path in paths)


def _journal_path(config: pytest.Config) -> Path:
    chosen, output = config.getoption("journal"), config.getoption("benchmark_json", None)
    if chosen:
        return Path(chosen)
    return Path(output).with_suffix(".journal.jsonl") if output else DEFAULT_JOURNAL
