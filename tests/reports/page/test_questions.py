"""Five questions of a person who sees the page for the first time, on others' real figures: two clicks at most each."""

import math

import pandas as pd
import pytest
from typer.testing import CliRunner

from reports.analysis import dataset
from reports.cli import app
from reports.page import layout
from suites import units
from tests.support.page import Seen, needs_chromium, net, written
from tests.support.runner import ROOT

TIMM = ROOT.parent / "shared" / "data" / "timm"
FORMATS = {"contiguous": "nchw", "channels_last": "nhwc"}
FILES = [
    f"{name.replace('*', form)}"
    for name in (
        "train-amp-*-pt112-cu113-rtx3090",
        "infer-amp-*-pt113-cu117-rtx3090",
        "infer-amp-*-pt240-cu124-rtx4090",
    )
    for form in FORMATS.values()
]
pytestmark = [
    needs_chromium, pytest.mark.skipif(not TIMM.exists(), reason="needs timm's files, which are not in the repository")
]  # fmt: skip


def own():
    """A machine of one's own: timm's ResNet-18 in both modes, the course's VGG up to batch 16."""
    for form, gain in (("contiguous", 1), ("channels_last", 1.5)):
        for batch in (1, 8):
            for mode, cost in (("inference", 1), ("training", 4)):
                yield net(batch * cost / gain / 50, architecture="torchvision:resnet18", input_shape=(3, 224, 224),
                          mode=mode, batch_size=batch, memory_format=form)  # fmt: skip
    for batch in (1, 4, 16):
        yield net(batch / 8, architecture="vgg11", input_shape=(1, 224, 224), batch_size=batch)


def rates(name):
    """A file's images a second, by net, size of image and batch."""
    table = pd.read_csv(TIMM / f"benchmark-{name}.csv")
    prefix = "train" if name.startswith("train") else "infer"
    table = table.rename(columns=lambda column: column.removeprefix(f"{prefix}_"))
    rows = table.drop_duplicates(["model", "img_size", "batch_size"])
    return rows.set_index(["model", "img_size", "batch_size"])["samples_per_sec"].sort_index()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    for source in sorted(TIMM / f"benchmark-{name}.csv" for name in FILES):
        done = CliRunner().invoke(app, ["import", "timm", str(source), "-o", str(folder / f"{source.stem}.json")])
        assert done.exit_code == 0, done.output
    files = [written(folder, "mine", own()), *sorted(folder.glob("benchmark*.json"))]
    target = folder / "page.html"
    data = dataset.load(files, names={}, prices={}, reference=None)
    target.write_text(layout.render(data, "Five questions"), encoding="utf-8")
    assert len(data.cases) > 6_000
    return target


@pytest.fixture(scope="module")
def tab(browser, page):
    found = Seen(browser, page)
    yield found
    found.context.close()


@pytest.fixture
def seen(tab):
    """The page as it is first seen."""
    tab.choose("")
    yield tab
    assert tab.errors == []


def test_which_is_fastest_in_training_and_by_how_much(seen):
    seen.page.click("[data-choice='mode=training']")
    best = max(rates(f"train-amp-{form}-pt112-cu113-rtx3090").xs(("resnet18", 224)).max() for form in FORMATS.values())
    mine = 50 * 1.5 / 4
    assert seen.text("#relative p.finding").startswith(
        f"rtx3090 (torch 1.12) is the fastest in training: {units.number(best / mine)} times mine, over the 1 net"
    )


def test_what_to_run_resnet18_with_on_ones_own(seen):
    seen.page.click("#best button.link:has-text('torchvision:resnet18 224 px') >> nth=0")
    (mine,) = [row for row in seen.table("#net .scroll[aria-label='advice']") if row[:2] == ["mine", "throughput"]]
    assert mine[2:4] == ["fp32 channels_last b1", "75.0 images/s"]


def test_whether_channels_last_pays_on_the_rtx4090_and_for_which_nets(seen):
    seen.page.click("nav a[href='#settings']")
    before, after = (rates(f"infer-amp-{form}-pt240-cu124-rtx4090") for form in ("nchw", "nhwc"))
    gains = (after / before).dropna()
    by_net = gains.groupby(level=["model", "img_size"]).apply(lambda own: math.exp(own.map(math.log).mean()))
    text = seen.text("#settings")
    mean = math.exp(by_net.map(math.log).mean())
    assert (
        f"channels_last on rtx4090, of nets that are not chosen: {units.number(mean)} times over {len(by_net)} nets"
        in text
    )
    best = by_net.idxmax()[0]
    assert f"faster for {(by_net > 1).sum()}: " in text
    assert f"{best} {by_net.idxmax()[1]} px ({units.number(by_net.max())})" in text


def test_how_much_memory_vgg_needs_at_batch_64(seen):
    """Not measured: the nearest that was, and the line through what was, marked as no measurement."""
    seen.page.click("#best button.link:has-text('vgg11 224 px') >> nth=0")
    text = seen.text("#net")
    assert f"fp32 on mine: measured up to batch 16, {units.octets(148 * 2**20)} there." in text
    head = [cell.strip() for cell in seen.page.locator("#net .scroll[aria-label='peak memory'] th").all_inner_texts()]
    (row,) = seen.table("#net .scroll[aria-label='peak memory']")
    assert row[head.index("batch 64")] == f"~{units.octets((100 + 3 * 64) * 2**20)}"
    assert seen.page.locator("#net .guess").count() == 4


def test_how_ones_own_compares_with_the_rtx3090_on_resnet18(seen):
    seen.page.click("#best button.link:has-text('torchvision:resnet18 224 px') >> nth=0")
    seen.page.click("nav a[href='#compare']")
    a, b = seen.page.input_value("#pick-a"), seen.page.input_value("#pick-b")
    assert (a, b) == ("mine", "rtx3090 (torch 1.13)")
    best = max(rates(f"infer-amp-{form}-pt113-cu117-rtx3090").xs(("resnet18", 224)).max() for form in FORMATS.values())
    assert f"mine does {units.number(75 / best)} times what {b} does in inference" in seen.text("#compare p.finding")
