"""A sweep's decisions, with a launcher that answers at once."""

import pytest

from bench.controller.process import Reply
from bench.records.journal import read
from bench.records.record import Status
from bench.sweep import sweep as module
from bench.sweep.sweep import Sweep, machine_of
from suites import cases, suite
from suites.case import Case
from suites.errors import DlhwError
from tests.support.samples import ENVIRONMENT, ended, measured

TEXT = """
[measure]
max_seconds = 0.5
[[sweep]]
architecture = "lenet"
mode = "inference"
precision = ["fp32", "tf32", "bf16"]
batch_size = [1, 2, 4]
"""
NODE = "bench/test_inference.py::test_inference"


class Bench:
    """Stands for the measuring process: notes what it is asked, and answers as told."""

    def __init__(self):
        self.environment = ENVIRONMENT
        self.answers = {}
        self.asked = []
        self.launched = []
        self.closed = 0
        self.preload = None

    def worker(self, *, preload=None, fork=None):
        if fork is None:
            self.preload = preload
        else:
            assert not fork, "the second worker serves by fresh interpreters"
        return self

    def launcher(self, worker, fresh, data_root, *, instructions=False):
        assert worker is fresh is self
        self.data_root, self.instructions = data_root, instructions
        return self

    def describe(self, architectures, *, speeds=False):
        self.described = architectures
        return self.environment

    def measure(self, case, budget, *, once=False, earlier=()):
        self.asked.append((case.id, budget.max_seconds, once))
        self.earlier = [record.id for record in earlier]
        return self.answers.get(case.id) or measured(case), f"output of {case.id}"

    def launch(self, case, budget, number):
        self.launched.append((case.id, number))
        return self.answers.get(case.id) or measured(case), f"output of {case.id}"

    def request(self, operation, limit_seconds, *, cases):
        assert operation == "work"
        self.counted = [case["batch_size"] for case in cases]
        work = {Case.from_json(case).id: self.work(case["batch_size"]) for case in cases}
        return Reply(result={"work": work}, pid=1, output="", phase="", exit_code=0, timed_out=False,
                     out_of_memory_kills=0, seconds=0.1)  # fmt: skip

    def work(self, images):
        return {"flops": images * 1e6, "bytes": images, "compulsory_bytes": images, "operators": 9, "parameters": 10}

    def close(self):
        self.closed += 1


def kept(sweep, case_id, node_id, **options):
    """Measures a case as a test of the plugin does."""
    record, output = sweep.measure(case_id, **options)
    sweep.keep(record, node_id)
    return record, output


@pytest.fixture
def bench(monkeypatch):
    bench = Bench()
    monkeypatch.setattr(module, "Worker", bench.worker)
    monkeypatch.setattr(module, "Launcher", bench.launcher)
    return bench


@pytest.fixture
def start(bench, tmp_path):
    """Starts a sweep; all are closed at the end."""
    started = []
    path = tmp_path / "own.toml"

    def start(text=TEXT, *, resume=False, journal=True, **options):
        path.write_text(text)
        sweep = Sweep(suite.load(str(path)), tmp_path / "r.journal.jsonl", resume=resume, **options)
        started.append(sweep)
        sweep.start()
        if journal:
            sweep.open_journal({"plan": list(sweep.cases)})
        return sweep

    yield start
    for sweep in started:
        sweep.close()


def name(precision, size):
    return f"lenet-inference-b{size}-{precision}-contiguous-eager-cpu-t2"


def run(sweep):
    """Measures every case of a sweep; what became of them, by precision and batch size."""
    found = {}
    for case_id in sweep.cases:
        record, _ = kept(sweep, case_id, f"{NODE}[{case_id}]")
        case = Case.parse(case_id)
        found[case.precision, case.batch_size] = (str(record.outcome.status), record.outcome.reason)
    return found


def asked(bench):
    return [case_id for case_id, _, _ in bench.asked]


def test_a_sweep_plans_for_the_machine_that_the_worker_describes(bench, start):
    sweep = start()
    assert bench.described == ("lenet",)
    assert list(sweep.cases) == [name(precision, size) for precision in ("fp32", "tf32", "bf16") for size in (1, 2, 4)]
    assert sweep.environment == ENVIRONMENT


@pytest.mark.parametrize(
    ("text", "preload"),
    [
        (TEXT, ()),
        (TEXT.replace('"lenet"', '"torchvision:resnet50"'), ("torchvision",)),
        (TEXT + '[[micro]]\noperation = "copy"\nsize = 64\n', ("bench.worker.micro.measure",)),
    ],
)
def test_the_worker_imports_beforehand_what_the_cases_need(bench, start, text, preload):
    start(text)
    assert bench.preload == preload


def test_starting_twice_asks_once(bench, start):
    sweep = start()
    bench.described = None
    sweep.start()
    assert bench.described is None


def test_a_net_that_leads_nowhere_is_one_line_with_the_file(bench, start, tmp_path):
    bench.environment = ENVIRONMENT | {"unknown_architectures": {"a:A": "no module a", "b:B": "no module b"}}
    with pytest.raises(DlhwError) as caught:
        start()
    assert str(caught.value) == f"{tmp_path}/own.toml: no module a\n{tmp_path}/own.toml: no module b"


def test_every_case_is_measured_once_within_its_budget(bench, start):
    found = run(start())
    possible = [name(precision, size) for precision in ("fp32", "bf16") for size in (1, 2, 4)]
    assert bench.asked == [(case_id, 0.5, False) for case_id in possible]
    assert found["fp32", 1] == ("measured", "")
    assert found["tf32", 1][0] == "skipped"
    assert found["tf32", 1][1].startswith("cpu has no TF32")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("out_of_memory", "batch 2 of this configuration ran out of memory"),
        ("timeout", "batch 2 of this configuration ran out of time"),
    ],
)
def test_larger_batches_of_a_configuration_that_gave_up_are_skipped(bench, start, status, reason):
    bench.answers[name("fp32", 2)] = ended(status, "it did", Case.parse(name("fp32", 2)))
    found = run(start())
    assert found["fp32", 1] == ("measured", "")
    assert found["fp32", 2] == (status, "it did")
    assert found["fp32", 4] == ("skipped", reason)
    assert found["bf16", 4] == ("measured", "")
    assert name("fp32", 4) not in asked(bench)


@pytest.mark.parametrize("status", sorted(set(Status) - {"out_of_memory", "timeout", "measured"}))
def test_after_any_other_outcome_larger_batches_are_tried(bench, start, status):
    bench.answers[name("fp32", 2)] = ended(status, "so it is", Case.parse(name("fp32", 2)))
    assert run(start())["fp32", 4] == ("measured", "")


def test_smaller_batches_are_tried_after_a_larger_one_gave_up(bench, start):
    sweep = start()
    bench.answers[name("fp32", 4)] = ended("timeout", "it did", Case.parse(name("fp32", 4)))
    kept(sweep, name("fp32", 4), NODE)
    assert kept(sweep, name("fp32", 2), NODE)[0].outcome.status is Status.MEASURED


MICROS = """
[[micro]]
operation = "copy"
size = [64, 128, 256]
threads = [1, 2]
[[micro]]
operation = "launch"
variant = "enqueue"
size = 1
"""


@pytest.mark.parametrize(("status", "words"), [("timeout", "time"), ("out_of_memory", "memory")])
def test_larger_sizes_of_a_micro_benchmark_that_gave_up_are_skipped(bench, start, status, words):
    gave_up = "copy-128-fp32-cpu-t1"
    bench.answers[gave_up] = ended(status, "it did", cases.parse(gave_up))
    sweep = start(MICROS)
    found = {case_id: kept(sweep, case_id, NODE)[0].outcome for case_id in sweep.cases}
    assert found.pop("launch-enqueue-1-fp32-cpu-t2").reason == (
        "launch needs an accelerator, and cpu is the host itself"
    )
    assert {case_id: str(outcome.status) for case_id, outcome in found.items()} == {
        "copy-64-fp32-cpu-t1": "measured", gave_up: status, "copy-256-fp32-cpu-t1": "skipped",
        "copy-64-fp32-cpu-t2": "measured", "copy-128-fp32-cpu-t2": "measured", "copy-256-fp32-cpu-t2": "measured",
    }  # fmt: skip
    assert found["copy-256-fp32-cpu-t1"].reason.endswith(f"128 of this configuration ran out of {words}")
    assert "copy-256-fp32-cpu-t1" not in asked(bench)


def test_the_size_that_gave_up_is_told_as_it_is_asked_for(bench, start):
    gave_up, larger = "matmul-2x3x4-fp32-cpu-t1", "matmul-4x4x4-fp32-cpu-t1"
    bench.answers[gave_up] = ended("timeout", "it did", cases.parse(gave_up))
    sweep = start('[[micro]]\noperation = "matmul"\nsize = ["2x3x4", "4x4x4"]\nthreads = 1\ndevice = "cpu"\n')
    kept(sweep, gave_up, NODE)
    assert kept(sweep, larger, NODE)[0].outcome.reason == "size 2x3x4 of this configuration ran out of time"


def test_resume_takes_over_what_is_chosen_of_a_suite(start):
    text = MICROS + "measure = { max_seconds = 3 }\n"
    first = start(text)
    for case_id in first.cases:
        kept(first, case_id, NODE)
    first.close()
    chosen = suite.load(str(first.suite.path), ["operation=copy"])
    resumed = Sweep(chosen, first.journal_path, resume=True)
    resumed.start()
    resumed.open_journal({"plan": list(resumed.cases)})
    resumed.close()
    assert set(resumed.reused) >= set(resumed.cases)
    assert len(resumed.cases) == 6


def test_the_folder_of_data_is_passed_on(bench, start, tmp_path):
    start(data_root=tmp_path)
    assert (bench.data_root, bench.instructions) == (tmp_path, False)
    start(instructions=True)
    assert bench.instructions


def test_every_case_is_in_the_journal_with_its_test(start):
    sweep = start()
    run(sweep)
    (part,), damaged = read(sweep.journal_path)
    assert damaged == 0
    assert part.header["key"] == sweep.key
    assert part.header["plan"] == list(sweep.cases)
    assert part.node_ids == {case_id: f"{NODE}[{case_id}]" for case_id in sweep.cases}


def test_without_a_journal_nothing_is_written(start, tmp_path):
    run(start(journal=False))
    assert [path.name for path in tmp_path.iterdir()] == ["own.toml"]


def test_once_is_passed_on(bench, start):
    sweep = start(journal=False)
    kept(sweep, name("fp32", 1), NODE, once=True)
    assert bench.asked == [(name("fp32", 1), 0.5, True)]


LAUNCHES = TEXT.replace("[measure]", "[measure]\nlaunches = 3").replace(', "bf16"', "").replace("[1, 2, 4]", "[1, 2]")
ONE, TWO = name("fp32", 1), name("fp32", 2)


def make_rounds(sweep):
    for case_id in sweep.rounds(list(sweep.cases)):
        sweep.launch(case_id)


def test_launches_are_spread_over_the_run_and_the_last_is_the_cases_own(bench, start):
    sweep = start(LAUNCHES)
    make_rounds(sweep)
    assert bench.launched == [(ONE, 0), (TWO, 0), (ONE, 1), (TWO, 1)]
    assert sweep.launches_of(ONE) == (2, 3)
    kept(sweep, ONE, NODE)
    assert bench.earlier == [ONE, ONE]
    (part,), _ = read(sweep.journal_path)
    assert {case_id: len(records) for case_id, records in part.launches.items()} == {ONE: 2, TWO: 2}


def test_one_launch_needs_no_rounds(bench, start):
    make_rounds(start())
    assert bench.launched == []


def test_a_launch_that_fails_ends_its_case_and_larger_batches(bench, start):
    bench.answers[ONE] = ended("out_of_memory", "launch 1 of 3: too large", Case.parse(ONE))
    sweep = start(LAUNCHES)
    make_rounds(sweep)
    assert bench.launched == [(ONE, 0)]
    assert sweep.launches_of(ONE) == (1, 3)
    assert kept(sweep, ONE, NODE)[0].outcome.reason == "launch 1 of 3: too large"
    assert kept(sweep, TWO, NODE)[0].outcome.reason == "batch 1 of this configuration ran out of memory"
    assert bench.asked == []


def test_launches_that_the_journal_holds_are_not_made_again(bench, start):
    sweep = start(LAUNCHES)
    rounds = sweep.rounds(list(sweep.cases))
    for case_id in (next(rounds), next(rounds), next(rounds)):
        sweep.launch(case_id)
    sweep.close()
    bench.launched.clear()
    again = start(LAUNCHES, resume=True)
    make_rounds(again)
    assert bench.launched == [(TWO, 1)]
    kept(again, ONE, NODE)
    assert bench.earlier == [ONE, ONE]


def test_launches_made_otherwise_are_not_taken_over(bench, start):
    make_rounds(start(LAUNCHES))
    bench.launched.clear()
    make_rounds(start(LAUNCHES.replace("0.5", "0.4"), resume=True))
    assert len(bench.launched) == 4


def test_what_the_rest_of_a_case_may_take_shrinks_with_its_launches(start):
    sweep = start(LAUNCHES)
    sweep.planned = (ONE,)
    whole = sweep.remaining_seconds()
    sweep.launch(ONE)
    assert 0 < sweep.remaining_seconds() < whole


def test_what_the_worker_printed_comes_back(start):
    assert kept(start(), name("fp32", 1), NODE)[1] == f"output of {name('fp32', 1)}"


def test_resume_measures_only_what_is_not_there(bench, start):
    first = start()
    kept(first, name("fp32", 1), NODE)
    bench.asked.clear()
    found = run(start(resume=True))
    assert name("fp32", 1) not in asked(bench)
    assert len(bench.asked) == 5
    assert found["fp32", 1] == ("measured", "")


def test_resume_appends_no_second_record(start):
    run(start())
    resumed = start(resume=True)
    run(resumed)
    parts, _ = read(resumed.journal_path)
    assert [len(part.records) for part in parts] == [9, 0]


def test_resume_remembers_what_gave_up(bench, start):
    bench.answers[name("fp32", 2)] = ended("out_of_memory", "it did", Case.parse(name("fp32", 2)))
    kept(start(), name("fp32", 2), NODE)
    bench.asked.clear()
    assert run(start(resume=True))["fp32", 4] == ("skipped", "batch 2 of this configuration ran out of memory")


@pytest.mark.parametrize("status", ["crashed", "failed"])
def test_resume_tries_accidents_again(bench, start, status):
    bench.answers[name("fp32", 1)] = ended(status, "by accident", Case.parse(name("fp32", 1)))
    kept(start(), name("fp32", 1), NODE)
    bench.answers.clear()
    assert run(start(resume=True))["fp32", 1] == ("measured", "")


def test_resume_takes_nothing_from_another_machine(bench, start):
    run(start())
    bench.asked.clear()
    bench.environment = ENVIRONMENT | {"python": "3.12.0"}
    run(start(resume=True))
    assert len(bench.asked) == 6


def test_resume_takes_nothing_that_was_measured_in_another_way(bench, start):
    run(start())
    bench.asked.clear()
    run(start(TEXT.replace("0.5", "0.7"), resume=True))
    assert len(bench.asked) == 6


def test_resume_takes_over_what_a_larger_suite_shares(bench, start):
    run(start())
    bench.asked.clear()
    run(start(TEXT.replace("[1, 2, 4]", "[1, 2, 4, 8]") + '[[sweep]]\narchitecture = "nin"\n', resume=True))
    assert [case_id for case_id in asked(bench) if "b8" not in case_id and "nin" not in case_id] == []


def test_resume_without_a_journal_is_one_clear_error(start, tmp_path):
    with pytest.raises(DlhwError) as caught:
        start(resume=True)
    assert str(caught.value) == f"{tmp_path}/r.journal.jsonl: No such file or directory"


def test_without_resume_an_earlier_journal_is_kept_aside(start, tmp_path):
    first = start()
    kept(first, name("fp32", 1), NODE)
    first.close()
    before = first.journal_path.read_bytes()
    start()
    assert (tmp_path / "r.journal.jsonl.old").read_bytes() == before
    assert read(first.journal_path)[0][0].records == {}


def test_nothing_is_expected_of_what_cannot_be_or_is_there(start):
    sweep = start()
    sweep.planned = (name("tf32", 1),)
    assert sweep.remaining_seconds() == 0.0
    sweep.planned = (name("fp32", 1),)
    assert sweep.remaining_seconds() > 0.0
    kept(sweep, name("fp32", 1), NODE)
    assert sweep.remaining_seconds() == 0.0
    again = start(resume=True)
    again.planned = sweep.planned
    assert again.remaining_seconds() == 0.0


def test_closing_ends_the_worker(bench, start):
    sweep = start()
    sweep.close()
    assert bench.closed == 2


def test_a_device_that_fails_an_allocation_is_absent():
    cpu, good = {"name": "cpu", "reason": None}, {"name": "cuda:0", "tf32": True, "reason": None}
    bad = {"name": "cuda:1", "tf32": True, "reason": "out of memory"}
    machine = machine_of(ENVIRONMENT | {"devices": [cpu, good, bad], "compile_problems": {"cpu": "no compiler"}})
    assert (machine.devices, machine.tf32_devices) == (("cpu", "cuda:0"), {"cuda:0"})
    assert (machine.threads, machine.compile_problems) == (2, {"cpu": "no compiler"})
    recorded = {"devices": [cpu, good | {"cudnn": True, "graphs": True}], "host": {"cores": 2}}
    machine = machine_of(recorded)  # as a results file has it
    assert machine.cudnn_devices == machine.graph_devices == {"cuda:0"}
    assert machine.compile_problems == {}


def test_the_key_is_of_machine_suite_and_way_of_measuring(start):
    first, second = start(journal=False), start(TEXT.replace("0.5", "0.7"), journal=False)
    assert {part for part in first.key if first.key[part] != second.key[part]} == {"digest"}
