"""A step layer by layer: measured for real, and the table made of known answers."""

import json

import pytest
from typer.testing import CliRunner

from bench.controller.launcher import Launcher
from bench.controller.process import Worker
from bench.machine.ceilings import Best, Ceilings
from bench.worker.nets.traffic import step_counts
from reports.analysis import dataset, layers
from reports.cli import app
from reports.results import export
from suites.axes import Machine
from suites.case import Budget, Case
from suites.errors import DlhwError
from tests.support import own_nets
from tests.support.runner import ROOT
from tests.support.samples import measured, write

BOX = Machine(devices=("cpu",), threads=2)
GPUS = Machine(devices=("cpu", "cuda:0", "cuda:1"), threads=8)
BUDGET = Budget(precision=0.5, min_samples=3, min_seconds=0, max_seconds=0.02, warmup_seconds=0.02)
LENET_FLOPS = 833_040


@pytest.fixture(scope="module")
def look():
    with Worker() as worker:
        launcher = Launcher(worker)
        yield lambda text: launcher.layers(Case.parse(text), BUDGET)


@pytest.fixture(scope="module")
def inference(look):
    return look("lenet-inference-b8-fp32-contiguous-eager-cpu-t1")


@pytest.fixture(scope="module")
def training(look):
    return look("lenet-training-b8-fp32-contiguous-eager-cpu-t1")


def by_layer(answer, phase):
    return {row["layer"]: row for row in answer["rows"] if row["phase"] == phase}


def test_every_layer_of_the_forward_pass_has_its_operators(inference):
    rows = by_layer(inference, "forward")
    found = [(row["kind"], row["operators"]) for row in rows.values()]
    assert found == [
        ("Conv2d", ["convolution"]), ("Sigmoid", ["sigmoid"]), ("AvgPool2d", ["avg_pool2d"]),
        ("Conv2d", ["convolution"]), ("Sigmoid", ["sigmoid"]), ("AvgPool2d", ["avg_pool2d"]),
        ("Linear", ["addmm"]), ("Sigmoid", ["sigmoid"]), ("Linear", ["addmm"]), ("Sigmoid", ["sigmoid"]),
        ("Linear", ["addmm"]),
    ]  # fmt: skip
    assert len(rows) == len(inference["rows"])


def test_flops_and_bytes_of_the_layers_are_those_of_the_step(inference):
    assert sum(row["flops"] for row in inference["rows"]) == 8 * LENET_FLOPS
    traffic, _ = step_counts(Case.parse("lenet-inference-b8-fp32-contiguous-eager-cpu-t1"))
    assert sum(row["bytes"] for row in inference["rows"]) == traffic.operator_bytes
    assert all(sum(row["by_size"].values()) == row["bytes"] for row in inference["rows"])


def test_times_are_there(inference, training):
    for answer in (inference, training):
        assert all(row["seconds"] > 0 for row in answer["rows"])
        assert len(answer["whole_seconds"]) == len(answer["watched_seconds"]) == len(answer["sum_seconds"]) == 7
        turns = zip(answer["watched_seconds"], answer["sum_seconds"], strict=True)
        assert all(watched > total for watched, total in turns)
        assert answer["steps"] >= 7


def test_the_backward_pass_is_charged_to_the_layer_that_made_it(training):
    forward, backward = by_layer(training, "forward"), by_layer(training, "backward")
    weighted = [name for name, row in forward.items() if row["kind"] in {"Conv2d", "Linear"}]
    assert len(weighted) == 5
    for name in weighted:
        operators = backward[name]["operators"]
        wanted = "convolution_backward" if forward[name]["kind"] == "Conv2d" else "mm"
        assert wanted in operators
        # the first layer needs no gradient of its input; a convolution's other share depends on padding alone
        factor = 1 if name == weighted[0] else 2
        assert backward[name]["flops"] == factor * forward[name]["flops"]
    assert all(
        backward[name]["operators"] == ["sigmoid_backward"] for name, row in forward.items() if row["kind"] == "Sigmoid"
    )


def test_loss_and_optimizer_are_no_layers(training):
    loss = by_layer(training, "loss")[""]
    assert loss["operators"][0] == "_log_softmax"
    assert set(by_layer(training, "optimizer")[""]["operators"]) == {"add_"}
    assert len(by_layer(training, "optimizer")[""]["operators"]) == 10


def test_functional_operators_are_charged_to_the_module_that_calls_them(look):
    rows = by_layer(look("resnet18-inference-b1-bf16-channels_last-eager-cpu-t1"), "forward")
    blocks = [row for row in rows.values() if row["kind"] == "Residual"]
    assert len(blocks) == 8
    assert all(row["operators"] == ["relu", "add_", "relu"] for row in blocks)


def test_a_compiled_net_has_no_layers_left(look):
    with pytest.raises(DlhwError, match="skipped: a compiled or recorded net has no layers left to look at"):
        look("lenet-inference-b8-fp32-contiguous-default-cpu-t1")


CASE = Case.parse("lenet-inference-b8-fp32-contiguous-eager-cpu-t2")
KNOWN = Ceilings(
    {"cpu-t2-fp32": Best(100e9, "m")}, {"cpu-t2": {2**30: Best(10e9, "c")}}, {"cpu-t2": Best(1e-6, "d")}
)  # fmt: skip


def answer(whole=0.010, **changes):
    row = {"layer": "0", "kind": "Conv2d", "phase": "forward", "operators": ["convolution"], "flops": 2 * 10**8,
           "seconds": 0.004, "bytes": 10**6, "by_size": {"20": 10**6}}  # fmt: skip
    pool = {**row, "layer": "1", "kind": "MaxPool2d", "operators": ["pool"], "flops": 0, "seconds": 0.003}
    rest = {**pool, "layer": "", "kind": "", "phase": "loss", "seconds": 0.0025, "by_size": {"25": 10**7}}
    turns = {"whole_seconds": [whole] * 7, "watched_seconds": [0.02] * 7, "sum_seconds": [0.0095] * 7}
    return {"rows": [row, pool, rest], "steps": 9, **turns} | changes


def test_the_table_ends_with_sum_rest_and_whole():
    frame, facts = layers.table(CASE, answer(), KNOWN)
    assert frame["layer"].tolist() == ["0", "1", "(no layer)", "sum of operators", "rest", "whole step"]
    assert frame["seconds"].tolist() == pytest.approx([0.004, 0.003, 0.0025, 0.0095, 0.0005, 0.010])
    assert frame["share"].tolist() == pytest.approx([0.4, 0.3, 0.25, 0.95, 0.05, 1.0])
    assert frame["bound"].tolist()[:3] == ["compute-bound", "overhead-bound", "bandwidth-bound"]
    assert frame["bound"].isna().tolist()[3:] == [True] * 3
    assert facts["rest_seconds"] == pytest.approx(0.0005)


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        (0.010, "The sum is 95.0% of the whole (turns: 95.0 to 95.0)."),
        (
            0.019,
            "The sum is 50.0% of the whole (turns: 50.0 to 50.0); the rest is views, the dispatcher, autograd, hooks "
            "and Python.",
        ),
        (
            0.005,
            "The sum is 190.0% of the whole (turns: 190.0 to 190.0): to be timed costs each of 3 operators about "
            "1.50 ms.",
        ),
    ],
)
def test_what_is_left_over_is_explained(whole, words):
    _, facts = layers.table(CASE, answer(whole), KNOWN)
    lines = layers.caption(facts).splitlines()
    assert lines[0].startswith(f"{CASE.id}: the whole step takes {1000 * whole:.3g}")
    assert lines[-1] == words


def test_the_table_for_people_is_text():
    frame, _ = layers.table(CASE, answer(), KNOWN)
    shown = layers.text(frame)
    assert shown.iloc[0].tolist() == [
        "0", "Conv2d", "forward", "4.00 ms", "40.0%", "200 M", "50.0 GFLOP/s", "977 KiB", "compute-bound",
        "convolution",
    ]  # fmt: skip
    assert shown.iloc[-1].tolist() == ["whole step", "", "", "10.0 ms", "100.0%", "-", "-", "-", "", ""]
    assert not shown.isna().to_numpy().any()


def test_without_ceilings_there_is_time_and_no_class():
    frame, _ = layers.table(CASE, answer(), Ceilings())
    assert frame["bound"].isna().all()
    assert frame["seconds"].notna().all()


def test_a_net_by_itself_is_the_usual_case():
    assert layers.case_for("lenet", [], "smoke", BOX).id == "lenet-inference-b8-fp32-contiguous-eager-cpu-t2"
    assert layers.case_for("lenet", [], "smoke", GPUS).device == "cuda:0"
    chosen = layers.case_for("torchvision:resnet50", ["mode=training", "threads=1", "batch_size=2"], "smoke", BOX)
    assert chosen.id == "torchvision:resnet50-training-b2-fp32-contiguous-eager-cpu-t1"
    assert layers.case_for(CASE.id, [], "smoke", BOX) == CASE


def test_a_net_of_ones_own_is_found_by_name_or_id_in_its_suite(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(own_nets.suite(["TwoInputs"], {"TwoInputs": "inputs = [{shape = [3, 16, 16]}, {shape = []}]"}))
    chosen = ["mode=training", "batch_size=2"]
    found = layers.case_for(f"{own_nets.HERE}:TwoInputs", chosen, str(path), BOX)
    assert [each.shape for each in found.signature.inputs] == [(3, 16, 16), ()]
    name = f"{own_nets.HERE}:TwoInputs@3x16x16+1-training-b1-fp32-contiguous-eager-cpu-t2"
    assert layers.case_for(name, [], str(path), BOX).signature == found.signature
    with pytest.raises(DlhwError, match="what this net is called with stands in its suite file"):
        layers.case_for(name, [], "smoke", BOX)


def test_the_layers_of_a_net_of_ones_own_count_what_the_case_counts():
    case = Case.parse(f"{own_nets.HERE}:Attention@3x16x16-training-b4-fp32-contiguous-eager-cpu-t1")
    with Worker(folder=ROOT) as worker:
        launcher = Launcher(worker)
        rows = launcher.layers(case, BUDGET)["rows"]
        assert sum(row["flops"] for row in rows) == 4 * launcher.reference(case)["step_flops_per_image"]


@pytest.mark.parametrize(
    ("net", "axes", "words"),
    [
        ("lenet", ["batch_size=1,2"], "lenet: layers looks at one case, and this is 2: give one value to each --axis"),
        ("lennet", [], "unknown net 'lennet' (did you mean 'lenet'?)"),
        ("lenet", ["batchsize=1"], "unknown axis 'batchsize' (did you mean 'batch_size'?)"),
        ("lenet", ["precision=tf32"], "lenet-inference-b8-tf32-contiguous-eager-cpu-t2: cpu has no TF32"),
        ("lenet-inference-b8", [], "is no case id"),
    ],
)
def test_what_is_not_one_possible_case_is_one_clear_error(net, axes, words):
    with pytest.raises(DlhwError) as caught:
        layers.case_for(net, axes, "smoke", BOX)
    assert words in str(caught.value)


def test_a_net_of_ones_own_brings_its_suite(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[[sweep]]\narchitecture = "lenet"\n[architectures."a.b:c"]\ninput_shape = [3, 8, 8]\n')
    assert layers.case_for("a.b:c", [], str(path), BOX).input_shape == (3, 8, 8)


def test_the_command_gives_every_column(monkeypatch):
    monkeypatch.setattr(layers, "measure", lambda *arguments: layers.table(CASE, answer(), KNOWN))
    rows = json.loads(CliRunner().invoke(app, ["layers", "lenet", "--json", "-"]).stdout)
    assert set(rows[0]) == set(layers.COLUMNS)
    assert rows[0]["decided_by"].startswith("compute alone explains 50.0% of the time")
    table = CliRunner().invoke(app, ["layers", "lenet"])
    assert len(table.stdout.splitlines()) == 7
    assert "The sum is 95.0% of the whole" in table.stderr


def test_what_was_written_is_read_back_without_its_sums(tmp_path):
    path = tmp_path / "layers.json"
    export.json_rows(layers.table(CASE, answer(), KNOWN, "f00d")[0], path)
    assert layers.is_layers(path)
    found = layers.load(path)
    assert found["layer"].tolist() == ["0", "1", "(no layer)"]
    assert set(found["fingerprint"]) == {"f00d"}
    first = found.iloc[0]
    assert (first["architecture"], first["input_shape"], first["batch_size"]) == ("lenet", "1x28x28", 8)


@pytest.mark.parametrize(
    "content", ["[", "[{}]", '[{"layer": "0", "phase": "forward"}]', '[{"layer": "0", "case": 1, "phase": 1}]']
)
def test_damaged_layers_are_one_clear_error(tmp_path, content):
    (tmp_path / "layers.json").write_text(content)
    with pytest.raises(DlhwError, match=r"layers.json: no layers of a case in it .*: write it with dlhw layers --json"):
        layers.load(tmp_path / "layers.json")


def test_layers_need_the_results_of_their_machine(tmp_path):
    results, path = write(tmp_path / "r.json", measured()), tmp_path / "layers.json"
    for machine in ("f00d", "cafe"):
        export.json_rows(layers.table(CASE, answer(), KNOWN, machine)[0], path)
        if machine == "f00d":
            assert set(dataset.load([results, path], names={}, prices={}, reference=None).layers["machine"]) == {"box"}
    with pytest.raises(DlhwError, match=r"layers.json: layers of a machine that has no results here"):
        dataset.load([results, path], names={}, prices={}, reference=None)
