"""Which settings to use, from rows that are known."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bench.records.record import Check, Memory
from reports.analysis import advise as module
from reports.analysis.advise import Wishes, advise
from reports.cli import app
from reports.results.frames import load
from suites.errors import DlhwError
from tests.support.samples import LENET, ended, measured, results, write

MIB = 2**20


def net(seconds, spread=0.0, *, error=1e-7, peak=300, sensors=None, **changes):
    samples = tuple(seconds * (1 + spread * sign) for sign in (-1, -1, -1, 0, 1, 1, 1))
    memory = Memory(peak_host_bytes=peak * MIB, base_host_bytes=0, host_source="VmHWM", parameter_bytes=1)
    return measured(
        replace(LENET, **changes), samples, memory=memory, sensors=sensors,
        check=Check(relative_error=error, tolerance=1.0, reference="x"),
    )  # fmt: skip


RECORDS = (
    net(0.004), net(0.002, error=3e-3, precision="bf16"), net(0.010, batch_size=32, peak=900),
    net(0.001, error=0.2, precision="fp16"), ended("timeout", "x", replace(LENET, batch_size=99)),
)  # fmt: skip


@pytest.fixture
def ask(tmp_path):
    def ask(*records, **wishes):
        frame = load(write(tmp_path / "r.json", *(records or RECORDS)))
        return advise(frame, Wishes(architecture="lenet", **wishes))

    return ask


def test_the_fastest_that_is_allowed(ask):
    (found,) = ask()
    assert (found.settings["precision"], found.gives.split(",")[0]) == ("fp16", "8")
    (exact,) = ask(max_error=1e-2)
    assert exact.settings["precision"] == "bf16"
    assert exact.excluded == {"not measured": 1, "distance from fp64 too large": 1}
    assert exact.next_best == "batch_size 32, precision fp32: 3,200 img/s, -20.0% [-20.0, -20.0]"
    assert exact.sure == "certain, as far as these launches tell"
    assert exact.candidates == 3


def test_limits(ask):
    assert ask(max_error=1e-6, max_latency_seconds=0.005)[0].settings["batch_size"] == 8
    assert ask(max_error=1e-6)[0].settings["batch_size"] == 32
    assert ask(max_error=1e-6, max_memory_bytes=500 * MIB)[0].settings["batch_size"] == 8
    (nothing,) = ask(max_latency_seconds=1e-6)
    assert (nothing.case, nothing.gives) == (None, "nothing that was measured is allowed")
    assert nothing.excluded["latency too large"] == 4


def test_latency_asks_for_less(ask):
    (found,) = ask(objective="latency", max_error=1e-2)
    assert found.settings["precision"] == "bf16"
    assert found.next_best.startswith("precision fp32: 4.00 ms, +100.0%")


def test_energy_needs_joules(ask):
    (unknown,) = ask(objective="energy")
    assert unknown.excluded["energy unknown"] == 4
    counted = net(0.004, sensors={"energy_joules": 80.0, "window_steps": 10}, batch_size=16)
    (found,) = ask(*RECORDS, counted, objective="energy")
    assert (found.settings["batch_size"], found.sure) == (16, "the only one that is allowed")
    assert found.gives.startswith("0.500 J/image, 4,000 img/s")


def test_cost_is_price_over_images(ask):
    (found,) = ask(objective="cost", prices={"box": 3.6})
    assert found.gives.startswith("0.125 USD/million images")  # 0.001 USD a second, 8,000 images in it
    with pytest.raises(DlhwError, match="--price tin: no such machine; box"):
        ask(objective="cost", prices={"tin": 1.0})


def test_an_order_that_noise_may_make_is_not_certain(ask):
    (found,) = ask(net(0.004, 0.1), net(0.0041, 0.1, precision="bf16"))
    assert found.sure == "not certain: the intervals meet"


def test_each_machine_has_its_own(tmp_path):
    paths = []
    for name, seconds in (("a", 0.004), ("b", 0.002)):
        data = results(net(seconds), net(2 * seconds, precision="bf16"))
        data["machine_info"]["node"] = name
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(data))
    found = advise(load(paths), Wishes(architecture="lenet"))
    assert [(each.machine, each.settings["precision"]) for each in found] == [("a", "fp32"), ("b", "fp32")]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"objective": "throughputs"}, "--objective throughputs: unknown (did you mean 'throughput'?)"),
        ({"mode": "training"}, "--architecture lenet: not in these results in training"),
    ],
)
def test_a_mistake_names_the_option(ask, wishes, words):
    with pytest.raises(DlhwError) as caught:
        ask(**wishes)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["box", "box=", "box=cheap", "=3x"])
def test_what_is_no_price_is_one_clear_error(text):
    with pytest.raises(DlhwError, match="expected MACHINE=USD_PER_HOUR"):
        module.price(text)
    assert module.price("a=b=1.5") == ("a=b", 1.5)


def test_the_command(tmp_path):
    path = write(tmp_path / "r.json", *RECORDS)
    ask = ["advise", str(path), "--architecture", "lenet", "--precision-loss", "1e-2", "--max-latency", "20ms"]
    lines = CliRunner().invoke(app, ask).output.splitlines()
    assert lines[0].split("\t") == ["machine", "use", "gives", "next best", "sure", "of"]
    assert "precision bf16" in lines[1]
    (found,) = json.loads(CliRunner().invoke(app, [*ask, "--json"]).output)
    assert found["settings"]["precision"] == "bf16"


def noisy(record):
    return replace(record, sampling=replace(record.sampling, noisy=("steal 9%",)))


def test_a_disturbed_setting_is_no_advice_while_there_is_an_undisturbed_one(ask):
    (found,) = ask(noisy(net(0.001, precision="bf16")), net(0.002))
    assert found.settings["precision"] == "fp32"
    assert found.excluded == {"disturbed": 1}


def test_where_all_were_disturbed_the_advice_says_so(ask):
    (found,) = ask(noisy(net(0.001, precision="bf16")), noisy(net(0.002)))
    assert found.settings["precision"] == "bf16"
    assert found.sure == "not at all: every candidate was disturbed, this one so: steal 9%"
