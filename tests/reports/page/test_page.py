"""The page in a real browser: what it asks for, what it shows, what choosing does, whether sentences are true."""

import base64
import gzip
import json
import math
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reports.analysis import dataset
from reports.analysis.relative import relative
from reports.cli import app
from reports.page import figures_gate, layout
from reports.page.beside import Beside
from tests.support.entries import CASES
from tests.support.gate_file import gate_file
from tests.support.page import HOSTILE, Seen, machine, needs_chromium
from tests.support.samples import results


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
    packed = re.search(r'<script type="text/plain" id="payload">(.*?)</script>', text, re.S)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_the_page_is_one_file_that_names_no_other(path):
    text = path.read_text(encoding="utf-8")
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.S)
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


def test_the_sections_are_those_that_have_data(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r'<details class="section" id="([^"]+)"', text) == [
        "relative", "best", "net", "compare", "settings", "size", "trade-offs", "hardware", "cases", "silent",
        "claims", "published", "rest", "provenance",
    ]  # fmt: skip
    assert [figure["id"] for figure in payload(path)["figures"]] == [
        "energy", "pareto-latency", "pareto-cost", "break-even", "interactions", "hardware-copy", "hardware-matmul",
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


def test_five_thousand_cases_fit_into_two_megabytes(tmp_path):
    from docs.experiments.page_scale import results as made_up

    paths = [made_up(tmp_path, index, 1250) for index in range(4)]
    data = dataset.load(paths, names={}, prices={}, reference=None)
    assert len(data.cases) == 5000
    assert len(layout.render(data, "many").encode()) < 2e6


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
    found.unfold()
    assert found.errors == []
    assert found.requests == [path.as_uri()]
    assert found.page.evaluate("window.hostile") is None


@needs_chromium
def test_every_figure_has_data_and_a_box_and_no_more_lines_than_can_be_read(seen):
    found = seen()
    found.unfold()
    plots = found.plots()
    assert {plot["section"] for plot in plots} == {
        "relative", "net", "compare", "settings", "size", "trade-offs", "hardware",
    }  # fmt: skip
    for each in plots:
        assert each["points"] > 0, each
        assert min(each["width"], each["height"]) > 80, each
        assert each["lines"] <= 8 or each["named"] >= each["lines"], each


@needs_chromium
@pytest.mark.parametrize(("mode", "way"), [("inference", "same"), ("inference", "best"), ("training", "same")])
def test_the_first_sentence_is_that_of_the_frame(seen, data, mode, way):
    nets = data.cases["architecture"].isin(["lenet"])
    for cases, chosen in ((data.cases, "net=*"), (data.cases[nets | data.cases["architecture"].isna()], "net=lenet")):
        found = seen(fragment=f"#mode={mode}&way={way}&{chosen}")
        finding = relative(cases, mode=mode, way=way, reference=data.reference).finding
        assert finding
        assert found.text("#relative p.finding") == " ".join(finding.split())


@needs_chromium
def test_choosing_changes_figures_sentences_and_tables_and_survives_a_reload(seen):
    found = seen()
    found.unfold("cases")
    before = found.text("#cases .count")
    assert found.page.locator("#best tbody tr").count() > 2
    found.page.click("#choose-net-ts-control")
    found.page.keyboard.type("resn")
    found.page.keyboard.press("Enter")
    found.page.keyboard.press("Escape")
    assert "net=resnet18" in found.page.url
    assert {row[0] for row in found.table("#best")} == {"resnet18 28 px"}
    found.unfold("cases")
    assert found.text("#cases .count") != before
    shown = found.table("#best")
    found.page.reload()
    found.page.wait_for_selector("html[data-chosen]")
    assert found.table("#best") == shown
    assert found.page.locator("#cases").get_attribute("open") is not None


@needs_chromium
def test_counts_stand_beside_choices(seen, data):
    found = seen()
    found.page.click("#choose-system-ts-control")
    text = found.text(".ts-dropdown:visible")
    nets = data.cases[(data.cases["kind"] == "net") & data.cases["architecture"].isin(["lenet", "resnet18", "vgg11"])]
    assert f"fast {(nets['machine'] == 'fast').sum()}" in text


@needs_chromium
def test_a_sentence_that_cannot_follow_is_not_shown(seen):
    found = seen()
    found.unfold("trade-offs")
    assert found.page.locator("#energy p.finding").count() == 1
    narrower = seen(fragment="#system=fast")
    narrower.unfold("trade-offs")
    assert narrower.page.locator("#energy .plot").count() == 1
    assert narrower.page.locator("#energy p.finding").count() == 0


@needs_chromium
def test_what_nothing_passes_says_so(seen):
    found = seen(fragment="#net=vgg11&mode=training&setting=precision%3Dbf16")
    found.unfold("net")
    assert found.text("#net .body") == "Nothing of what is chosen."


@needs_chromium
def test_a_bar_opens_its_net(seen):
    found = seen()
    bar = found.page.locator("#relative .plot").nth(1).locator(".trace.bars path").last
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    found.page.mouse.move(*middle)
    found.page.wait_for_timeout(100)
    found.page.mouse.click(*middle)
    found.page.wait_for_timeout(100)
    assert "show=" in found.page.url
    assert found.text("#net h3").startswith(json.loads(found.page.input_value("#show"))[0])


@needs_chromium
def test_a_table_is_sorted_by_mouse_and_by_keyboard(seen):
    found = seen(fragment="#system=fast&net=lenet")
    found.unfold("cases")
    header = "#cases .tabulator-col[tabulator-field=images_per_second]"

    def order():
        cells = "#cases .tabulator-cell[tabulator-field=images_per_second]"
        texts = found.page.eval_on_selector_all(cells, "all => all.map(cell => cell.textContent)")
        return [float(text.replace(",", "")) for text in texts if text != "\u2013"]

    found.page.click(header)
    assert order() == sorted(order())
    assert found.page.get_attribute(header, "aria-sort") == "ascending"
    found.page.focus(header)
    found.page.keyboard.press("Enter")
    assert order() == sorted(order(), reverse=True)
    assert len(order()) > 5


@needs_chromium
@pytest.mark.parametrize("format_", ["csv", "json"])
def test_what_a_table_shows_can_be_taken_away(seen, format_, data):
    found = seen(fragment="#system=fast&net=resnet18")
    found.unfold("cases")
    with found.page.expect_download() as download:
        found.page.click(f"#cases [data-take={format_}]")
    assert download.value.suggested_filename == f"cases.{format_}"
    text = Path(download.value.path()).read_text(encoding="utf-8")
    wanted = data.cases[(data.cases["machine"] == "fast") & (data.cases["architecture"] == "resnet18")]
    if format_ == "json":
        taken = [row for row in json.loads(text) if row.get("architecture") or row.get("batch size")]
        assert len(taken) == len(wanted)
    else:
        assert sum("resnet18" in line for line in text.splitlines()) == len(wanted)


@needs_chromium
def test_five_questions_are_answered_within_two_clicks(seen, data):
    """Who is fastest in training; what to run; does channels_last pay; how much memory; how do two machines compare."""
    found = seen()
    found.page.click("[data-choice='mode=training']")
    assert found.text("#relative p.finding").startswith("fast is the fastest in training: 9.00 times")
    found = seen()
    found.page.click("#best button.link:has-text('resnet18 28 px') >> nth=0")
    advice = {(row[0], row[1]): row[2] for row in found.table("#net .scroll[aria-label='advice']")}
    assert advice["fast", "throughput"] == "bf16 channels_last b16"
    found.page.click("nav a[href='#settings']")
    assert re.search(
        r"memory format channels_last on fast: 1\.\d+ times over 2 nets; faster for 2", found.text("#settings")
    )
    found = seen()
    found.page.click("#best button.link:has-text('vgg11 224 px') >> nth=0")
    memory = found.table("#net .scroll[aria-label='peak memory']")
    assert memory[0][2] == "292 MiB"
    found.page.click("nav a[href='#compare']")
    text = found.text("#compare p.finding")
    assert " does 0.333 [" in text
    assert "times what fast does in inference: more for 0 of 3 nets" in text


CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = node => { while (node) { const c = parse(getComputedStyle(node).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; node = node.parentElement; } return [255, 255, 255]; };
  const found = [];
  const kinds = 'h1, h2, h3, p, td, th, label, button, summary, select, li, a, .tabulator-cell';
  for (const node of document.querySelectorAll(kinds)) {
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
    found.unfold()
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
    found.unfold()
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 375
    assert found.errors == []


@needs_chromium
def test_a_gate_is_drawn_alone(browser, tmp_path):
    file = gate_file(tmp_path / "gate.json", name=HOSTILE)
    target = tmp_path / "gate.html"
    beside = Beside([figures_gate.load(file)])
    target.write_text(layout.render(dataset.Dataset.empty(), "A gate", beside), encoding="utf-8")
    found = Seen(browser, target)
    found.unfold()
    assert found.errors == []
    assert found.page.eval_on_selector_all(".drawn", "all => all.map(each => each.id)") == [
        "gate-1", "gate-1-controls", "gate-1-pairs",
    ]  # fmt: skip
    assert all(plot["points"] and plot["width"] > 200 and plot["height"] > 100 for plot in found.plots())
    found.page.click("#gate-1 summary")
    found.page.wait_for_selector("#gate-1 .tabulator-row")
    cells = found.page.eval_on_selector_all(
        "#gate-1 .tabulator-row >> nth=0 >> .tabulator-cell", "all => all.map(c => c.textContent)"
    )
    assert cells[:3] == ["REGRESSED", CASES[0], "time"]
    assert found.page.evaluate("window.hostile") is None
    found.context.close()


@needs_chromium
def test_two_results_are_compared_on_a_page_of_their_own(browser, data, tmp_path):
    files = [str(file.common["file"]) for file in data.files]
    arguments = ["compare", *files, "--html", str(tmp_path / "two.html"), "--json", str(tmp_path / "two.json")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    found = Seen(browser, tmp_path / "two.html")
    found.unfold("compare")
    assert found.errors == []
    assert (found.page.input_value("#pick-a"), found.page.input_value("#pick-b")) == ("m1", "m0")
    assert "m1 does 3.00 [" in found.text("#compare p.finding")
    assert found.page.locator("#relative").get_attribute("open") is None
    found.context.close()


def test_a_page_of_two_needs_two(data, tmp_path):
    file = str(data.files[0].common["file"])
    found = CliRunner().invoke(app, ["compare", file, file, "--html", str(tmp_path / "two.html")])
    assert "are one file, and a page of two needs two" in str(found.exception)
