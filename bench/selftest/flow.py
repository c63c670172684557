"""`checks` is the flow of `dlhw selftest`: describe the machine, plan, and make check after check."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from bench.controller.launcher import Launcher
from bench.controller.process import Worker
from bench.doctor.examine import examine
from bench.selftest import judge, quick
from bench.selftest.judge import Check
from bench.selftest.quick import Begin
from bench.selftest.report import Report
from bench.selftest.steps import Place, Step, steps_of
from bench.sweep.progress import Progress
from bench.sweep.sweep import machine_of
from suites.axes import devices_of
from suites.errors import DlhwError, did_you_mean

START_SECONDS, DOCTOR_SECONDS = 8.0, 70.0


def checks(report: Report, wanted: Sequence[str], begin: Begin, *, quickly: bool) -> Iterator[Check]:
    """Make all checks, each in `report` before it is given.

    Args:
        wanted: devices, or kinds of them; empty: all.
        quickly: whether to run the quick suite at the end.

    Raises:
        DlhwError: torch cannot be started, a device is not there, or the report cannot be written.
    """
    begin("", "starting torch", START_SECONDS, None)
    with Worker() as worker, Worker(fork=False) as fresh:
        launcher = Launcher(worker, fresh)
        environment = launcher.describe()
        names = chosen(wanted, [device["name"] for device in environment["devices"]], environment)
        report.describe(environment)
        devices = [device for device in environment["devices"] if device["name"] in names]
        for found in map(judge.present, devices):
            report.add(found)
            yield found
        place = partial(Place, worker, launcher, machine_of(environment), others=environment["devices"])
        working = [device for device in devices if not device.get("reason")]
        steps = [
            Step("doctor on the machine", DOCTOR_SECONDS, _doctor),
            *(step for device in working for step in steps_of(place(device))),
        ]
        if quickly and working:
            run = partial(quick.run, [device["name"] for device in working], report.keep, begin)
            steps.append(Step("quick on all", quick.SECONDS, run))
        yield from _made(steps, report, begin)


def chosen(wanted: Sequence[str], there: Sequence[str], environment: Mapping[str, Any]) -> list[str]:
    """The devices that were asked for, those that do not work included.

    Raises:
        DlhwError: one is not there.
    """
    machine = machine_of({**environment, "devices": [{"name": name} for name in there]})
    names = [name for pattern in wanted or ["all"] for name in devices_of(pattern, machine)]
    for name in names:
        if name not in there:
            hint = did_you_mean(name, there)
            raise DlhwError(f"--device {name}: there is no such device{hint}; present: {', '.join(there)}")
    return list(dict.fromkeys(names))


def _made(steps: Sequence[Step], report: Report, begin: Begin) -> Iterator[Check]:
    left = {step.name: step.seconds for step in steps}
    progress = Progress(left, lambda: sum(left.values()))
    for step in steps:
        begin(progress.done, step.name, step.seconds, progress.eta_seconds)
        for found in _guarded(step):
            report.add(found)
            yield found
        del left[step.name]
        progress.see(step.name)


def _guarded(step: Step) -> Iterator[Check]:
    """A step that cannot be made is a failed check; the others go on."""
    try:
        yield from step.run()
    except DlhwError as error:
        name, _, device = step.name.partition(" on ")
        yield judge.check(name, device, False, str(error), {})


def _doctor() -> Iterator[Check]:
    """The machine's part alone: what the instrument does on each device has checks of its own."""
    yield judge.doctor(list(examine(lambda step, seconds: None, devices=())))
