"""Figures and the frames behind them, where the right answer is known."""

import json
import math
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bench.records.record import Flops, Memory, Traffic
from reports.analysis import dataset
from reports.analysis.relative import relative
from reports.cli import app
from reports.page import figures, figures_hardware, figures_relative, publish
from reports.page.plots import DASHES, styles_for
from suites.errors import DlhwError
from tests.support.samples import LENET, compiled, ended, measured, micro, results


def series(seconds, spread=0.0):
    return tuple(seconds * (1 + spread * sign) for sign in (-1, -1, -1, 0, 1, 1, 1))


def net(seconds, spread=0.0, **changes):
    parts = {name: changes.pop(name) for name in ("compile", "sensors", "noisy") if name in changes}
    case = replace(LENET, **changes)
    flops = Flops(forward_per_image=10**6, step=10**6 * case.batch_size)
    traffic = Traffic(compulsory_bytes=1, operator_bytes=10**6, operators=1, by_size={"20": 10**6})
    memory = Memory(peak_host_bytes=case.batch_size * 2**20, base_host_bytes=0, host_source="x", parameter_bytes=1)
    return measured(case, series(seconds, spread), flops=flops, traffic=traffic, memory=memory, **parts)


@pytest.fixture
def load(tmp_path):
    """A data set of machines: name -> records."""

    def load(machines, *, prices=None, reference=None, names=None):
        paths = []
        for index, (name, records) in enumerate(machines.items()):
            data = results(*records)
            data["machine_info"]["node"] = name.partition("/")[0]
            data["machine_info"]["torch"] = {"version": name.partition("/")[2] or "2.11.0"}
            data["dlhw"]["fingerprint"] = f"{name}"
            paths.append(tmp_path / f"{index}.json")
            paths[-1].write_text(json.dumps(data))
        labels = {str(paths[int(index)]): label for index, label in (names or {}).items()}
        return dataset.load(paths, names=labels, prices=prices or {}, reference=reference)

    return load


def test_machines_are_named_and_told_apart(load):
    machines = {"box/2.11": [net(0.004)], "box/2.12": [net(0.004)], "tin/2.11": [net(0.004)]}
    assert load(machines).cases["machine"].tolist() == ["box (torch 2.11)", "box (torch 2.12)", "tin"]
    named = load(machines, names={"0": "old", "1": "new"})
    assert named.cases["machine"].tolist() == ["old", "new", "tin"]


def test_of_a_case_that_is_there_twice_the_later_counts(load, tmp_path):
    found = load({"box": [net(0.004)]})
    paths = [tmp_path / "0.json", tmp_path / "again.json"]
    again = json.loads(paths[0].read_text())
    again["benchmarks"][0]["stats"]["data"] = list(series(0.008))
    paths[1].write_text(json.dumps(again))
    both = dataset.load(paths, names={}, prices={}, reference=None)
    assert (len(found.cases), both.cases["median_seconds"].tolist()) == (1, [0.008])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"reference": "tin"}, "--reference tin: there is none of that name; there are box"),
        ({"prices": {"tin": 1.0}}, "--price tin: there is none of that name"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_clear_error(load, option, words):
    with pytest.raises(DlhwError) as caught:
        load({"box": [net(0.004)]}, **option)
    assert words in str(caught.value)


def test_cost_is_the_price_of_an_image(load):
    assert load({"box": [net(0.004)]}, prices={"box": 3.6}).cases["dollars_per_million"].tolist() == pytest.approx(
        [0.5]
    )


def test_the_reference_is_the_machine_that_shares_most(load):
    other = replace(LENET, architecture="nin")
    machines = {"odd": [net(0.1, architecture="alexnet")], "a": [net(0.004), measured(other)], "b": [net(0.002)]}
    assert load(machines).reference == "a"
    assert load(machines, reference="odd").reference == "odd"


def test_relative_performance_is_a_bar_a_system(load):
    found = relative(load({"a": [net(0.004, 0.1)], "b": [net(0.002, 0.1)]}).cases, reference="a")
    figure = figures_relative.relative_performance(found)
    bar = figure.plot.data[0]
    assert (list(bar.y), list(bar.x)) == (["b", "a"], [pytest.approx(2), 1.0])
    half = math.log(1.1 / 0.9) / math.sqrt(2)
    assert list(bar.error_x.array) == [pytest.approx(2 * (math.exp(half) - 1)), 0.0]
    assert figure.finding == found.finding


def test_machines_without_a_common_case_are_not_compared(load):
    found = load({"a": [net(0.004)], "b": [net(0.004, batch_size=9)]})
    assert [figure.id for figure in figures_relative.all_relative(found.cases, "a")] == ["relative-inference-best"]
    assert "What does each setting buy? No two cases differ in one setting alone." in figures.silent(
        [], found.cases, found.settings
    )


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium, which README names as optional for tests")
def test_pictures_are_pictures(load, tmp_path, monkeypatch):
    pytest.importorskip("kaleido", reason="needs kaleido, which is optional")
    monkeypatch.setenv("BROWSER_PATH", shutil.which("chromium"))
    found = figures_relative.relative_performance(relative(load({"a": [net(0.004)], "b": [net(0.002)]}).cases))
    assert publish._picture(found, "png", tmp_path / "new")
    assert (tmp_path / "new" / f"{found.id}.png").read_bytes().startswith(b"\x89PNG")
    assert not publish._picture(replace(found, plot=None), "png", tmp_path)


def test_toggles_are_pairs_that_differ_in_one_setting(load):
    found = load({"box": [
        net(0.004), net(0.002, precision="bf16"), net(0.003, memory_format="channels_last"),
        net(0.001, precision="bf16", memory_format="channels_last"), net(0.008, threads=1),
        net(0.001, 0.0, compile_mode="default", compile=compiled(30.0)),
    ]})  # fmt: skip
    pairs = {
        (row["setting"], row["precision"], row["memory_format"]): row["gain"] for _, row in found.settings.iterrows()
    }
    assert pairs == {
        ("precision bf16", "bf16", "contiguous"): pytest.approx(2),
        ("precision bf16", "bf16", "channels_last"): pytest.approx(3),
        ("memory format channels_last", "fp32", "channels_last"): pytest.approx(4 / 3),
        ("memory format channels_last", "bf16", "channels_last"): pytest.approx(2),
        ("compile mode default", "fp32", "contiguous"): pytest.approx(4),
        ("threads 2", "fp32", "contiguous"): pytest.approx(2),
    }
    steps = found.settings.set_index("setting")["break_even_steps"]
    assert steps["compile mode default"] == pytest.approx(30 / 0.003)


def test_what_is_more_together_than_apart_is_said(load):
    found = load({"box": [
        net(0.004), net(0.002, precision="bf16"), net(0.002, memory_format="channels_last"),
        net(0.0005, precision="bf16", memory_format="channels_last"),
    ]})  # fmt: skip
    figure = figures.interactions(found.settings, found.cases, styles_for(found.cases))
    row = figure.data.iloc[0]
    assert (len(figure.data), row["expected"], row["together"]) == (1, pytest.approx(4), pytest.approx(8))
    assert figure.finding.endswith("8.00 times where the two by themselves make 4.00.")


@pytest.mark.parametrize(
    ("times", "knee"),
    [((0.001, 0.001, 0.004), "batch 2"), ((0.001, 0.0018, 0.0036), "batch 2"), ((0.001, 0.002, 0.003), "batch 4")],
)
def test_the_knee_is_where_nearly_all_is_reached(load, times, knee):
    sizes = (1, 2, 4)
    found = load({"box": [net(seconds, batch_size=size) for size, seconds in zip(sizes, times, strict=True)]})
    finding = figures.throughput(found.cases, styles_for(found.cases)).finding
    assert f"is reached at {knee} (1 lines of three batches or more)" in finding


def test_two_batches_have_no_knee(load):
    found = load({"box": [net(0.001, batch_size=1), net(0.001, batch_size=2)]})
    assert figures.throughput(found.cases, styles_for(found.cases)).finding == ""


def test_a_case_that_another_beats_in_both_is_off_the_front(load):
    found = load({"box": [
        net(0.001, batch_size=1), net(0.002, batch_size=8), net(0.004, batch_size=8, precision="bf16"),
        net(0.001, batch_size=1, precision="fp16"),
    ]})  # fmt: skip
    figure = figures.pareto(found.cases, styles_for(found.cases), figures.PARETO[0])
    front = dict(
        zip(zip(figure.data["batch_size"], figure.data["precision"], strict=True), figure.data["front"], strict=True)
    )
    assert (front[1, "fp32"], front[8, "fp32"], front[8, "bf16"]) == (True, True, False)
    assert "2 of 4 cases" in figure.finding


def test_the_accelerator_wins_from_some_batch_on(load):
    sizes = (1, 8)
    cpu = [net(s, batch_size=b) for b, s in zip(sizes, (0.001, 0.008), strict=True)]
    gpu = [net(s, batch_size=b, device="cuda:0") for b, s in zip(sizes, (0.002, 0.002), strict=True)]
    found = load({"box": cpu + gpu})
    figure = figures.crossover(found.cases, styles_for(found.cases))
    assert figure.data["ratio"].tolist() == pytest.approx([0.5, 4.0])
    assert figure.finding == "The CPU is faster in 1 of 2 cases, up to batch 1."


def test_memory_says_what_ran_out(load):
    gone = ended("out_of_memory", "killed", replace(LENET, batch_size=512))
    found = load({"box": [net(0.001), gone, ended("out_of_memory", "killed", replace(LENET, batch_size=1024))]})
    assert figures.memory(found.cases, styles_for(found.cases)).finding == (
        f"2 cases ran out of memory, the smallest {gone.id} on box; batch 8 fits."
    )


def test_the_roofline_has_points_roofs_and_classes(load):
    hardware = [
        micro("matmul-64x64x64-fp32-cpu-t2", 5e9), micro("copy-64-fp32-cpu-t2", 9e9, metric="bytes_per_second"),
        micro("copy-268435456-fp32-cpu-t2", 1e9, metric="bytes_per_second"),
    ]  # fmt: skip
    found = load({"box": [net(0.001), net(0.004, batch_size=1), *hardware]})
    figure = figures.roofline(found.cases, styles_for(found.cases))
    assert figure.finding == "Of 2 cases 1 compute-bound, 1 bandwidth-bound."
    roof = figure.plot.data[-1]
    assert roof.name == "box fp32 roof"
    slope, flat = roof.y[1] / roof.x[1], roof.y[2]
    assert (slope, flat) == (pytest.approx(1e9), pytest.approx(5e9))


def test_every_trace_names_rows_that_exist_and_shows_their_numbers(load):
    found = load({name: [net(0.001 * b * s, batch_size=b, precision=p) for b in (1, 2, 4) for p in ("fp32", "bf16")]
                  for name, s in (("a", 1), ("b", 2))})  # fmt: skip
    drawn = figures.all_of(found.cases, found.settings, found.reference, styles_for(found.cases))
    assert {"relative-inference-same", "throughput", "latency", "toggles", "memory", "advice"} <= {
        figure.id for figure in drawn
    }
    for figure in drawn:
        assert set(figure.columns) <= set(figure.data.columns), figure.id
        for trace in figure.plot.data if figure.plot else ():
            meta = trace.meta
            if meta and "rows" in meta and not meta.get("band") and not meta.get("heat"):
                assert list(trace.x) == figure.data.loc[meta["rows"], meta["x"]].tolist(), figure.id


def test_single_points_of_a_crowd_are_no_lines(load):
    found = load({"box": [net(0.001, architecture=f"a:n{index}") for index in range(50)]})
    figure = figures.throughput(found.cases, styles_for(found.cases))
    assert [(trace.mode, len(trace.x)) for trace in figure.plot.data] == [("markers", 50)]


def test_machines_and_precisions_look_the_same_everywhere_and_never_differ_by_colour_alone(load):
    found = load({f"m{index}": [net(0.001), net(0.001, precision="bf16")] for index in range(4)})
    styles = styles_for(found.cases)
    assert len(set(styles.colours.values())) == len(set(styles.symbols.values())) == 4
    assert list(styles.dashes.values()) == list(DASHES[:2])


def test_each_operation_has_its_curve_with_its_sentence(load):
    records = [micro(f"copy-{2**n}-fp32-cpu-t2", 1e9 * n, metric="bytes_per_second") for n in range(10, 20)]
    records += [micro(f"threads-matmul-64-fp32-cpu-t{t}", 1e9 * t) for t in (1, 2, 4)]
    records += [micro("matmul-8x16x4-fp32-cpu-t1", 1e9), micro("matmul-8x8x8-fp32-cpu-t1", 1e9)]
    found = load({"box": records})
    copy, threads, matmul = figures_hardware.curves(found.cases, styles_for(found.cases), {"copy": "fast."})
    assert (copy.id, copy.finding, copy.data["along"].tolist()) == (
        "hardware-copy",
        "fast.",
        [2**n for n in range(10, 20)],
    )
    assert (copy.plot.layout.xaxis.type, copy.plot.layout.yaxis.title.text) == ("log", "bytes/s")
    assert (threads.data["along"].tolist(), threads.finding) == ([1, 2, 4], "")
    assert (sorted(matmul.data["along"]), matmul.plot.layout.xaxis.title.text) == ([512, 512], "rows x inner x columns")


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_the_command_writes_page_summary_and_data(load, tmp_path):
    load({"box": [net(0.001 * b, batch_size=b) for b in (1, 2, 4)]})
    found = run(
        tmp_path / "0.json", "-o", tmp_path / "p.html", "--markdown", tmp_path / "s.md", "--csv", tmp_path / "csv"
    )
    assert found.exit_code == 0, found.output
    assert "3 cases of 1 machine" in found.output
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")
    assert "| box | 3 | 3 | 0 |" in (tmp_path / "s.md").read_text()
    assert {"cases.csv", "throughput.csv"} <= {path.name for path in (tmp_path / "csv").iterdir()}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"benchmarks": [', "not valid JSON, cut short perhaps"),
        ("", "not valid JSON"),
        ('{"benchmarks": [], "dlhw": {"schema": 99}}', "written by a later dlhw"),
        ('{"benchmarks": []}', "but not by dlhw"),
        ('{"benchmarks": [], "outcomes": [], "machine_info": {}, "dlhw": {"schema": 1}}', "nothing in it"),
    ],
)
def test_a_broken_file_is_one_clear_error_and_the_old_page_stays(tmp_path, content, words):
    (tmp_path / "r.json").write_text(content)
    (tmp_path / "p.html").write_text("old")
    found = run(tmp_path / "r.json", "-o", tmp_path / "p.html")
    assert found.exit_code != 0
    assert words in str(found.exception)
    assert "r.json" in str(found.exception)
    assert (tmp_path / "p.html").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.html", "r.json"]


def test_nothing_to_write_is_one_clear_error(load, tmp_path):
    load({"box": [net(0.001)]})
    assert "nothing to write" in str(run(tmp_path / "0.json").exception)
    assert "expected FILE=LABEL" in str(run(tmp_path / "0.json", "-o", "-", "--name", "x").exception)


def test_one_machines_ways_differ_by_colour_and_symbol_even_beside_other_machines(load):
    copies = [micro(f"copy-{2**n}-fp32-cpu-t{t}", 1e9 * n, metric="bytes_per_second") for n in (10, 12) for t in (1, 2)]
    found = load({"box": copies, "tin": [net(0.001)]})
    (copy,) = figures_hardware.curves(found.cases, styles_for(found.cases), {})
    looks = {(trace.marker.color, trace.marker.symbol) for trace in copy.plot.data if trace.mode == "lines+markers"}
    assert len(looks) == 2
