"""Relative performance, where the right answer is known."""

import json
import math
from dataclasses import replace

import pytest

from reports.analysis import dataset
from reports.analysis.relative import net_name, relative
from suites.errors import DlhwError
from tests.support.samples import LENET, ended, measured, results


def net(seconds, spread=0.0, **changes):
    noisy = changes.pop("noisy", ())
    parts = {"sensors": changes.pop("sensors")} if "sensors" in changes else {}
    samples = tuple(seconds * (1 + spread * sign) for sign in (-1, -1, -1, 0, 1, 1, 1))
    return measured(replace(LENET, **changes), samples, noisy=noisy, **parts)


@pytest.fixture
def load(tmp_path):
    def load(machines, prices=None):
        paths = []
        for name, records in machines.items():
            data = results(*records)
            data["machine_info"]["node"] = name
            data["dlhw"]["fingerprint"] = name
            paths.append(tmp_path / f"{name}.json")
            paths[-1].write_text(json.dumps(data))
        return dataset.load(paths, names={}, prices=prices or {}, reference=None).cases

    return load


def ratios(found):
    return dict(zip(found.table["system"], found.table["ratio"], strict=True))


def test_each_net_counts_once_however_many_cases_it_has(load):
    cases = load({
        "a": [net(0.004), net(0.008, batch_size=16), net(0.1, architecture="nin")],
        "b": [net(0.002), net(0.004, batch_size=16), net(0.1 / 8, architecture="nin")],
    })  # fmt: skip
    found = relative(cases)
    assert ratios(found) == {"b": pytest.approx(math.sqrt(2 * 8)), "a": 1.0}
    assert found.reference == "a"
    assert found.table[["nets", "cases"]].to_numpy().tolist() == [[2, 3], [2, 3]]
    assert found.finding == (
        "b is the fastest in inference: 4.00 times a, over the 2 nets that all 2 have measured, at the same settings."
    )


def test_what_is_not_common_to_all_does_not_count(load):
    cases = load({"a": [net(0.004), net(9.0, batch_size=99)], "b": [net(0.002), net(0.1, architecture="nin")]})
    assert ratios(relative(cases)) == {"b": pytest.approx(2), "a": 1.0}


def test_at_the_best_setting_other_settings_can_be_compared(load):
    cases = load({
        "card": [net(0.001, batch_size=64, precision="bf16"), net(0.001, batch_size=8, precision="bf16")],
        "cpu": [net(0.004, batch_size=8), net(0.004, batch_size=4)],
    })  # fmt: skip
    assert ratios(relative(cases)) == {"cpu": 1.0}  # nothing of the same settings: one alone
    assert relative(cases).finding == ""
    found = relative(cases, way="best")
    assert ratios(found) == {"card": pytest.approx(32), "cpu": 1.0}
    assert dict(zip(found.nets["system"], found.nets["setting"], strict=True)) == {"card": "bf16 b64", "cpu": "fp32 b8"}


def test_other_sizes_of_image_and_other_modes_are_other_nets(load):
    cases = load({
        "a": [net(0.004, input_shape=(1, 32, 32)), net(0.01, mode="training")],
        "b": [net(0.002, input_shape=(1, 64, 64)), net(0.02, mode="training")],
    })  # fmt: skip
    assert len(relative(cases, way="best").table) == 1
    assert ratios(relative(cases, mode="training")) == {"a": pytest.approx(2), "b": 1.0}


def test_who_shares_nothing_is_left_out_and_named(load):
    both = [net(0.004), net(0.004, architecture="nin")]
    cases = load({"a": both, "b": both, "odd": [net(0.001, architecture="alexnet")], "few": both[:1]})
    found = relative(cases)
    assert set(found.table["system"]) == {"a", "b", "few"}
    assert found.table["nets"].tolist() == [1, 1, 1]
    assert found.left_out == ("odd",)


def test_the_interval_is_what_the_cases_leave_open(load):
    cases = load({"a": [net(0.004, 0.1), net(0.008, 0.1, batch_size=16)], "b": [net(0.002, 0.1),
                                                                         net(0.004, 0.1, batch_size=16)]})  # fmt: skip
    half = math.log(1.1 / 0.9) / 2 * math.sqrt(4) / 2
    row = relative(cases, reference="a").table.iloc[0]
    assert (row["ratio_low"], row["ratio_high"]) == (
        pytest.approx(2 * math.exp(-half)),
        pytest.approx(2 * math.exp(half)),
    )
    base = relative(cases, reference="a").table.iloc[1]
    assert base[["ratio_low", "ratio", "ratio_high"]].tolist() == [1, 1, 1]


def test_what_has_no_interval_gives_none_and_what_was_noisy_is_counted(load):
    cases = load({"a": [net(0.004)], "b": [net(0.002, noisy=("busy",))]})
    cases.loc[cases["machine"] == "b", ["low_seconds", "high_seconds"]] = None
    row = relative(cases).table.iloc[0]
    assert row["ratio_low"] != row["ratio_low"] or row["ratio_low"] is None
    assert (row["noisy"], row["without_interval"]) == (1, 1)


def test_per_dollar_and_per_joule_turn_the_order(load):
    energy = [{"energy_joules": joules, "window_steps": 10} for joules in (80.0, 10.0)]
    cases = load({"fast": [net(0.001, sensors=energy[0])], "cheap": [net(0.002, sensors=energy[1])]},
                 prices={"fast": 8.0, "cheap": 1.0})  # fmt: skip
    assert ratios(relative(cases)) == {"fast": pytest.approx(2), "cheap": 1.0}
    assert ratios(relative(cases, measure="dollar")) == {"cheap": pytest.approx(4), "fast": 1.0}
    found = relative(cases, measure="joule")
    assert ratios(found) == {"cheap": pytest.approx(8), "fast": 1.0}
    assert found.finding.startswith("cheap does most per joule in inference: 8.00 times fast")
    assert relative(load({"a": [net(0.1)]}), measure="dollar").table.empty


def test_a_prediction_stands_where_nothing_was_measured(load, tmp_path):
    load({"a": [net(0.004), net(0.004, batch_size=16)], "b": [net(0.002)]})
    data = json.loads((tmp_path / "b.json").read_text())
    data["outcomes"] = results(ended("skipped", "no time", replace(LENET, batch_size=16)))["outcomes"]
    data["outcomes"][0]["prediction"] = {"median_seconds": 0.0005, "low": 0.0004, "high": 0.000625, "coverage": 0.9}
    (tmp_path / "b.json").write_text(json.dumps(data))
    cases = dataset.load([tmp_path / "a.json", tmp_path / "b.json"], names={}, prices={}, reference=None).cases
    found = relative(cases)
    assert ratios(found)["b"] == pytest.approx(math.sqrt(2 * 8))
    assert found.table["predicted"].tolist() == [1, 0]
    assert found.finding.endswith("at the same settings. Predicted, not measured: 1 of 4 cases.")
    assert ratios(relative(cases, way="best"))["b"] == pytest.approx(8 / 0.002 / (16 / 0.004))  # the measured one
    data["outcomes"][0]["prediction"]["low"] = "much"
    (tmp_path / "b.json").write_text(json.dumps(data))
    with pytest.raises(DlhwError, match=r"b\.json: a case in it is damaged"):
        dataset.load([tmp_path / "b.json"], names={}, prices={}, reference=None)


def test_devices_of_one_machine_are_systems_of_their_own(load):
    cases = load({"box": [net(0.004), net(0.001, device="cuda:0")]})
    found = relative(cases, reference="box cpu")
    assert ratios(found) == {"box cuda:0": pytest.approx(4), "box cpu": 1.0}


def test_of_several_threads_the_fastest_counts(load):
    cases = load({"a": [net(0.004, threads=1), net(0.002, threads=2)], "b": [net(0.001, threads=8)]})
    assert ratios(relative(cases))["b"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("shape", "name"), [("1x96x96", "n 96 px"), ("3x64x48", "n 3x64x48"), ("", "n"), (None, "n"), ("16", "n 16")]
)
def test_a_net_is_named_with_the_size_of_its_images(shape, name):
    assert net_name("n", shape) == name
