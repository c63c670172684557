"""Results that a page can be made of, and a browser's tab that has it open."""

import json
import shutil
from dataclasses import replace

import pytest

from bench.records.record import Flops, Memory, Traffic
from suites.micro import Micro
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
    sweep += [net(0.02 * cost / speed**2, architecture=name, mode="training", batch_size=4)
              for name, cost in (("lenet", 1), ("resnet18", 20))]  # fmt: skip
    sweep.append(net(0.5 / speed, architecture="vgg11", input_shape=(1, 224, 224), batch_size=64))
    sweep.append(net(0.0005 / speed, compile_mode="default", batch_size=1, compile=compiled(30.0)))
    sweep.append(net(0.004 / speed, batch_size=64, sensors={"energy_joules": 64.0 / speed, "window_steps": 10}))
    sweep.append(ended("out_of_memory", f"killed {HOSTILE}", replace(LENET, batch_size=4096)))
    copies = ((2**16, 8e10), (2**28, 1e10))
    hardware = [micro(f"copy-{size}-fp32-cpu-t2", rate * speed, **RATE) for size, rate in copies]
    hardware += [micro(f"matmul-64x64x64-{p}-cpu-t2", rate * speed) for p, rate in (("fp32", 1e11), ("bf16", 3e11))]
    skipped = ended("skipped", "no compiler", Micro.parse("memory_latency-chase-64-fp32-cpu-t1"))
    return [*sweep, *hardware, skipped]


def written(folder, name, records):
    """A machine's results as a file."""
    content = results(*records)
    content["machine_info"]["node"] = content["dlhw"]["fingerprint"] = name
    path = folder / f"{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(content))
    return path


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
        self.page.wait_for_selector("html[data-chosen]")

    def choose(self, fragment):
        """Go to the top of another address of the same page."""
        self.page.evaluate("scrollTo(0, 0)")
        self.page.evaluate(
            """fragment => new Promise(done => { if (location.hash === fragment) return done();
                addEventListener('hashchange', () => setTimeout(done), {once: true}); location.hash = fragment; })""",
            fragment,
        )

    def sentences(self):
        """Section -> what is said in it; tables, headings and choices are no sentences."""
        return self.page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll('details.section')].map(section => [section.id,
                [...section.querySelectorAll('.body p.finding, .body p.note, .body ul.found li')]
                    .map(each => each.textContent.replace(/\\s+/g, ' ').trim())]))"""
        )

    def unfold(self, *sections):
        """Unfold these, or all, and draw what is in them."""
        self.page.evaluate(
            """async wanted => { for (const each of document.querySelectorAll('details.section')) {
                if (wanted.length && !wanted.includes(each.id)) continue;
                each.open = true; each.scrollIntoView(); await new Promise(done => setTimeout(done, 60)); } }""",
            list(sections),
        )

    def text(self, place):
        return " ".join(self.page.inner_text(place).split())

    def plots(self):
        return self.page.evaluate(
            """() => [...document.querySelectorAll('details.section .plot')].map(plot => ({
                section: plot.closest('details.section').id, label: plot.getAttribute('aria-label'),
                points: (plot._fullData || []).reduce((n, t) => n + (t.x || t.median || []).length, 0),
                lines: (plot._fullData || []).filter(t => /lines/.test(t.mode || '') && t.meta?.band !== true).length,
                named: (plot.layout.annotations || []).length, legend: plot.layout.showlegend !== false,
                width: plot.getBoundingClientRect().width, height: plot.getBoundingClientRect().height,
            }))"""
        )

    def table(self, place):
        return self.page.eval_on_selector_all(
            f"{place} tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )
