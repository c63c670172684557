"""Suite files: every mistake at once with its place, the cases in order, and what the digest notices."""

from dataclasses import replace

import pytest

from suites import suite
from suites.architectures import ARCHITECTURES
from suites.axes import Machine, impossible
from suites.case import Budget
from suites.errors import DlhwError
from tests.support.samples import LENET

BOX = Machine(devices=("cpu", "cuda:0"), threads=4)
PLAIN = """
[measure]
max_seconds = 0.5

[[sweep]]
architecture = "lenet"
batch_size = [1, 8]

[[sweep]]
architecture = "nin"
measure = { max_seconds = 2 }
"""


def ids(loaded, machine=BOX):
    return [case.id for case in loaded.cases(machine)]


def test_every_mistake_is_told_at_once_with_its_line(mistakes):
    text = """descripton = "mine"
[measure]
precison = 0.1
precision = 2

[[sweep]]
architecture = ["lenett", "lenet"]
mode = "inferense"
batch_size = [0, "x"]
threads = -1
image_size = "big"

[[sweep]]
architecture = "lenet"
presicion = "fp32"
measure = { min_samples = 0, max_secs = 3 }
"""
    budget = ", ".join(Budget.model_fields)
    axes = (
        "architecture, image_size, mode, precision, memory_format, compile_mode, device, threads, cudnn_benchmark, "
        "power_limit, batch_size"
    )
    assert mistakes(text) == [
        "own.toml:1: descripton: unknown key (did you mean 'description'?); "
        "allowed: description, budget, measure, gate, architectures, sweep, micro",
        f"own.toml:3: measure.precison: unknown key (did you mean 'precision'?); allowed: {budget}",
        "own.toml:4: measure.precision: should be less than 1, not 2",
        "own.toml:7: sweep.0.architecture.0: unknown net 'lenett' (did you mean 'lenet'?); "
        f"allowed: {', '.join(ARCHITECTURES)}, torchvision:NAME, package.module:callable",
        "own.toml:8: sweep.0.mode.0: should be 'inference' or 'training', not 'inferense' (did you mean 'inference'?)",
        "own.toml:9: sweep.0.batch_size.0: should be greater than 0, not 0",
        "own.toml:9: sweep.0.batch_size.1: should be a valid integer, unable to parse string as an integer, not 'x'",
        "own.toml:10: sweep.0.threads.0: should be greater than 0, not -1 or should be 'all', not -1",
        "own.toml:11: sweep.0.image_size.0: should be a valid integer, unable to parse string as an integer, not 'big' "
        "or should be 'own', not 'big'",
        f"own.toml:15: sweep.1.presicion: unknown key (did you mean 'precision'?); allowed: {axes}, measure, tolerance",
        "own.toml:16: sweep.1.measure.max_secs: unknown key (did you mean 'max_seconds'?); " + f"allowed: {budget}",
        "own.toml:16: sweep.1.measure.min_samples: should be greater than or equal to 1, not 0",
    ]


@pytest.mark.parametrize(
    ("text", "line", "place"),
    [
        ("measure = 3\n" + PLAIN.replace("[measure]\nmax_seconds = 0.5\n", ""), 1, "measure"),
        ("# precison = 1\n[measure]\n# precison = 1\n  precison = 1\n" + PLAIN.split("\n\n", 1)[1], 4, "precison"),
        ("[[sweep]]\narchitecture = 'nin'\n\n[sweep.measure]\nprecison = 1\n", 5, "precison"),
        ("[[sweep]]\narchitecture = 'nin'\nmode = [\n  'inference',\n  'traning',\n]\n", 3, "sweep.0.mode.1"),
        (PLAIN + '[mesure]\nprecision = 1\n', 12, "mesure"),
        ("[[sweep]]\nbatch_size = 1\n\n[[sweep]]\narchitecture = 'nin'\n", 1, "sweep.0.architecture"),
        (
            PLAIN + '[architectures."a:A"]\ninput_shape = [1, 8, 8]\n[architectures."b:B"]\ninput_shape = [1, 0]\n',
            15,
            "architectures.b:B.input_shape.1",
        ),
    ],
)  # fmt: skip
def test_the_line_is_the_mistakes_own(mistakes, text, line, place):
    found = mistakes(text)
    assert [message.split(": ")[0] for message in found] == [f"own.toml:{line}"]
    assert place in found[0]


@pytest.mark.parametrize("text", ["", "sweep = []", "description = 'nothing'"])
def test_a_suite_sweeps_something(mistakes, text):
    assert mistakes(text) == ["own.toml:1: suite: a suite needs at least one [[sweep]] or [[micro]]"]


@pytest.mark.parametrize("text", ["sweep = 3", "sweep = [1]", "sweep = ['lenet']", "[sweep]\narchitecture = 'lenet'"])
@pytest.mark.parametrize("overrides", [(), ("batch_size=1",)])
def test_what_is_no_list_of_sweeps_is_one_line(mistakes, text, overrides):
    assert [line.split(": ")[0] for line in mistakes(text, *overrides)] == ["own.toml:1"]


def test_a_net_of_ones_own_needs_its_shape(mistakes, load):
    assert mistakes("[[sweep]]\narchitecture = 'my.net:build'") == [
        'own.toml:1: suite: a net of your own needs its input shape: [architectures."my.net:build"] '
        "input_shape = [3, 64, 64]"
    ]
    loaded = load("[[sweep]]\narchitecture = 'my.net:build'\n[architectures.'my.net:build']\ninput_shape = [3, 8, 8]\n")
    assert {case.input_shape for case in loaded.cases(BOX)} == {(3, 8, 8)}


@pytest.mark.parametrize("shape", ["[3, 64, -1]", "[0, 8, 8]", "3"])
def test_a_shape_that_no_image_has_is_refused(mistakes, shape):
    text = f"[[sweep]]\narchitecture = 'a:A'\n[architectures.'a:A']\ninput_shape = {shape}\n"
    assert [line.split(".input_shape")[0] for line in mistakes(text)] == ["own.toml:4: architectures.a:A"]


def test_a_shape_for_a_net_that_has_its_own_is_not_passed_over_silently(mistakes):
    text = "[[sweep]]\narchitecture = 'lenet'\n[architectures.lenet]\ninput_shape = [3, 64, 64]\n"
    assert "lenet" in mistakes(text)[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("btch_size=1", "--axis btch_size=1: unknown axis 'btch_size' (did you mean 'batch_size'?); axes: architec"),
        ("measure=1", "--axis measure=1: unknown axis 'measure'; axes: architecture, image_size"),
        ("batch_size", "--axis batch_size: expected batch_size=VALUE,VALUE,..."),
        ("batch_size=", "--axis batch_size=: expected batch_size=VALUE,VALUE,..."),
        ("batch_size=0", "--axis batch_size: should be greater than 0, not 0"),
        ("batch_size=-1", "--axis batch_size: should be"),
        ("batch_size=1,,2", "--axis batch_size: should be a valid integer"),
        ("batch_size=\N{SUPERSCRIPT TWO}", "--axis batch_size: should be a valid integer"),
        ("mode=train", "--axis mode: should be 'inference' or 'training', not 'train' (did you mean 'training'?)"),
        ("architecture=lenett", "--axis architecture: unknown net 'lenett' (did you mean 'lenet'?); allowed: lenet"),
        ("device=gpu:x", "--axis device: "),
    ],
)
def test_a_mistake_in_an_override_names_the_option(mistakes, override, message):
    found = mistakes(PLAIN, override)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_mistakes_of_the_file_and_of_the_command_line_are_told_together(mistakes):
    found = mistakes("[[sweep]]\narchitecture = 'nin'\nprecision = 'fp31'\n", "mode=train", "batch_size=0")
    assert [line.split(": ")[0] for line in found] == ["--axis batch_size", "--axis mode", "own.toml:3"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[[sweep]]\narchitecture = \n", "Invalid value (at line 2, column 16)"),
        (b"description = '\xff'\n", "utf-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, words):
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    with pytest.raises(DlhwError) as caught:
        suite.load(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_is_none_is_named(tmp_path, name):
    with pytest.raises(DlhwError) as caught:
        suite.load(f"{tmp_path}/{name}")
    assert str(caught.value).startswith(str(tmp_path / name))


def test_an_unknown_suite_lists_the_known_ones():
    with pytest.raises(DlhwError) as caught:
        suite.load("quik")
    assert str(caught.value) == (
        f"--suite quik: no such suite (did you mean 'quick'?); there are {', '.join(suite.named())}, "
        "or name a .toml file"
    )


@pytest.mark.parametrize("name", suite.named())
def test_the_suites_that_come_with_dlhw(name):
    loaded = suite.load(name)
    possible = [case for case in loaded.cases(BOX) if impossible(case, BOX) is None]
    assert loaded.description.endswith(".")
    assert {case.device for case in possible} == {"cpu", "cuda:0"}


def test_cases_come_in_ascending_batch_order(load):
    loaded = load("[[sweep]]\narchitecture = ['lenet', 'nin']\nbatch_size = [64, 1, 8]\nprecision = ['fp32', 'bf16']\n")
    batches = [case.batch_size for case in loaded.cases(BOX)]
    configurations = [case.configuration for case in loaded.cases(BOX)]
    assert batches == [1, 8, 64] * (len(batches) // 3)
    assert all(len(set(configurations[i : i + 3])) == 1 for i in range(0, len(batches), 3))


def test_batches_ascend_across_sweeps_too(load):
    loaded = load(
        "[[sweep]]\narchitecture = 'nin'\nbatch_size = 64\n[[sweep]]\narchitecture = 'nin'\nbatch_size = [1, 64]\n"
    )
    seen = {}
    for case in loaded.cases(BOX):
        seen.setdefault(case.configuration, []).append(case.batch_size)
    assert set(map(tuple, seen.values())) == {(1, 64)}


def test_every_combination_is_a_case(load):
    text = """[[sweep]]
architecture = "nin"
image_size = ["own", 64]
mode = "training"
threads = ["all", 1]
device = ["cpu", "mps"]
"""
    assert ids(load(text)) == [
        "nin-training-b1-fp32-contiguous-eager-cpu-t4",
        "nin-training-b1-fp32-contiguous-eager-cpu-t1",
        "nin-training-b1-fp32-contiguous-eager-mps:0-t4",
        "nin-training-b1-fp32-contiguous-eager-mps:0-t1",
        "nin@64-training-b1-fp32-contiguous-eager-cpu-t4",
        "nin@64-training-b1-fp32-contiguous-eager-cpu-t1",
        "nin@64-training-b1-fp32-contiguous-eager-mps:0-t4",
        "nin@64-training-b1-fp32-contiguous-eager-mps:0-t1",
    ]


def test_all_and_a_number_that_is_all_are_one(load):
    loaded = load("[[sweep]]\narchitecture = 'nin'\nthreads = ['all', 4]\ndevice = ['all', 'cpu', 'cuda']\n")
    assert len(ids(loaded)) == len(set(ids(loaded))) == 2 * 2


def test_overrides_redefine_an_axis_in_every_sweep(load):
    loaded = load(PLAIN, "batch_size=2,4", "mode=inference", "device=cpu", "threads=1")
    assert ids(loaded) == [
        "lenet-inference-b2-fp32-contiguous-eager-cpu-t1",
        "lenet-inference-b4-fp32-contiguous-eager-cpu-t1",
        "nin-inference-b2-fp32-contiguous-eager-cpu-t1",
        "nin-inference-b4-fp32-contiguous-eager-cpu-t1",
    ]


def test_a_sweeps_budget_differs_from_the_suites_where_it_says_so(load):
    text = PLAIN.replace("max_seconds = 0.5", "max_seconds = 0.5\nmin_samples = 9")
    budgets = {case.architecture: budget for case, budget in load(text).cases(BOX).items()}
    assert budgets == {
        "lenet": Budget(max_seconds=0.5, min_samples=9),
        "nin": Budget(max_seconds=2, min_samples=9),
    }


def test_a_case_of_two_sweeps_is_measured_once_as_the_first_says(load):
    loaded = load(PLAIN, "architecture=lenet", "batch_size=1", "device=cpu", "mode=training")
    assert list(loaded.cases(BOX).values()) == [Budget(max_seconds=0.5)]


def test_nets_are_listed_once_in_order(load):
    text = PLAIN + '[[sweep]]\narchitecture = ["lenet", "alexnet"]\n'
    assert load(text).architectures == ("lenet", "nin", "alexnet")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[1, 8]", "[1, 8, 64]"),
        ('architecture = "nin"', 'architecture = ["nin", "alexnet"]\nprecision = "bf16"'),
        ("[measure]", "description = 'other words'\n[measure]"),
        ("max_seconds = 0.5\n", "max_seconds = 0.50 # as before\n"),
        ("batch_size = [1, 8]", "batch_size = [1, 8]\n[[sweep]]\narchitecture = 'vgg11'"),
    ],
)
def test_the_set_of_cases_leaves_the_digest(load, before, after):
    assert PLAIN.replace(before, after) != PLAIN
    assert load(PLAIN.replace(before, after)).digest == load(PLAIN).digest


def test_an_override_leaves_the_digest(load):
    assert load(PLAIN, "batch_size=1", "architecture=vgg11").digest == load(PLAIN).digest


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("max_seconds = 0.5", "max_seconds = 0.6"),
        ("max_seconds = 0.5", "max_seconds = 0.5\nmin_samples = 7"),
        ("max_seconds = 2 }", "max_seconds = 3 }"),
        ("measure = { max_seconds = 2 }", ""),
    ],
)
def test_a_budget_changes_the_digest(load, before, after):
    assert load(PLAIN.replace(before, after)).digest != load(PLAIN).digest


@pytest.mark.parametrize(
    ("changes", "budget", "seconds"),
    [
        ({}, {}, 2.5),
        ({}, {"max_seconds": 3, "warmup_seconds": 2}, 5.5),
        ({}, {"time_limit_seconds": 2}, 2.0),
        ({"compile_mode": "default"}, {}, 22.5),
        ({"compile_mode": "default"}, {"time_limit_seconds": 2}, 22.0),
    ],
)
def test_a_case_may_take_its_budget_and_what_is_around_it(changes, budget, seconds):
    assert suite.seconds_of(replace(LENET, **changes), Budget(**budget)) == seconds


def test_how_much_slower_a_case_may_be_is_its_blocks_word_else_the_suites(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text("""
[gate]
tolerance = 0.01

[[sweep]]
architecture = "lenet"
mode = "inference"
tolerance = 0.05

[[sweep]]
architecture = ["lenet", "alexnet"]
mode = "inference"

[[micro]]
operation = "copy"
size = 4096
""")
    machine = Machine(devices=("cpu",), threads=1)
    found = suite.load(str(path)).tolerances(machine)
    named = {getattr(case, "architecture", "copy"): share for case, share in found.items()}
    assert named == {"lenet": 0.05, "alexnet": 0.01, "copy": 0.01}  # the first block that has a case is its own
    assert set(suite.load("gate").tolerances(machine).values()) == {0.02}


def test_a_tolerance_that_makes_no_sense_is_told_with_its_line(mistakes):
    text = '[gate]\ntolerence = 0.01\n[[sweep]]\narchitecture = "lenet"\ntolerance = 2\n'
    assert mistakes(text) == [
        "own.toml:2: gate.tolerence: unknown key (did you mean 'tolerance'?); allowed: tolerance",
        "own.toml:5: sweep.0.tolerance: should be less than 1, not 2",
    ]


def test_the_gates_own_suite_has_eight_cases_of_one_thread_each():
    cases = suite.load("gate").cases(Machine(devices=("cpu",), threads=8))
    assert [case.threads for case in cases] == [1] * 8
