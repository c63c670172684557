"""The page's own modules in node: they say what the frames say; their types hold."""

import itertools
import json
import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from bench.prediction.memory import MemoryNeed
from bench.records.record import Memory
from reports.analysis import dataset
from reports.analysis.relative import relative, setting
from reports.page import layout, payload
from suites import units
from tests.reports.analysis.test_relative import net
from tests.support.runner import ROOT
from tests.support.samples import LENET, ended, measured, results

NODE = shutil.which("node")
SCRIPTS = ROOT / "reports/page/scripts"
TYPES = shutil.which("tsc", path=f"{ROOT / 'reports/page/vendor/node_modules/.bin'}:{os.environ['PATH']}")
needs_node = pytest.mark.skipif(NODE is None, reason="needs node, which is optional for tests")


def in_node(module, expression, value, folder):
    """What `expression` makes of `value`, with all that `module` exports."""
    script = folder / "run.mjs"
    script.write_text(
        f"import * as own from {json.dumps((SCRIPTS / module).as_uri())};\n"
        f"const value = {json.dumps(value)};\nconsole.log(JSON.stringify({expression}));"
    )
    done = subprocess.run([NODE, script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def cases(tmp_path):
    machines = {
        "a": [net(0.02, mode="training"), net(0.004, 0.1), net(0.009, 0.1, batch_size=16),
              net(0.1, architecture="nin")],
        "b": [net(0.002, 0.1, noisy=("busy",)), net(0.004, batch_size=16), net(0.1 / 8, architecture="nin"),
              net(0.001, precision="bf16"), net(0.03, mode="training")],
        "c": [net(0.003, batch_size=16), net(0.2, architecture="nin", batch_size=4)],
        "odd": [net(0.1, architecture="alexnet")],
    }  # fmt: skip
    paths = []
    for name, records in machines.items():
        data = results(*records)
        data["machine_info"]["node"] = data["dlhw"]["fingerprint"] = name
        paths.append(tmp_path / f"{name}.json")
        if name == "odd":
            prediction = {"median_seconds": 0.002, "low": 0.0015, "high": 0.0025, "coverage": 0.9}
            skipped = ended("skipped", "no time", replace(LENET, batch_size=16))
            data["outcomes"] += results(skipped)["outcomes"]
            data["outcomes"][-1]["prediction"] = prediction
        paths[-1].write_text(json.dumps(data))
    return dataset.load(paths, names={}, prices={"a": 1.0, "b": 3.0}, reference=None).cases


@needs_node
@pytest.mark.parametrize("measure", ["speed", "dollar"])
@pytest.mark.parametrize("way", ["same", "best"])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_browser_compares_as_the_frame_does(cases, tmp_path, mode, way, measure):
    named = payload._named(cases)
    columns = payload._columns(named, payload.CASES)
    question = {"mode": mode, "way": way, "measure": measure, "reference": "b"}
    rows = in_node("data.js", "own.rowsOf(value)", columns, tmp_path)
    assert len(rows) == len(cases)
    shown = in_node("relative.js", "own.relative(value[0], value[1])", [rows, question], tmp_path)
    wanted = relative(cases, mode=mode, way=way, measure=measure, reference="b")
    assert shown["finding"] == wanted.finding
    assert (shown["reference"], tuple(shown["leftOut"])) == (wanted.reference, wanted.left_out)
    assert [row["system"] for row in shown["table"]] == wanted.table["system"].tolist()
    for name, column in (("ratio", "ratio"), ("low", "ratio_low"), ("high", "ratio_high"), ("nets", "nets"),
                         ("noisy", "noisy"), ("without", "without_interval"), ("predicted", "predicted")):  # fmt: skip
        assert [row[name] for row in shown["table"]] == pytest.approx(wanted.table[column].tolist(), rel=1e-4)
    own = {(row["system"], json.loads(row["net"])[0]): row["setting"] for row in shown["nets"]}
    assert own == {(row["system"], row["architecture"]): row["setting"] for row in wanted.nets.to_dict("records")}


@needs_node
def test_numbers_read_as_everywhere_else(tmp_path):
    values = [0.0001234, 0.9994, 0.99951, 9.994, 9.996, 99.94, 99.96, 1234.6, 0]
    assert in_node("format.js", "value.map(own.number)", values, tmp_path) == [units.number(each) for each in values]


@needs_node
def test_labels_are_moved_apart_and_no_further_than_needed(tmp_path):
    moved = in_node("curves.js", "own.apart(value, 0.1)", [0.5, 0.9, 0.5, 0.52], tmp_path)
    assert moved[1] == 0.9
    ordered = sorted([moved[0], moved[2], moved[3]])
    assert [b - a for a, b in itertools.pairwise(ordered)] == pytest.approx([0.1, 0.1])
    assert sum(ordered) == pytest.approx(0.5 + 0.5 + 0.52)


@needs_node
def test_of_many_lines_those_that_reach_most_are_shown(tmp_path):
    plain = {"memory_format": "contiguous", "compile_mode": "eager", "threads": 1}
    rows = [
        {**plain, "precision": f"p{i}", "batch_size": batch, "images_per_second": i * batch}
        for i in range(1, 12) for batch in (4, 1)
    ]  # fmt: skip
    found = in_node("curves.js", "own.curves(value, 'images_per_second')", rows, tmp_path)
    assert [line["label"] for line in found["lines"]] == [f"p{i}" for i in range(11, 3, -1)]
    assert [row["batch_size"] for row in found["lines"][0]["rows"]] == [1, 4]
    assert found["left"] == 3


def test_a_setting_is_named_by_what_is_not_plain():
    row = {"precision": "fp32", "memory_format": "contiguous", "compile_mode": "eager", "batch_size": 8}
    assert setting(row) == "fp32 b8"
    assert (
        setting(row | {"memory_format": "channels_last", "compile_mode": "default"}) == "fp32 channels_last default b8"
    )


@needs_node
def test_the_modules_are_one_script_without_names_that_clash(tmp_path):
    target = tmp_path / "page.mjs"
    target.write_text(layout.script(), encoding="utf-8")
    assert subprocess.run([NODE, "--check", target], capture_output=True, text=True, check=False).stderr == ""
    assert {path.stem for path in SCRIPTS.glob("*.js")} == set(layout.SCRIPTS)


@pytest.mark.skipif(not TYPES, reason="needs tsc: npm install in reports/page/vendor, which CI does where there is npm")
def test_types_hold():
    done = subprocess.run([TYPES, "--project", SCRIPTS / "jsconfig.json"], capture_output=True, text=True, check=False)
    assert done.stdout == ""


@needs_node
def test_names_are_wrapped_at_blanks_and_a_long_word_is_broken(tmp_path):
    words = ["rtx3090 (torch 1.13)", "short", "abcdefghij", "a\N{GRINNING FACE}bcdef g"]
    assert in_node("draw.js", "value.map(each => own.wrapped(each, 8.4))", words, tmp_path) == [
        "rtx3090<br>(torch<br>1.13)", "short", "abcdefgh<br>ij", "a\N{GRINNING FACE}bcdef<br>g",
    ]  # fmt: skip


@needs_node
def test_on_a_wide_screen_a_chart_stays_as_it_is_and_on_a_narrow_one_it_grows_by_its_legend(tmp_path):
    shape = {"height": 300, "legend": {}, "xaxis": {"title": {"text": "one two three four five six seven eight"}}}
    traces = [{"name": name, "y": ["a rather long name of a machine"]} for name in ("a", "b")]
    wide, narrow = (
        in_node("draw.js", f"own.fitted(value[0], value[1], {width})", [shape, traces], tmp_path)
        for width in (900, 340)
    )
    assert wide == shape
    assert narrow["height"] == 340
    assert "<br>" in narrow["xaxis"]["title"]["text"]
    assert narrow["yaxis"]["tickvals"] == ["a rather long name of a machine"]
    assert narrow["yaxis"]["ticktext"] == ["a rather long<br>name of a<br>machine"]


@needs_node
def test_memory_at_a_batch_that_was_not_measured_is_on_the_line_as_the_planner_has_it(tmp_path):
    rows = [
        {"batch_size": batch, "peak_bytes": peak, "compile_mode": mode, "status": "measured"}
        for mode, batch, peak in (("eager", 1, 100), ("eager", 1, 90), ("eager", 4, 400), ("eager", 8, 450),
                                  ("default", 1, 700), ("default", 8, 650), ("max", 1, 10**6))
    ]  # fmt: skip
    records = [
        measured(replace(LENET, batch_size=row["batch_size"], compile_mode=row["compile_mode"]), memory=Memory(
            peak_host_bytes=row["peak_bytes"], base_host_bytes=0, host_source="x", parameter_bytes=1))
        for row in rows
    ]  # fmt: skip
    need = MemoryNeed(records)
    wanted = max(need.of(replace(LENET, batch_size=64, compile_mode=mode)) for mode in ("eager", "default"))
    assert in_node("view_memory.js", "own.onLine(value, 64)", rows, tmp_path) == wanted == 100 + 50 * 63
    assert in_node("view_memory.js", "own.onLine(value, 64)", rows[:2], tmp_path) is None
    tried = [*rows, {"batch_size": 12, "status": "timeout"}, {"batch_size": 99, "status": "skipped"}]
    assert in_node("view_memory.js", "own.batchesOf(value)", tried, tmp_path) == [1, 2, 4, 8, 12, 16, 32, 64]


@needs_node
def test_what_was_predicted_alone_is_no_line_and_has_no_say_in_which_are_shown(tmp_path):
    plain = {"memory_format": "contiguous", "compile_mode": "eager", "threads": 1}
    rows = [
        {**plain, "precision": precision, "batch_size": batch, "images_per_second": rate, "predicted": predicted}
        for precision, batch, rate, predicted in (("a", 1, 10, 0), ("a", 2, 900, 1), ("b", 1, 20, 0), ("c", 1, 800, 1))
    ]  # fmt: skip
    found = in_node("curves.js", "own.curves(value, 'images_per_second')", rows, tmp_path)
    assert [(line["label"], len(line["rows"])) for line in found["lines"]] == [("b", 1), ("a", 2)]
    assert found["left"] == 0
