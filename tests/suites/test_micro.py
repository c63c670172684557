"""Micro-benchmarks as cases: their ids, their axes in a suite, and why one is impossible."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suites import cases, suite
from suites.axes import MICRO_AXES, Machine, MicroAxes, impossible, threads_of
from suites.case import Budget, Case
from suites.errors import DlhwError
from suites.micro import FROM_ZERO, OPERATIONS, Micro

CPU = Machine(devices=("cpu",), threads=2)
ONE_GPU = Machine(devices=("cpu", "cuda:0"), threads=2, tf32_devices=frozenset({"cuda:0"}))
GPUS = Machine(devices=("cpu", "cuda:0", "cuda:1"), threads=16, tf32_devices=frozenset({"cuda:0", "cuda:1"}))
COPY = Micro(operation="copy", variant="", size=(65536,), precision="fp32", device="cpu", threads=2)
MATMUL = Micro(operation="matmul", variant="", size=(1024, 512, 256), precision="bf16", device="cuda:0", threads=1)
RANKS = Micro(operation="all_reduce", variant="", size=(2, 4096), precision="fp32", device="cpu", threads=1)
WHOLE = {
    name: list(suite.load(name).cases(machine)) for name in ("hardware", "input", "notes") for machine in (GPUS,)
}  # fmt: skip


@st.composite
def micros(draw):
    name = draw(st.sampled_from(sorted(OPERATIONS)))
    operation = OPERATIONS[name]
    return Micro(
        operation=name,
        variant=draw(st.sampled_from(operation.variants or ("",))),
        size=tuple(draw(st.integers(word not in FROM_ZERO, 2**40)) for word in operation.size),
        precision=draw(st.sampled_from(["fp32", "tf32", "bf16", "fp16"])),
        device=draw(st.sampled_from(["cpu", "cuda:0", "mps:0", "xpu:11"])),
        threads=draw(st.integers(1, 512)),
    )


@given(micros())
def test_an_id_leads_back_to_its_case(case):
    assert cases.parse(case.id) == case
    assert cases.from_json(case.to_json()) == case
    assert cases.from_json({**case.to_json(), "parameters": None}) == case


@given(micros(), micros())
def test_different_cases_have_different_ids(first, second):
    assert (first == second) == (first.id == second.id)


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (COPY, "copy-65536-fp32-cpu-t2"),
        (MATMUL, "matmul-1024x512x256-bf16-cuda:0-t1"),
        (RANKS, "all_reduce-2x4096-fp32-cpu-t1"),
    ],
)
def test_ids_are_stable(case, text):
    assert case.id == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("copy-fp32-cpu-t2", "is no id of a micro-benchmark; one reads copy-65536-fp32-cpu-t2"),
        ("copy-64x64-fp32-cpu-t2", "a size of copy reads BYTES"),
        ("matmul-64-fp32-cpu-t2", "a size of matmul reads ROWSxINNERxCOLUMNS"),
        ("stride-colums-64-fp32-cpu-t2", "has no variant 'colums' (did you mean 'columns'?)"),
        ("copy-064-fp32-cpu-t2", "that one's is copy-64-fp32-cpu-t2"),
        ("copy-64-fp64-cpu-t2", "is no id of a micro-benchmark"),
        ("copy-64-fp32-cpu-t0", "is no id of a micro-benchmark"),
        ("copy-64-fp32-cpu-t2\n", "is no id of a micro-benchmark"),
        ("copy-0-fp32-cpu-t2", "BYTES of copy should be greater than 0, not 0"),
        ("matmul-8x0x8-fp32-cpu-t2", "INNER of matmul should be greater than 0, not 0"),
        ("copy-rows-64-fp32-cpu-t2", "copy has no variant 'rows'; variants: none"),
        ("stride-64-fp32-cpu-t2", "stride has no variant ''; variants: step, rows, columns"),
        ("lenet-inference-b8-fp32", "or copy-65536-fp32-cpu-t2"),
    ],
)
def test_what_is_no_id_is_one_clear_error(text, words):
    with pytest.raises(DlhwError) as caught:
        cases.parse(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["loader-own28-0x128-fp32-cpu-t1", "convergence-lenet-0-fp32-cpu-t1"])
def test_no_workers_and_the_first_seed_are_sizes(text):
    assert cases.parse(text).size[0] == 0
    assert cases.parse(text).processes == 1


def test_either_type_of_case_is_told_by_its_id():
    assert isinstance(cases.parse("lenet-inference-b8-fp32-contiguous-eager-cpu-t2"), Case)


def test_sizes_of_one_configuration_share_it():
    larger = replace(COPY, size=(2**20,))
    assert larger.configuration == COPY.configuration
    assert larger.scale > COPY.scale
    assert replace(larger, threads=1).configuration != COPY.configuration


def test_what_downstream_asks_of_any_case():
    compiled = Micro(operation="fusion", variant="compiled", size=(8, 64), precision="fp32", device="cpu", threads=1)
    assert (COPY.mode, COPY.group, COPY.compile_mode, COPY.processes) == ("hardware", "copy", "eager", 1)
    assert (compiled.group, compiled.compile_mode) == ("fusion compiled", "default")
    assert RANKS.processes == 2
    assert RANKS.to_json()["processes"] == 2
    assert COPY.to_json()["kind"] == "micro"


@pytest.mark.parametrize("name", WHOLE)
def test_cases_of_a_suite_have_ids_of_their_own_that_lead_back(name):
    ids = [case.id for case in WHOLE[name]]
    assert len(set(ids)) == len(ids)
    assert [cases.parse(text) for text in ids] == WHOLE[name]


def test_the_hardware_suite_has_every_operation_but_those_of_other_suites():
    there = {case.operation for case in WHOLE["hardware"]}
    assert there == set(OPERATIONS) - {"loader", "convergence"}
    assert {"loader"} < {case.group.split()[0] for case in WHOLE["input"]}


def test_sizes_ascend_within_a_configuration():
    for planned in WHOLE.values():
        scales = {}
        for case in planned:
            scales.setdefault(case.configuration, []).append(case.scale)
        assert all(found == sorted(found) for found in scales.values())


def test_without_an_accelerator_what_needs_one_is_there_with_the_reason():
    reasons = {}
    for case in suite.load("hardware").cases(CPU):
        reasons.setdefault(case.operation, set()).add(impossible(case, CPU))
    for operation in ("transfer", "launch", "queue", "overlap", "cache"):
        assert reasons[operation] == {f"{operation} needs an accelerator, and cpu is the host itself"}
    assert reasons["copy"] == {None}


@pytest.mark.parametrize(
    ("device", "operations"),
    [
        ("cpu", {"transfer", "launch", "queue", "overlap", "cache"}),
        ("cuda:0", {"threads", "vectorised", "memory_latency", "all_reduce", "scaling", "transfer"}),
    ],
)
def test_what_one_device_cannot_do_of_the_hardware_suite(device, operations):
    planned = [case for case in suite.load("hardware").cases(ONE_GPU) if case.device == device]
    assert {case.operation for case in planned if impossible(case, ONE_GPU)} == operations


@pytest.mark.parametrize(
    ("changes", "machine", "reason"),
    [
        ({}, CPU, None),
        ({"threads": 3}, CPU, "3 threads asked for, but this process may use 2 cores"),
        ({"device": "cuda:0"}, CPU, "there is no device cuda:0 here (present: cpu)"),
        ({"device": "cuda:0"}, GPUS, None),
        ({"precision": "tf32"}, CPU, "cpu has no TF32 (NVIDIA GPUs of compute capability 8.0 and above have)"),
        ({"operation": "threads", "variant": "copy", "device": "cuda:0"}, GPUS, "threads is about the host"),
        ({"operation": "memory_latency", "variant": "gather", "device": "cuda:0"}, GPUS, None),
        (
            {"operation": "memory_latency", "variant": "chase", "device": "cuda:0"}, GPUS,
            "a chain of dependent reads is followed by the host alone; gather reads from a device",
        ),
        ({"operation": "all_reduce", "size": (2, 64), "threads": 1}, CPU, None),
        (
            {"operation": "all_reduce", "size": (2, 64), "threads": 2}, CPU,
            "2 processes of 2 threads asked for, but there is room for 1",
        ),
        ({"operation": "all_reduce", "size": (2, 64), "device": "cuda:0"}, GPUS, None),
        (
            {"operation": "all_reduce", "size": (2, 64), "device": "cuda:1"}, GPUS,
            "ranks take cuda:0 and those after it: measured once, as cuda:0's",
        ),
        ({"operation": "transfer", "variant": "peer", "device": "cuda:1"}, GPUS, None),
        (
            {"operation": "transfer", "variant": "peer", "device": "cuda:0"}, ONE_GPU,
            "a copy to a peer needs a second cuda",
        ),
        (
            {"operation": "all_reduce", "size": (3, 64), "device": "cuda:0"}, GPUS,
            "3 processes of 2 threads asked for, but there is room for 2",
        ),
    ],
)  # fmt: skip
def test_why_one_is_impossible(changes, machine, reason):
    assert impossible(replace(COPY, **changes), machine) == reason


def test_what_cannot_be_compiled_here_is_impossible():
    machine = Machine(devices=("cpu",), threads=2, compile_problems={"cpu": "there is no compiler"})
    compiled = Micro(operation="fusion", variant="compiled", size=(8, 64), precision="fp32", device="cpu", threads=1)
    assert impossible(compiled, machine) == "there is no compiler"


def test_a_compiled_variant_may_take_a_compilers_time_beside_its_budget():
    eager, compiled = (cases.parse(f"fusion-{variant}-8x64-fp32-cpu-t1") for variant in ("eager", "compiled"))
    assert (suite.seconds_of(eager, Budget()), suite.seconds_of(compiled, Budget())) == (2.5, 22.5)


@pytest.mark.parametrize(("cores", "counts"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))], ids=str)
def test_powers_are_powers_of_two_and_all(cores, counts):
    assert threads_of(["powers"], Machine(devices=("cpu",), threads=cores)) == counts


BLOCKS = """
[measure]
max_seconds = 0.5

[[micro]]
operation = "stride"
variant = ["rows", "columns"]
size = 64

[[micro]]
operation = "matmul"
size = ["64x64x64", "8x9x10"]
precision = ["fp32", "bf16"]
threads = [1, "all"]
measure = { max_seconds = 2 }

[[sweep]]
architecture = "lenet"
mode = "inference"
"""


def ids(chosen, machine=CPU):
    return [case.id for case in chosen.cases(machine)]


def test_blocks_become_cases_with_their_budgets(load):
    planned = load(BLOCKS).cases(CPU)
    assert [case.id for case in planned] == [
        "lenet-inference-b1-fp32-contiguous-eager-cpu-t2",
        "stride-rows-64-fp32-cpu-t2", "stride-columns-64-fp32-cpu-t2",
        "matmul-8x9x10-fp32-cpu-t1", "matmul-64x64x64-fp32-cpu-t1",
        "matmul-8x9x10-fp32-cpu-t2", "matmul-64x64x64-fp32-cpu-t2",
        "matmul-8x9x10-bf16-cpu-t1", "matmul-64x64x64-bf16-cpu-t1",
        "matmul-8x9x10-bf16-cpu-t2", "matmul-64x64x64-bf16-cpu-t2",
    ]  # fmt: skip
    assert {case.group: budget.max_seconds for case, budget in planned.items()} == {
        "lenet inference": 0.5, "stride rows": 0.5, "stride columns": 0.5, "matmul": 2.0,
    }  # fmt: skip


def test_operations_and_variants_are_chosen_and_other_axes_redefined(load):
    assert ids(load(BLOCKS, "operation=stride", "variant=columns", "size=8,9")) == [
        "stride-columns-8-fp32-cpu-t2", "stride-columns-9-fp32-cpu-t2",
    ]  # fmt: skip
    assert ids(load(BLOCKS, "operation=matmul", "threads=1", "precision=fp32")) == [
        "matmul-8x9x10-fp32-cpu-t1", "matmul-64x64x64-fp32-cpu-t1",
    ]  # fmt: skip


def test_only_the_chosen_variants_of_a_block_are_left(load):
    assert ids(load(BLOCKS, "variant=rows,d2d")) == ["stride-rows-64-fp32-cpu-t2"]


def test_powers_are_an_axis_value_of_micro_benchmarks_alone(load, mistakes):
    micros = BLOCKS[: BLOCKS.index("[[sweep]]")]
    loaded = load(micros, "threads=powers", "operation=stride", "variant=rows")
    assert [case.threads for case in loaded.cases(GPUS) if case.device == "cpu"] == [1, 2, 4, 8, 16]
    assert [message.split(": ")[0] for message in mistakes(BLOCKS, "threads=powers")] == ["--axis threads"]


def test_an_accelerators_block_has_no_cases_without_one(load):
    micros = '[[micro]]\noperation = "copy"\nsize = 64\ndevice = "accelerator"\nthreads = 1\n'
    assert ids(load(micros)) == []
    assert ids(load(micros), GPUS) == ["copy-64-fp32-cuda:0-t1", "copy-64-fp32-cuda:1-t1"]


@pytest.mark.parametrize(
    ("threads", "host", "device"),
    [('[1, "all"]', [1, 16], [16]), ('"powers"', [1, 2, 4, 8, 16], [16]), ("[2, 4]", [2, 4], [4]), ("[64]", [64], [64]),
     ("[4, 64]", [4, 64], [4])],
)  # fmt: skip
def test_the_hosts_threads_are_swept_on_the_host_alone(load, threads, host, device):
    cases = load(f'[[micro]]\noperation = "copy"\nsize = 64\nthreads = {threads}\n').cases(GPUS)
    counts = {place: [case.threads for case in cases if case.device == place] for place in GPUS.devices}
    assert counts == {"cpu": host, "cuda:0": device, "cuda:1": device}


def test_an_axis_of_both_redefines_it_in_both(load):
    assert {case.precision for case in load(BLOCKS, "precision=fp16").cases(CPU)} == {"fp16"}


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (('"stride"', '"strides"'), 6, "unknown operation 'strides' (did you mean 'stride'?)"),
        (('"columns"', '"colums"'), 7, "stride has no variant 'colums' (did you mean 'columns'?)"),
        (('size = 64\n', 'size = "64x64"\n'), 8, "a size of stride reads ELEMENTS"),
        (('"8x9x10"', '"8x9xten"'), 12, "should be a number, or several as in 64x56x56, not '8x9xten'"),
        (('"8x9x10"', '"8x9"'), 12, "a size of matmul reads ROWSxINNERxCOLUMNS"),
        (('size = 64\n', 'size = -1\n'), 8, "greater than or equal to 0"),
        (('size = 64\n', 'sise = 64\n'), 5, "micro.0.size: is missing"),
        (('threads = [1, "all"]', 'threads = [1, "most"]'), 14, "'all' or 'powers'"),
        (('precision = ["fp32", "bf16"]', 'precision = "fp64"'), 13, "'fp32', 'tf32'"),
        (('max_seconds = 2', 'max_secs = 2'), 15, "unknown key (did you mean 'max_seconds'?)"),
        (('"8x9x10"', '"8x9x10"]\nsise = ["8x9x10"'), 13, "micro.1.sise: unknown key (did you mean 'size'?); "
                                                         f"allowed: {', '.join(MICRO_AXES)}, follows_device, measure"),
        (('size = 64\n', 'size = [64, 0]\n'), 8, "ELEMENTS of stride should be greater than 0, not 0"),
        (('variant = ["rows", "columns"]\n', ''), 5, "stride has no variant ''; variants: step, rows, columns"),
        (('size = 64\n', 'size = true\n'), 8, "not true or false"),
        (('size = 64\n', 'size = []\n'), 8, "an axis needs at least one value"),
        (('operation = "matmul"\n', ''), 10, "micro.1.operation: is missing"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_line(mistakes, change, line, words):
    found = mistakes(BLOCKS.replace(*change))
    assert any(message.startswith(f"own.toml:{line}: micro.") or f":{line}: " in message for message in found), found
    assert any(words in message for message in found), found


@pytest.mark.parametrize("overrides", [(), ("operation=matmul",), ("operation=stride",), ("variant=rows",)], ids=str)
def test_a_mistake_has_its_line_whatever_is_chosen(mistakes, overrides):
    broken = BLOCKS.replace('["fp32", "bf16"]', '"fp64"')
    assert [message.split(": ")[:2] for message in mistakes(broken, *overrides)] == [
        ["own.toml:13", "micro.1.precision.0"]
    ]


def test_what_is_chosen_is_the_files_own_with_its_mistakes(mistakes):
    found = mistakes(BLOCKS.replace('"columns"', '"colums"'), "variant=colums")
    assert found == [
        "own.toml:7: micro.0.variant: stride has no variant 'colums' (did you mean 'columns'?); "
        "variants: step, rows, columns"
    ]


def test_a_mistake_of_a_block_that_is_left_out_is_the_files(mistakes):
    broken = BLOCKS.replace("size = 64", 'size = "64x64"')
    found = mistakes(broken, "operation=matmul", "size=8x8")
    assert [message.split(": ")[0] for message in found] == ["--axis size", "own.toml:8"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["operation=strides"], "--axis operation=strides: nothing in own.toml is called so"),
        (["operation=matmul", "variant=rows"], "--axis operation=matmul --axis variant=rows: nothing in own.toml is"),
        (["operation=stride", "size=8x8"], "--axis size: a size of stride reads ELEMENTS"),
        (["colour=red"], "--axis colour=red: unknown axis 'colour'"),
    ],
)
def test_a_mistake_names_the_option(mistakes, overrides, words):
    assert any(message.startswith(words) for message in mistakes(BLOCKS, *overrides))


def test_an_axis_that_nothing_has_is_no_silent_no_op(mistakes):
    nets, micros = BLOCKS[BLOCKS.index("[[sweep]]") :], BLOCKS[: BLOCKS.index("[[sweep]]")]
    assert mistakes(nets, "size=8") == ["--axis size: nothing in own.toml has this axis"]
    assert mistakes(micros, "batch_size=8") == ["--axis batch_size: nothing in own.toml has this axis"]


def test_every_axis_is_listed():
    assert set(MICRO_AXES) == set(MicroAxes.model_fields)


def test_a_way_of_measuring_changes_the_digest_and_a_size_does_not(load):
    digest = load(BLOCKS).digest
    assert load(BLOCKS.replace("64x64x64", "32x32x32")).digest == digest
    assert load(BLOCKS.replace("max_seconds = 2", "max_seconds = 3")).digest != digest


@pytest.mark.parametrize("override", ["operation=stride", "operation=matmul", "variant=rows"])
def test_a_choice_leaves_the_digest(load, override):
    assert load(BLOCKS, override).digest == load(BLOCKS).digest


def test_what_the_command_line_sets_is_in_the_digest_of_a_choice_too(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(BLOCKS)
    digests = {suite.load(str(path), overrides, {"min_samples": 9}).digest for overrides in ((), ("operation=matmul",))}
    assert len(digests) == 1
    assert digests != {suite.load(str(path)).digest}


def test_a_block_for_one_kind_of_device_is_not_measured_on_the_other(load):
    """Its sizes would suit nobody: on the CPU, products that fill a GPU; on a GPU, those that a CPU is done with."""
    blocks = "".join(
        f'[[micro]]\noperation = "matmul"\nsize = "{size}x{size}x{size}"\ndevice = "{kind}"\n'
        for kind, size in (("cpu", 64), ("accelerator", 4096))
    )
    asked = {
        device: {(case.size[0], case.device) for case in load(blocks, f"device={device}").cases(ONE_GPU)}
        for device in ("cpu", "cuda", "cpu,cuda:0", "all")
    }
    assert asked == {
        "cpu": {(64, "cpu")}, "cuda": {(4096, "cuda:0")}, "cpu,cuda:0": {(64, "cpu"), (4096, "cuda:0")},
        "all": {(64, "cpu"), (4096, "cuda:0")},
    }  # fmt: skip
    with pytest.raises(DlhwError, match=r"--axis device=cuda: nothing in .* is for such devices"):
        load(blocks.partition("[[micro]]\n")[2].partition("[[micro]]")[0].join(["[[micro]]\n", ""]), "device=cuda")
