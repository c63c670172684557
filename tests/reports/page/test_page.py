"""The page in a real browser: what it asks for, what it shows, what its filters and tables do."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.records.record import Flops, Memory, Traffic
from reports.analysis import dataset
from reports.page import figures_gate, layout
from suites.micro import Micro
from tests.support.entries import CASES
from tests.support.gate_file import gate_file
from tests.support.samples import LENET, compiled, ended, measured, micro, results

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which README names as optional for tests")
HOSTILE = '"><script>window.hostile=1</script><img src=x onerror="window.hostile=1">'
RATE = {"metric": "bytes_per_second"}


def net(seconds, **changes):
    """LeNet, LeNet-BN or ResNet-18 with all that a figure wants to know."""
    parts = {name: changes.pop(name) for name in ("sensors", "compile", "noisy") if name in changes}
    case = replace(LENET, **changes)
    peak = (100 + 3 * case.batch_size) * 2**20
    memory = Memory(peak_host_bytes=peak, base_host_bytes=90 * 2**20, host_source="VmHWM", parameter_bytes=246824)
    octets = 4 * 10**5 * case.batch_size
    traffic = Traffic(compulsory_bytes=10**5, operator_bytes=octets, operators=11, by_size={"18": octets})
    samples = tuple(seconds * (1 + 0.01 * offset) for offset in (-1, -1, -1, 0, 1, 1, 1))
    flops = Flops(forward_per_image=10**6, step=10**6 * case.batch_size)
    return measured(case, samples, memory=memory, traffic=traffic, flops=flops, **parts)


def machine(speed):
    """A machine's sweep and hardware run; `speed` times as fast as the first."""
    sweep = [
        net(0.001 * (1 + batch) ** 0.8 * cost / gain / speed, architecture=name, batch_size=batch, precision=precision,
            memory_format=layout)
        for name, cost in (("lenet", 1), ("resnet18", 20)) for batch in (1, 4, 16)
        for precision, layout, gain in (
            ("fp32", "contiguous", 1), ("bf16", "contiguous", 1.5), ("fp32", "channels_last", 1.2),
            ("bf16", "channels_last", 2.5),
        )
    ]  # fmt: skip
    sweep.append(net(0.0005 / speed, compile_mode="default", batch_size=1, compile=compiled(30.0)))
    sweep.append(net(0.004 / speed, batch_size=64, sensors={"energy_joules": 64.0, "window_steps": 10}))
    sweep.append(ended("out_of_memory", f"killed {HOSTILE}", replace(LENET, batch_size=4096)))
    copies = ((2**16, 8e10), (2**28, 1e10))
    hardware = [micro(f"copy-{size}-fp32-cpu-t2", rate * speed, **RATE) for size, rate in copies]
    hardware += [micro(f"matmul-64x64x64-{p}-cpu-t2", rate * speed) for p, rate in (("fp32", 1e11), ("bf16", 3e11))]
    skipped = ended("skipped", "no compiler", Micro.parse("memory_latency-chase-64-fp32-cpu-t1"))
    return [*sweep, *hardware, skipped]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    paths = []
    for index, (node, speed) in enumerate(((HOSTILE, 1.0), ("fast", 3.0))):
        content = results(*machine(speed))
        content["machine_info"]["node"] = node
        content["dlhw"]["fingerprint"] = f"f{index}"
        paths.append(folder / f"m{index}.json")
        paths[-1].write_text(json.dumps(content))
    return dataset.load(paths, names={}, prices={"fast": 2.0}, reference=None)


@pytest.fixture(scope="module")
def path(data, tmp_path_factory):
    target = tmp_path_factory.mktemp("html") / "page.html"
    target.write_text(layout.render(data, f"Machines {HOSTILE}"), encoding="utf-8")
    return target


def payload(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="payload">(.*?)</script>', text, re.S)[1])


def test_the_page_is_one_file_that_names_no_other(path):
    text = path.read_text(encoding="utf-8")
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", markup)
    assert not re.findall(r"<(link|iframe|object|embed|img)\b", markup)
    assert "default-src 'none'" in markup


def test_what_is_hostile_is_text(path):
    text = path.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "<script>window.hostile" not in text


def test_ids_are_unique(path):
    markup = re.sub(r"<script.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.S)
    ids = re.findall(r'\bid="([^"]+)"', markup)
    assert len(ids) == len(set(ids))


def test_every_question_of_the_data_has_its_figure(path):
    assert [figure["id"] for figure in payload(path)["figures"]] == [
        "cases-table", "winners", "throughput", "latency", "toggles", "toggle-map", "interactions", "memory",
        "roofline", "energy", "pareto-latency", "pareto-cost", "break-even", "advice", "hardware-copy",
        "hardware-matmul",
    ]  # fmt: skip


def test_numbers_are_those_of_the_frame(path, data):
    found = payload(path)["data"]["cases"]
    for column in ("images_per_second", "median_seconds", "peak_bytes"):
        for shown, real in zip(found[column], data.cases[column].to_numpy(na_value=float("nan")), strict=True):
            assert (shown is None) if math.isnan(real) else shown == pytest.approx(real, rel=1e-4)


def test_the_bundle_is_the_plotly_that_python_draws_for():
    from plotly.offline import get_plotlyjs_version

    assert (
        f"plotly.js (cartesian - minified) v{get_plotlyjs_version()}"
        in layout._bundled("plotly-cartesian.min.js")[:500]
    )


def test_five_thousand_cases_fit_into_four_megabytes(tmp_path):
    from docs.experiments.page_scale import results as made_up

    paths = [made_up(tmp_path, index, 1250) for index in range(4)]
    data = dataset.load(paths, names={}, prices={}, reference=None)
    assert len(data.cases) == 5000
    assert len(layout.render(data, "many").encode()) < 4e6


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with api.sync_playwright() as running:
        found = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )  # fmt: skip
        yield found
        found.close()


class Seen:
    """A page that is open, and what it has asked for and complained of."""

    def __init__(self, browser, path, *, size=(1280, 900), scheme="light", fragment=""):
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, accept_downloads=True
        )  # fmt: skip
        self.page = self.context.new_page()
        self.requests, self.errors = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{path.as_uri()}{fragment}")
        self.page.wait_for_selector("html[data-ready]")

    def draw_all(self):
        """Bring every figure into sight."""
        for section in self.page.query_selector_all("section[id]"):
            section.scroll_into_view_if_needed()
            self.page.wait_for_timeout(30)

    def plots(self):
        return self.page.evaluate(
            """() => [...document.querySelectorAll('section[id] .plot')].map(plot => ({
                id: plot.closest('section').id,
                traces: (plot._fullData || []).filter(t => t.visible).length,
                points: (plot._fullData || []).reduce((n, t) => n + ((t.z ? t.z.flat() : t.x) || []).length, 0),
                width: plot.getBoundingClientRect().width, height: plot.getBoundingClientRect().height,
                drawn: plot.querySelectorAll('path.point, g.points path, .heatmaplayer image, path.js-line').length,
            }))"""
        )

    def rows(self, figure="cases-table"):
        return self.page.eval_on_selector_all(
            f"#{figure} tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )


@pytest.fixture
def seen(browser, path):
    opened = []

    def seen(**how):
        opened.append(Seen(browser, path, **how))
        return opened[-1]

    yield seen
    for each in opened:
        each.context.close()


@needs_chromium
def test_nothing_is_asked_of_a_network_and_nothing_complains(seen, path):
    found = seen()
    found.draw_all()
    assert found.errors == []
    assert found.requests == [path.as_uri()]
    assert found.page.evaluate("window.hostile") is None


@needs_chromium
def test_every_figure_has_data_and_a_box(seen):
    found = seen()
    found.draw_all()
    plots = found.plots()
    assert len(plots) == 14
    for each in plots:
        assert each["traces"] > 0, each
        assert each["points"] > 0, each
        assert each["drawn"] > 0, each
        assert min(each["width"], each["height"]) > 200, each


@needs_chromium
def test_a_filter_changes_rows_and_figures_and_survives_a_reload(seen):
    found = seen()
    found.draw_all()
    before = {each["id"]: each["points"] for each in found.plots()}
    assert len(found.rows()) > 50
    found.page.select_option("select[name=architecture]", "resnet18")
    found.page.select_option("select[name=precision]", "bf16")
    rows = found.rows()
    assert {row[1] for row in rows if row[1] != "\u2013"} == {"resnet18"}
    assert "architecture=resnet18" in found.page.url
    found.draw_all()
    after = {each["id"]: each["points"] for each in found.plots()}
    assert all(after[name] < before[name] for name in ("throughput", "latency", "toggles", "roofline"))
    found.page.reload()
    found.page.wait_for_selector("html[data-ready]")
    assert found.rows() == rows
    assert found.page.input_value("select[name=precision]") == "bf16"
    found.page.click("text=show all")
    assert len(found.rows()) > len(rows)


@needs_chromium
def test_a_filter_that_nothing_passes_says_so(seen):
    found = seen(fragment="#architecture=resnet18&compile_mode=default")
    found.page.locator("#throughput").scroll_into_view_if_needed()
    found.page.wait_for_function("document.querySelector('#throughput .limit').textContent !== ''")
    assert found.page.text_content("#throughput .limit") == "Nothing passes the filters."


@needs_chromium
def test_a_table_is_sorted_by_mouse_and_by_keyboard(seen):
    found = seen()
    place = "#cases-table button[data-column=images_per_second]"

    def order():
        column = found.page.eval_on_selector_all("#cases-table th", "cells => cells.map(c => c.textContent)")
        index = next(i for i, text in enumerate(column) if text.startswith("images"))
        return [float(row[index].replace(",", "")) for row in found.rows() if row[index] != "\u2013"]

    found.page.click(place)
    assert order() == sorted(order())
    header = "#cases-table th:has(button[data-column=images_per_second])"
    assert found.page.get_attribute(header, "aria-sort") == "ascending"
    found.page.focus(place)
    found.page.keyboard.press("Enter")
    assert order() == sorted(order(), reverse=True)
    assert found.page.evaluate("document.activeElement.dataset.column") == "images_per_second"


@needs_chromium
def test_numbers_in_a_table_are_those_of_the_data(seen, data):
    found = seen()
    header = found.page.eval_on_selector_all("#cases-table th button", "all => all.map(b => b.dataset.column)")
    shown = [dict(zip(header, row, strict=True)) for row in found.rows()]
    fastest = max((row for row in shown if row["images_per_second"] != "\u2013"),
                  key=lambda row: float(row["images_per_second"].replace(",", "")))  # fmt: skip
    real = data.cases["images_per_second"].max()
    assert float(fastest["images_per_second"].replace(",", "")) == pytest.approx(real, rel=1e-3)
    row = data.cases[data.cases["images_per_second"] == real].iloc[0]
    assert float(fastest["median_seconds"]) == pytest.approx(1000 * row["median_seconds"], rel=1e-3)


@needs_chromium
@pytest.mark.parametrize("format_", ["csv", "json"])
def test_what_a_table_shows_can_be_taken_away(seen, format_, data):
    found = seen(fragment="#machine=fast&architecture=resnet18")
    with found.page.expect_download() as download:
        found.page.click(f"#cases-table [data-take={format_}]")
    assert download.value.suggested_filename == f"cases-table.{format_}"
    text = Path(download.value.path()).read_text(encoding="utf-8")
    wanted = data.cases[(data.cases["machine"] == "fast") & (data.cases["architecture"] == "resnet18")]
    if format_ == "json":
        taken = [row for row in json.loads(text) if row["architecture"]]
        assert [row["batch_size"] for row in taken] == wanted["batch_size"].tolist()
    else:
        assert sum("resnet18" in line for line in text.splitlines()) == len(wanted)


@needs_chromium
def test_no_button_sends_data_anywhere(seen):
    found = seen()
    found.draw_all()
    titles = found.page.eval_on_selector_all(".modebar-btn", "all => all.map(b => b.dataset.title || '')")
    assert titles
    assert not any(re.search(r"share|cloud|edit", title, re.I) for title in titles)


CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = node => { while (node) { const c = parse(getComputedStyle(node).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; node = node.parentElement; } return [255, 255, 255]; };
  const found = [];
  for (const node of document.querySelectorAll('h1, h2, p, td, th, label, button, summary, select, li, .limit')) {
    if (!node.textContent.trim() || !node.getClientRects().length) continue;
    const a = light(parse(getComputedStyle(node).color)), b = light(behind(node));
    found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), node.tagName, node.textContent.slice(0, 30)]);
  }
  return found;
}"""


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(seen, scheme):
    found = seen(scheme=scheme)
    assert found.page.get_attribute("html", "data-theme") == scheme
    ratios = found.page.evaluate(CONTRAST)
    assert len(ratios) > 100
    assert min(ratios)[0] >= 4.5, min(ratios)
    found.page.click("#theme")
    other = "light" if scheme == "dark" else "dark"
    assert found.page.get_attribute("html", "data-theme") == other
    assert f"theme={other}" in found.page.url
    assert min(found.page.evaluate(CONTRAST))[0] >= 4.5


@needs_chromium
def test_a_narrow_page_does_not_scroll_sideways(seen):
    found = seen(size=(375, 700))
    found.draw_all()
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 375
    assert found.errors == []


@needs_chromium
def test_a_gate_is_drawn_alone(browser, tmp_path):
    file = gate_file(tmp_path / "gate.json", name=HOSTILE)
    target = tmp_path / "gate.html"
    target.write_text(layout.render(dataset.Dataset.empty(), "A gate", [figures_gate.load(file)]), encoding="utf-8")
    found = Seen(browser, target)
    found.draw_all()
    assert found.errors == []
    drawn = {plot["id"]: plot for plot in found.plots()}
    assert drawn.keys() == {"gate-1", "gate-1-controls", "gate-1-pairs"}
    assert all(plot["points"] and plot["width"] > 200 and plot["height"] > 100 for plot in drawn.values())
    found.page.click("#gate-1 summary")
    found.page.wait_for_selector("#gate-1 tbody tr")
    assert found.rows("gate-1")[0][:3] == ["REGRESSED", CASES[0], "time"]
    assert found.page.evaluate("window.hostile") is None
    found.context.close()
