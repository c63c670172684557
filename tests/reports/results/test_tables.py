"""Tables for people: what varies, as text, and pivots of it."""

from dataclasses import replace

import pytest

from reports.results import tables
from reports.results.frames import AXES, load
from suites.errors import DlhwError
from suites.micro import Micro
from tests.support.samples import LENET, compiled, ended, measured, micro, write

BF16 = replace(LENET, precision="bf16")
TRAINING = replace(LENET, mode="training")
FAST, SLOW = (0.001,) * 7, (0.004,) * 7


@pytest.fixture
def frame(tmp_path):
    return lambda *records: load(write(tmp_path / "r.json", *records))


def pivot(frame, by, value="images_per_second"):
    return tables.pivot(frame, by.split(","), value).to_dict("list")


def test_only_axes_that_vary_have_a_column(frame):
    table = tables.cases(
        frame(measured(), measured(BF16, SLOW, noisy=("busy", "hot")), ended("timeout", "slow", TRAINING))
    )
    assert table.to_dict("list") == {
        "mode": ["inference", "inference", "training"],
        "precision": ["fp32", "bf16", "fp32"],
        "time a step": ["4.00 ms [1.00, 7.00]", "4.00 ms [4.00, 4.00]", "-"],
        "images/s": ["2,000 img/s", "2,000 img/s", "-"],
        "FLOP/s": ["1.67 GFLOP/s", "1.67 GFLOP/s", "-"],
        "peak memory": ["300 MiB", "300 MiB", "-"],
        "noise": ["75.0%", "0.0%", "-"],
        "verdict": ["ok", "NOISY: busy; hot", "timeout: slow"],
    }


def test_one_row_has_all_its_axes(frame):
    table = tables.cases(frame(measured()))
    own = [axis.replace("_", " ") for axis in AXES if axis not in {"operation", "variant", "size", "power_limit"}]
    assert list(table)[: len(own)] == own
    assert table["batch size"].tolist() == ["8"]


COPIES = [
    micro(f"copy-{size}-fp32-cpu-t{t}", t * 1e9 * size / 64, metric="bytes_per_second")
    for size in (64, 128)
    for t in (1, 2)
]


def test_micro_benchmarks_have_a_result_in_their_own_unit(frame):
    skipped = ended("skipped", "no compiler", replace(Micro.parse(COPIES[0].id), size=(256,)))
    table = tables.cases(frame(*COPIES[:2], skipped))
    assert list(table) == ["size", "threads", "time a step", "result", "noise", "verdict"]
    assert table["result"].tolist() == ["1.00 GB/s", "2.00 GB/s", "-"]


def test_nets_and_micro_benchmarks_share_a_table(frame):
    table = tables.cases(frame(measured(), COPIES[0]))
    assert table["operation"].tolist() == ["-", "copy"]
    assert table["architecture"].tolist() == ["lenet", "-"]
    assert table["result"].tolist() == ["2,000 img/s", "1.00 GB/s"]
    assert table["peak memory"].tolist() == ["300 MiB", "-"]


def test_micro_benchmarks_can_be_pivoted(frame):
    table = tables.pivot(frame(*COPIES), ["size", "threads"], "bytes_per_second")
    assert table.to_dict("list") == {
        "size": ["64", "128"], "1": ["1.00 GB/s", "2.00 GB/s"], "2": ["2.00 GB/s", "4.00 GB/s"],
    }  # fmt: skip


def test_no_rows_are_a_table_without_rows(frame):
    assert tables.cases(frame()).empty


def test_cases_of_two_image_sizes_are_told_apart(frame):
    table = tables.cases(frame(measured(), measured(replace(LENET, input_shape=(1, 64, 64)))))
    assert len(table.drop_duplicates()) == 2


def test_many_files_have_a_column(tmp_path):
    paths = [write(tmp_path / name, measured()) for name in ("a.json", "b.json")]
    assert list(tables.cases(load(paths))["file"]) == list(map(str, paths))


def test_constants_are_what_all_rows_share(frame):
    same = tables.constants(frame(measured(), measured(BF16)))
    assert set(same) == set(AXES) - {"precision"}
    assert (same["architecture"], same["batch_size"]) == ("lenet", 8)


def test_one_row_shares_nothing(frame):
    assert tables.constants(frame(measured())) == {}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("skipped", "skipped: why"),
        ("out_of_memory", "out of memory: why"),
        ("timeout", "timeout: why"),
        ("crashed", "crashed: why"),
        ("failed", "failed: why"),
        ("wrong_result", "wrong result: why"),
    ],
)
def test_every_outcome_has_its_verdict(frame, status, verdict):
    assert tables.cases(frame(ended(status, "why")))["verdict"].tolist() == [verdict]


def test_the_frame_is_left_as_it_was(frame):
    given = frame(measured(), ended("timeout", "slow", BF16))
    before = given.copy()
    tables.cases(given)
    pivot(given, "mode,precision")
    assert given.equals(before)
    assert list(given) == list(before)


def test_a_pivot_has_its_last_axis_across(frame):
    given = frame(measured(seconds=FAST), measured(BF16, SLOW), measured(TRAINING, SLOW))
    assert pivot(given, "mode,precision") == {
        "mode": ["inference", "training"],
        "fp32": ["8,000 img/s", "2,000 img/s"],
        "bf16": ["2,000 img/s", "-"],
    }


def test_a_pivot_of_one_axis_is_one_row(frame):
    given = frame(measured(seconds=FAST), measured(BF16, SLOW))
    assert pivot(given, "precision") == {"fp32": ["8,000 img/s"], "bf16": ["2,000 img/s"]}


@pytest.mark.parametrize(
    ("value", "best"),
    [
        ("images_per_second", "8,000 img/s (2/3)"),
        ("median_seconds", "1.00 ms (2/3)"),
        ("flops_per_second", "6.66 GFLOP/s (2/3)"),
        ("peak_bytes", "300 MiB (2/3)"),
        ("half_width", "0.0% (2/3)"),
        ("compile_seconds", "2.00 s (1/3)"),
        ("relative_error", "7.2e-08 (2/3)"),
    ],
)
def test_the_best_of_many_is_shown_with_how_many_were_measured(frame, value, best):
    small = measured(replace(LENET, compile_mode="default"), FAST, compile=compiled(2.0))
    given = frame(
        measured(seconds=SLOW), small, ended("timeout", "slow", replace(LENET, memory_format="channels_last"))
    )
    assert pivot(given, "precision", value) == {"fp32": [best]}


def test_what_was_not_measured_says_why_in_a_pivot(frame):
    given = frame(
        ended("out_of_memory", "it needs 5 GiB"),
        ended("skipped", "batch 8", replace(LENET, batch_size=64)),
        measured(BF16, SLOW),
    )
    assert pivot(given, "precision") == {"bf16": ["2,000 img/s"], "fp32": ["out of memory, skipped"]}


def test_a_value_that_no_case_has_says_what_they_have(frame):
    assert pivot(frame(measured()), "precision", "compile_seconds") == {"fp32": ["ok"]}


@pytest.mark.parametrize(("by", "columns"), [("precision", []), ("mode,precision", ["mode"])])
def test_a_pivot_of_no_rows_has_none(frame, by, columns):
    table = tables.pivot(frame(), by.split(","))
    assert list(table) == columns
    assert table.empty


def test_an_image_size_can_be_an_axis_of_a_pivot(frame):
    given = frame(measured(seconds=FAST), measured(replace(LENET, input_shape=(1, 64, 64)), SLOW))
    assert pivot(given, "input_shape") == {"1x28x28": ["8,000 img/s"], "1x64x64": ["2,000 img/s"]}


@pytest.mark.parametrize("by", ["file,precision", "machine,precision", "torch,precision"])
def test_what_is_no_axis_but_tells_runs_apart_can_be_one_of_a_pivot(frame, by):
    assert pivot(frame(measured(seconds=FAST)), by)["fp32"] == ["8,000 img/s"]


@pytest.mark.parametrize(
    ("by", "value", "words"),
    [
        (["presicion"], "images_per_second", "--by presicion: no such axis (did you mean 'precision'?); axes: operat"),
        (["mode", ""], "images_per_second", "--by : no such axis; axes: operation, "),
        (["mode"], "median", "--value median: no such value (did you mean 'median_seconds'?); values: images_per_"),
        (["mode"], "id", "--value id: no such value; values: images_per_second"),
    ],
)
def test_a_mistake_names_the_option(frame, by, value, words):
    with pytest.raises(DlhwError) as caught:
        tables.pivot(frame(measured()), by, value)
    assert str(caught.value).startswith(words)


def limited(watts, joules):
    """A case under that power limit, whose window took so many joules."""
    sensors = {
        "energy_joules": joules, "window_steps": 10, "mean_power_watts": joules / 5,
        "power_limit_watts": watts or 700.0,
        "idle_power_watts": 50.0, "energy_above_idle_joules": joules - 250,
    }  # fmt: skip
    return replace(
        measured(replace(LENET, device="cuda:0", power_limit=watts), FAST), sensors=sensors,
    )  # fmt: skip


def test_images_a_joule_stand_beside_the_watts_and_the_latency_beside_the_time(frame):
    records = [limited(None, 3200.0), limited(300, 1600.0)]
    waited = [replace(each, sampling=replace(each.sampling, synchronised_seconds=(0.002,) * 7)) for each in records]
    table = tables.cases(frame(*waited))
    assert table[["power limit", "time a step", "latency", "mean power", "images/J", "J/image above idle"]].to_dict(
        "list"
    ) == {
        "power limit": ["-", "300"], "time a step": ["1.00 ms [1.00, 1.00]"] * 2, "latency": ["2.00 ms"] * 2,
        "mean power": ["640 W", "320 W"], "images/J": ["0.025 img/J", "0.050 img/J"],
        "J/image above idle": ["36.9 J", "16.9 J"],
    }  # fmt: skip
    assert pivot(frame(*records), "power_limit", "images_per_joule") == {
        "-": ["0.025 img/J"],
        "300": ["0.050 img/J"],
    }


def test_a_cpus_table_has_neither_latency_nor_watts(frame):
    assert not {"latency", "mean power", "images/J", "power limit"} & set(
        tables.cases(frame(measured(), measured(BF16)))
    )
