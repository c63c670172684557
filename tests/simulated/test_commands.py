"""The commands that read results, on a sweep of two devices whose truth is known: what they say follows from it."""

import json

import pytest

TRUTH = {"fp32": 2e9, "half": 8e9, "bandwidth": 1e9, "link": 1e9, "latency": 1e-5, "memory": 2**28}
TWICE = {name: 2 * value for name, value in TRUTH.items()} | {"latency": 5e-6}
SUITE = """
[[micro]]
operation = "matmul"
size = "512x256x512"
precision = ["fp32", "bf16"]
device = ["sim:0", "sim:1"]

[[micro]]
operation = "copy"
size = 8388608
device = ["sim:0", "sim:1"]

[[micro]]
operation = "triad"
size = 8388608
device = ["sim:0", "sim:1"]

[[sweep]]
architecture = "lenet"
mode = "inference"
batch_size = [2, 32]
precision = ["fp32", "bf16"]
device = ["sim:0", "sim:1"]
threads = 1
"""
COMMANDS = """
import contextlib, io, json, pathlib, sys, tempfile
from reports.cli import main

def said(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
        sys.argv, code = ["dlhw", *arguments], 0
        try:
            main()
        except SystemExit as end:
            code = end.code
    return [code or 0, out.getvalue(), errors.getvalue()]

file = tempfile.mkdtemp() + "/results.json"
pathlib.Path(file).write_text(pathlib.Path(RESULTS).read_text())
page = file + ".html"
case = "lenet-inference-b32-bf16-contiguous-eager-sim:1-t1"
print(json.dumps({
    "roofline": said("roofline", file, "--json", "-"),
    "table": said("table", file, "--json", "-"),
    "advise": said("advise", file, "--architecture", "lenet", "--json"),
    "latency": said("advise", file, "--architecture", "lenet", "--objective", "latency", "--json"),
    "explain": said("explain", file, "--case", case, "--json"),
    "compare": said("compare", file, file, "--json", "-"),
    "findings": said("findings", file, "--json"),
    "report": said("report", file, "-o", page),
    "layers": said("layers", case, "--json", "-"),
}))
"""


def case(batch, precision, device):
    return f"lenet-inference-b{batch}-{precision}-contiguous-eager-sim:{device}-t1"


@pytest.fixture(scope="module")
def swept(simulator):
    return simulator.sweep("commands", SUITE, TRUTH, TWICE, clock="virtual")


@pytest.fixture(scope="module")
def told(simulator, swept, tmp_path_factory):
    """Command -> exit code, standard output and error."""
    path = tmp_path_factory.mktemp("results") / "results.json"
    path.write_text(json.dumps(swept.data))
    return simulator.facts(f"RESULTS = {str(path)!r}\n{COMMANDS}", TRUTH, TWICE, name="said", clock="virtual")


def rows(told, command, key="id"):
    code, output, _ = told[command]
    assert code == 0
    return {row[key]: row for row in json.loads(output[output.index("[") :])}


CASES = [case(batch, precision, device) for batch in (2, 32) for precision in ("fp32", "bf16") for device in (0, 1)]


@pytest.mark.parametrize("id_", CASES)
def test_roofline_holds_each_case_against_its_own_device(told, id_):
    """Of the formula: FLOPs over the peak, bytes over the bandwidth, and an operator's latency beside."""
    row = rows(told, "roofline")[id_]
    truth = TRUTH if "sim:0" in id_ else TWICE
    peak = truth["half" if "bf16" in id_ else "fp32"]
    assert row["ceiling_flops_per_second"] == pytest.approx(peak, rel=0.01)
    assert row["compute_seconds"] == pytest.approx(row["step_flops"] / peak, rel=0.01)
    assert row["bandwidth_seconds"] == pytest.approx(row["operator_bytes"] / truth["bandwidth"], rel=0.01)
    assert row["share_of_ceiling"] == pytest.approx(row["step_flops"] / peak / row["median_seconds"], rel=0.01)
    longest = max(row["compute_seconds"], row["bandwidth_seconds"])
    together = row["compute_seconds"] + row["bandwidth_seconds"] + row["operators"] * truth["latency"]
    assert longest < row["median_seconds"] < 1.01 * together


def test_roofline_knows_what_bounds_a_net(told):
    """Where no product is lowered arithmetic takes most; half the precision has it four times as fast."""
    found = rows(told, "roofline")
    assert {found[case(32, precision, device)]["bound"] for precision in ("fp32", "bf16") for device in (0, 1)} == {
        "compute-bound"
    }
    shares = [found[case(32, precision, 0)]["share_of_ceiling"] for precision in ("fp32", "bf16")]
    assert shares[0] > shares[1]


def test_a_table_has_the_second_device_twice_as_fast(told):
    found = rows(told, "table")
    for batch, precision in ((2, "fp32"), (2, "bf16"), (32, "fp32"), (32, "bf16")):
        first, second = (found[case(batch, precision, device)] for device in (0, 1))
        assert first["median_seconds"] / second["median_seconds"] == pytest.approx(2, rel=0.005)
        assert first["device_model"] == "Simulated 2e+09 FLOP/s"


def test_advice_is_the_fastest_by_the_formula(told):
    """Most images: the faster device, the lower precision, the larger batch; the least latency: the smaller one."""
    assert list(rows(told, "advise", "case")) == [case(32, "bf16", 1)]
    assert list(rows(told, "latency", "case")) == [case(2, "bf16", 1)]


def test_a_latency_has_no_interval_of_another_quantity(told):
    (found,) = rows(told, "latency", "case").values()
    assert "[" not in found["next_best"]
    assert found["sure"] == "no interval: how sure the order is cannot be told"


def test_an_explanation_has_the_gain_of_each_setting(told, swept):
    _, output, _ = told["explain"]
    gains = {(toggle["axis"], toggle["value"]): toggle["gain"]["value"] for toggle in json.loads(output)["toggles"]}
    seconds = {key: swept.median(case(*key, 1)) for key in ((32, "bf16"), (2, "bf16"), (32, "fp32"))}
    assert gains["precision", "fp32"] == pytest.approx(seconds[32, "bf16"] / seconds[32, "fp32"])
    assert gains["batch_size", 2] == pytest.approx(seconds[32, "bf16"] / (16 * seconds[2, "bf16"]))
    assert gains["precision", "fp32"] > TWICE["fp32"] / TWICE["half"]  # not all of it is arithmetic


def test_a_result_does_not_differ_from_itself(told):
    assert {row["ratio"] for row in rows(told, "compare", "case").values()} == {1.0}


def test_findings_are_the_rates_that_were_set(told):
    found = {each["subject"]: each["text"] for each in json.loads(told["findings"][1])["findings"]}
    assert "at best fp32 2.00 GFLOP/s (512x256x512), bf16 8.00 GFLOP/s" in found["matmul sim:0"]
    assert "at best fp32 4.00 GFLOP/s (512x256x512), bf16 16.0 GFLOP/s" in found["matmul sim:1"]
    assert "2.00 GB/s" in found["triad sim:1"]


def test_a_page_has_all_cases(told):
    assert "16 cases of 1 machine" in "".join(told["report"][1:])


def test_layers_take_what_the_formula_says(told):
    layers = [row for row in rows(told, "layers", "layer").values() if row["kind"] in {"Conv2d", "Linear"}]
    assert [row["bound"] for row in layers[:2]] == ["compute-bound"] * 2
    for row in layers[:2]:
        assert row["seconds"] == pytest.approx(row["flops"] / TWICE["half"] + TWICE["latency"], rel=0.1)
