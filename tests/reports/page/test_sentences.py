"""Every sentence that the page shows is true of what is chosen: recomputed of the results, number for number."""

import random
import re
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from bench.machine.ceilings import Ceilings
from bench.records.sentences import findings
from reports.analysis import dataset, layers
from reports.page import layout
from reports.results import export
from suites.case import Case
from tests.support import page_sentences as again
from tests.support.page import Seen, machine, needs_chromium, net, written
from tests.support.samples import LENET, measured, micro

CHOICES = [
    {"nets": ["*"]},
    {"nets": ["lenet"]},
    {"nets": ["*"], "systems": ["box"]},
    {"nets": ["*"], "systems": ["box", "fast"], "a": "fast", "b": "box"},
    {"nets": ["*"], "mode": "training"},
    {"nets": ["*"], "way": "best", "a": "card", "b": "fast"},
    {"nets": ["*"], "way": "best", "systems": ["card", "twin"], "a": "card", "b": "twin", "show": ("n3", "3x64x64")},
    {"nets": ["lenet", "resnet18"], "settings": {"precision": ["bf16"]}},
    {"nets": ["lenet"], "systems": ["fast"], "settings": {"memory_format": ["channels_last"], "precision": ["fp32"]}},
    {"nets": ["vgg11"], "mode": "training"},
]
SECTIONS = ("relative", "best", "net", "compare", "settings", "size", "trade-offs", "hardware")
UNCOUNTED = re.compile(r"(?:[a-z]+\d+|[^\d])*$")
"""What has no figure in it needs no recomputing."""


def shaken(records, seed):
    """No two figures alike, so that no order hangs by a tie."""
    draw = random.Random(seed)
    for record in records:
        factor = draw.uniform(0.8, 1.25)
        yield replace(record, seconds=tuple(second * factor for second in record.seconds))


def imported(speed, count):
    """A card's summaries: one figure for each of many nets, without an interval."""
    for index in range(count):
        for layout_, gain in (("contiguous", 1), ("channels_last", 1.3 if index % 3 else 0.9)):
            case = replace(LENET, architecture=f"n{index}", input_shape=(3, 64, 64), batch_size=256,
                           precision="amp_fp16",
                           memory_format=layout_, device="cuda:0")  # fmt: skip
            yield measured(case, (0.1 * (1 + index) / gain / speed,), sampling=None, memory=None, flops=None)
    lenet = replace(LENET, batch_size=256, precision="amp_fp16", device="cuda:0")
    yield measured(lenet, (0.003 / speed,), sampling=None, memory=None, flops=None)


LAYERS_OF = "lenet-inference-b4-fp32-contiguous-eager-cpu-t2"
LAYERS = [0.00019 * (place % 7 + 1.01) / 4 for place in range(20)]
"""Seconds of a step of 2 ms."""


def timed_layers(path):
    """What dlhw layers would write of a net of twenty layers."""
    row = {"kind": "Conv2d", "phase": "forward", "operators": ["convolution"], "flops": 10**6, "bytes": 10**5}
    rows = [row | {"layer": f"l{place}", "seconds": seconds + place * 1e-9, "by_size": {"17": 10**5}}
            for place, seconds in enumerate(LAYERS)]  # fmt: skip
    turns = {"whole_seconds": [0.002] * 7, "watched_seconds": [0.003] * 7, "sum_seconds": [0.0019] * 7}
    frame, _ = layers.table(Case.parse(LAYERS_OF), {"rows": rows, "steps": 9, **turns}, Ceilings(), "box")
    export.json_rows(frame, path)
    return path


def of_layers(own, net):
    """The sentence on them, where their case is chosen."""
    if net[0] == "lenet" and ((own["system"] == "box") & (own["id"] == LAYERS_OF)).any():
        longest = sorted(((seconds, f"l{place}") for place, seconds in enumerate(LAYERS)), reverse=True)
        slowest = max((seconds, place) for place, seconds in enumerate(LAYERS))
        half = next(count for count in range(1, 21) if sum(each for each, _ in longest[:count]) >= 0.001)
        yield (f"fp32 b4 on box: l{slowest[1]} Conv2d takes {slowest[0] / 0.00002:.1f}%, {1e6 * slowest[0]:.0f} us; "
               f"{half} of 20 take half of the step.")  # fmt: skip
        yield "The longest 15 of 20."


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentences")
    more = [net(0.02 / gain, batch_size=batch, precision=precision, memory_format=form, threads=threads)
            for gain, precision in ((1, "fp32"), (2, "bf16")) for form in ("contiguous", "channels_last")
            for threads in (1, 4, 8) for batch in (1, 4)]  # fmt: skip
    copies = [micro(f"copy-{2**size}-{precision}-cpu-t{threads}", 1e9 * size * threads, metric="bytes_per_second")
              for size in (12, 20) for precision in ("fp32", "bf16") for threads in (1, 3, 4, 5, 6)]  # fmt: skip
    noisy = net(0.003, architecture="resnet18", batch_size=8, noisy=("drift",))
    paths = [
        written(folder, "box", shaken([*machine(1.0), *more, *copies, noisy], 1)),
        written(folder, "fast", shaken(machine(3.0), 2)),
        written(folder, "card", shaken(imported(20, 24), 3)),
        written(folder, "twin", shaken(imported(9, 50), 4)),
        timed_layers(folder / "layers.json"),
    ]
    return dataset.load(paths, names={}, prices={"box": 1.0, "fast": 2.0}, reference="box")


@pytest.fixture(scope="module")
def tab(browser, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("html") / "page.html"
    path.write_text(layout.render(data, "Sentences"), encoding="utf-8")
    found = Seen(browser, path, fragment="#net=*")
    yield found
    found.context.close()


def address(choice):
    settings = choice.get("settings", {})
    named = {
        "net": choice["nets"], "system": choice.get("systems", []), "mode": choice.get("mode", "inference"),
        "way": choice.get("way", "same"),
        "setting": [f"{axis}={value}" for axis, values in settings.items() for value in values],
    }  # fmt: skip
    named |= {key: choice[key] for key in ("a", "b") if key in choice}
    return "#" + urlencode(named, doseq=True) + f"&show={shown(choice)}"


def shown(choice):
    return '["{}","{}"]'.format(*net_of(choice))


def net_of(choice):
    """The net that is shown in detail."""
    if "show" in choice:
        return choice["show"]
    return {"*": ("lenet", "1x28x28"), "vgg11": ("vgg11", "1x224x224")}.get(
        choice["nets"][-1], (choice["nets"][-1], "1x28x28")
    )


def expected(data, choice):
    """Section -> the sentences that ought to be there."""
    cases = again.prepared(data.cases)
    own = again.chosen(
        cases, choice.get("systems", ()), [n for n in choice["nets"] if n != "*"], choice.get("settings")
    )
    way, wanted = choice.get("way", "same"), choice.get("mode", "inference")
    mode = next(mode for mode in (wanted, "inference", "training") if len(again.measured_nets(own, mode)))
    every = again.pairs(cases)
    pairs = every[every["row"].isin(own.index)]
    of_any_net = again.chosen(cases, choice.get("systems", ()), (), choice.get("settings"))
    every = every[(every["mode"] == mode) & every["row"].isin(of_any_net.index)]
    in_mode = pairs[pairs["mode"] == mode]
    systems = list(dict.fromkeys(again.measured_nets(own, mode)["system"]))
    a = choice.get("a", systems[0] if systems else None)
    b = choice.get("b", next((system for system in systems if system != a), None))
    return {
        "best": list(again.best(own, mode)),
        "relative": list(again.relative(own, mode, way)),
        "compare": again.compare(own, mode, way, a, b) if len(systems) > 1 else [],
        "settings": list(again.settings(in_mode, every[~every["row"].isin(own.index)])),
        "net": list(again.net(own, pairs, mode, net_of(choice)))
        + list(of_layers(own, net_of(choice)) if mode == "inference" else ()),
        "advice": list(again.advice(own, mode, net_of(choice))),
        "hardware": list(hardware(data, own)),
        "trade-offs": [text for text, rows in again.trade_offs(cases[cases["mode"] == mode])
                       if set(rows) <= set(own.index)],
    }  # fmt: skip


def hardware(data, own):
    """What the findings say, whose tests are elsewhere: here of whom, and that all rows behind it are chosen."""
    found = {}
    for file in data.files:
        for each in findings(file.records, file.host):
            found.setdefault(each.operation, []).append(f"{file.common['machine']} {each.subject}: {each.text}.")
    every = data.cases[data.cases["status"] == "measured"]
    for operation, texts in found.items():
        if set(every.index[every["operation"] == operation]) <= set(own.index):
            yield " ".join(texts)


@needs_chromium
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: "-".join(f"{k}={v}" for k, v in choice.items())[:60])
def test_every_sentence_is_recomputed_and_no_figure_has_more_lines_than_can_be_read(tab, data, choice):
    tab.choose(address(choice))
    tab.unfold(*SECTIONS)
    seen, wanted = tab.sentences(), expected(data, choice)
    for section in SECTIONS:
        counted = sorted(text for text in seen[section] if not UNCOUNTED.match(text))
        assert counted == sorted(text for text in wanted.get(section, ()) if not UNCOUNTED.match(text)), section
    assert tab.table("#net .scroll[aria-label='advice']") == wanted["advice"]
    assert tab.errors == []
    for plot in tab.plots():
        assert plot["lines"] <= 8 or plot["named"] >= plot["lines"], plot
