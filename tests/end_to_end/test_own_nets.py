"""Nets of strangers, measured for real: each with a row that is true, or a reason that its owner understands."""

import json

import pytest

from tests.support import own_nets
from tests.support.runner import Runner
from tests.support.shared import folder_of_all, once

INPUTS = {
    "TwoInputs": "inputs = {x = {shape = [3, 16, 16]}, t = {shape = []}}",
    "Tokens": 'inputs = [{shape = [12], dtype = "int64", high = 100}, {shape = [12], dtype = "bool"}]',
    "TakesAGraph": f'inputs = "{own_nets.HERE}:graph"\nloss = "{own_nets.HERE}:spread"',
    "Video": "input_shape = [3, 4, 8, 8]",
    "SparseGraph": f'inputs = "{own_nets.HERE}:sparse_graph"',
    "TimeFirst": "input_shape = [4, 8]",
    "GroupedTransposed": "input_shape = [8, 16, 16]",
}
BOTH = (
    "ReadsAValue", "KeepsAPlainTensor", "sets_threads_when_built", "sets_dtype_when_built", "NeedsFp32",
    "DropsByItself", "Attention", "lazy", "EditsItsInput", "ReturnsADict", "ReturnsANest", "ReturnsItsLoss",
    "TwoInputs", "Tokens", "TakesAGraph", "Video", "GroupedTransposed", "TwoAndThree", "MixesItsBatch",
    "AttendsToItsBatch", "Checkpointed", "InFrequencies", "SparseGraph", "TimeFirst",
)  # fmt: skip
INFERENCE = (
    "GoesThroughNumPy", "LoopsByValue", "KeepsAHiddenBuffer", "SetsThreadsWhenRun", "HidesItsThreads",
    "LowersItsPrecision", "IsTraced", "HasFp32Inside", "Noisy", "DrawsFromPython", "WearsOut", "CountsItsCalls",
    "SortsNearTies", "KeepsTheLargest",
    "ReturnsIndices", "scripted", "quantised", "TakesGradients", "HasNoWeights",
)  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """(net, mode, what else tells the case) -> its record's fields, or [status, reason]."""
    data = once(folder_of_all(tmp_path_factory), "own_nets", measured)
    found = {key(each["extra_info"]["case"]): each["extra_info"] for each in data["benchmarks"]}
    return found | {key(each["case"]): [each["status"], each["reason"]] for each in data["outcomes"]}


def measured(folder):
    """The results of one sweep of all nets."""
    runner = Runner(folder)
    parts = [
        own_nets.suite(BOTH, INPUTS, batch_size=8),
        own_nets.suite(INFERENCE, INPUTS, batch_size=8, mode="inference"),
        own_nets.suite(["OnlyFours"], batch_size=[4, 8], mode="inference"),
        own_nets.suite(["Uncompiled", "HalfCompiled"], batch_size=2, mode="inference", compile_mode="default"),
        own_nets.suite(["TwoAndThree"], batch_size=8, mode="inference", memory_format="channels_last"),
    ]
    text = parts[0]
    for part in parts[1:]:
        sweep, *tables = part.replace(own_nets.BUDGET, "").split("[architectures.")
        new = (f"[architectures.{table}" for table in tables)
        text += sweep + "".join(table for table in new if table.partition("]")[0] not in text)
    runner.suite.write_text(text)
    output = runner.run("--benchmark-json=r.json")
    assert (folder / "r.json").exists(), output.stdout + output.stderr
    assert runner.processes() == {}
    return json.loads((folder / "r.json").read_text())


def key(case):
    name = case["architecture"].partition(":")[2]
    return (name, case["mode"], case["batch_size"], case["compile_mode"], case["memory_format"])


@pytest.fixture
def row(rows):
    return lambda name, mode="inference", batch=8, compiler="eager", layout="contiguous": rows[
        (name, mode, batch, compiler, layout)
    ]


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("name", BOTH)
def test_every_kind_is_measured_and_counted(row, name, mode):
    found = row(name, mode)
    assert isinstance(found, dict), found
    assert found["flops"]["step"] >= found["flops"]["forward_per_image"] * 8 > 0
    assert found["traffic"]["operator_bytes"] > 0


@pytest.mark.parametrize("name", sorted(set(BOTH) - {"DropsByItself", "NeedsFp32"}))
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_what_can_be_checked_is_checked_against_fp64(row, name, mode):
    check = row(name, mode)["check"]
    assert "of fp64 eager" in check["reference"]
    assert check["relative_error"] <= check["tolerance"]
    assert not check["inconclusive"]


BODY = 2 * (3 * 4 * 9 * 14 * 14 + 4 * 10)


@pytest.mark.parametrize(
    ("name", "forward", "training"),
    [
        ("ReadsAValue", BODY, 2 * BODY + 2 * 40),
        ("KeepsAPlainTensor", BODY, 2 * BODY + 2 * 40),
        ("lazy", 2 * (108 * 196 + 784 * 10), 2 * 2 * (108 * 196 + 784 * 10) + 2 * 7840),
        ("GroupedTransposed", 32768 + 160, 66_016),
        ("Tokens", 160, 480),
        (
            "AttendsToItsBatch",
            (2 * 2 * 8 * 8 * 768 + 2 * 8 * 7680 + 2 * 6**3) / 8,
            (2 * 2 * 8 * 8 * 768 + 2 * 2 * 8 * 7680 + 3 * 2 * 6**3) / 8,
        ),
        ("TakesAGraph", 2 * (6 * 6 * 5 + 6 * 5 * 10), 2 * (6 * 6 * 5) + 2 * 2 * 6 * 5 * 10),
    ],
)
def test_flops_are_those_of_the_layers(row, name, forward, training):
    assert row(name)["flops"]["forward_per_image"] == forward
    assert row(name, "training")["flops"]["step"] == 8 * training


def test_parameters_of_lazy_layers_are_those_of_a_dry_run(row):
    assert row("lazy")["case"]["parameters"] == 3 * 4 * 9 + 4 + 2 * 4 + 784 * 10 + 10


@pytest.mark.parametrize("name", ["GoesThroughNumPy", "LoopsByValue", "KeepsAHiddenBuffer"])
def test_what_meta_tensors_cannot_do_is_counted_with_real_ones(row, name):
    assert row(name)["flops"]["forward_per_image"] == BODY


@pytest.mark.parametrize(
    ("name", "what"), [("sets_threads_when_built", "threads"), ("sets_dtype_when_built", "default dtype")]
)
def test_what_a_builder_sets_is_set_back_and_said(row, name, what):
    assert row(name)["notes"]["settings"] == f"building the net changed {what}: set back before anything was timed"
    assert row(name)["case"]["threads"] >= 1


def test_a_label_that_is_not_true_while_it_is_timed_is_no_row(row):
    for name, words in (
        ("SetsThreadsWhenRun", "threads are 1, not "),
        ("HidesItsThreads", "the net runs operators with "),
        ("LowersItsPrecision", "mkldnn.matmul is bf16, not ieee"),
        ("IsTraced", "sys.setprofile (tests.support.own_nets.IsTraced.forward.<locals>.<lambda>) is active"),
    ):
        status, reason = row(name)
        assert status == "failed"
        assert words in reason


@pytest.mark.parametrize("name", ["NeedsFp32", "HasFp32Inside"])
def test_without_fp64_the_check_is_fp32s_and_says_that_it_is_weaker(row, name):
    found = row(name)
    assert "fp32 eager, contiguous" in found["check"]["reference"]
    assert found["notes"]["check"].startswith(
        "held against fp32, which is the weaker check: fp64 eager cannot run it: "
    )


@pytest.mark.parametrize(
    ("name", "mode"), [("DropsByItself", "training"), ("Noisy", "inference"), ("DrawsFromPython", "inference")]
)
def test_a_net_of_chance_is_timed_and_not_called_wrong(row, name, mode):
    found = row(name, mode)
    assert found["check"]["inconclusive"] == "the net draws random numbers in its forward pass: no two runs are alike"
    assert found["check"]["relative_error"] is None


def test_a_net_that_sorts_near_ties_is_timed_and_not_called_wrong(row):
    reason = row("SortsNearTies")["check"]["inconclusive"]
    assert reason.startswith("fp32's rounding alone moves its outputs by ")


def test_a_net_that_selects_by_value_is_compared_where_rounding_selects_the_same(row):
    check = row("KeepsTheLargest")["check"]
    assert check["relative_error"] <= check["tolerance"] if check["tolerance"] else check["inconclusive"]


@pytest.mark.parametrize("name", ["scripted", "HasNoWeights", "TakesGradients"])
def test_what_is_built_in_other_ways_is_checked_too(row, name):
    assert "of fp64 eager" in row(name)["check"]["reference"]


def test_a_net_that_takes_gradients_is_timed_where_it_can(row):
    assert row("TakesGradients")["notes"]["gradients"].startswith("the net takes gradients in its forward pass")
    assert row("TakesGradients")["flops"]["forward_per_image"] == 2 * BODY


def test_a_net_without_fp64_kernels_is_held_against_fp32(row):
    assert "of fp32 eager" in row("quantised")["check"]["reference"]


def test_an_output_without_real_numbers_is_timed_and_not_compared(row):
    assert row("ReturnsIndices")["check"]["inconclusive"].startswith("there is no floating tensor in its outputs")


def test_what_has_nothing_random_left_is_compared(row):
    assert "fp64" in row("DropsByItself")["check"]["reference"]
    assert "fp64" in row("Attention", "training")["check"]["reference"]


def test_a_net_that_edits_what_it_is_given_gets_it_afresh_and_says_so(row):
    afresh = "the net changes its inputs: it gets them afresh for each step, outside the timed part"
    assert row("EditsItsInput")["notes"]["inputs"] == row("EditsItsInput", "training")["notes"]["inputs"] == afresh
    assert row("WearsOut")["notes"]["state"] == (
        "the forward pass changes the net's own head.weight: put back for each step, outside the timed part"
    )
    assert "calls" in row("CountsItsCalls")["notes"]["state"]


def test_a_net_is_called_with_its_own_batch_alone_where_others_fail(row):
    assert row("OnlyFours", batch=4)["check"]["reference"].endswith("4 samples")
    status, reason = row("OnlyFours", batch=8)
    assert status == "failed"
    assert "shape '[4, 3, 16, 16]' is invalid" in reason


def test_a_net_that_mixes_its_batch_is_held_against_its_own_batch(row):
    assert row("MixesItsBatch")["check"]["reference"] == "outputs of fp64 eager, 8 samples"


def test_channels_last_converts_what_it_can_and_says_so(row):
    found = row("TwoAndThree", layout="channels_last")
    assert found["notes"]["memory_format"] == "tensors of five dimensions are channels_last_3d"


def test_every_floating_output_is_checked_and_the_loss_is_said(row):
    assert row("ReturnsADict")["check"]["reference"].startswith("outputs['logits'] of")
    assert (
        row("ReturnsANest", "training")["notes"]["loss"] == "training minimises the mean square of all floating outputs"
    )
    assert row("ReturnsItsLoss", "training")["notes"]["loss"] == "training minimises the net's own output, a number"
    assert row("TakesAGraph", "training")["notes"]["loss"] == f"training minimises {own_nets.HERE}:spread"
    assert "loss" not in (row("ReturnsADict", "training")["notes"] or {}), "cross-entropy is what all nets have"


def test_nothing_compiled_is_no_compiled_row(row):
    status, reason = row("Uncompiled", batch=2, compiler="default")
    assert status == "failed"
    assert reason.startswith("torch.compile compiled nothing of this net")
    compiled = row("HalfCompiled", batch=2, compiler="default")["compile"]
    assert (compiled["graphs"], compiled["graph_breaks"]) == (2, 1)
    assert compiled["kernels"] >= 1
