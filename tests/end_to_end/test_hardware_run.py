"""`pytest bench/` over micro-benchmarks, as a user runs it."""

import json

import pytest

from bench.machine import ceilings
from suites.micro import Micro
from tests.support.runner import Runner

SUITE = """
[measure]
precision = 0.5
min_samples = 3
min_seconds = 0
max_seconds = 0.02
warmup_seconds = 0.02
time_limit_seconds = 60

[[micro]]
operation = "copy"
size = [4096, 1048576]
threads = 1

[[micro]]
operation = "matmul"
size = "32x32x32"
precision = ["fp32", "bf16"]
threads = 1

[[micro]]
operation = "dispatch"
size = [1, 4, 16]
threads = 1

[[micro]]
operation = "launch"
variant = "enqueue"
size = 1
threads = 1

[[sweep]]
architecture = "lenet"
mode = "inference"
threads = 1
measure = { max_seconds = 0.03 }
"""
NET = "lenet-inference-b1-fp32-contiguous-eager-cpu-t1"


@pytest.fixture(scope="module")
def hardware(tmp_path_factory):
    runner = Runner(tmp_path_factory.mktemp("hardware"))
    runner.suite.write_text(SUITE)
    runner.output = runner.run("--benchmark-json=hw.json")
    assert runner.output.returncode == 0, runner.output.stdout
    return runner


@pytest.fixture(scope="module")
def results(hardware):
    return json.loads((hardware.folder / "hw.json").read_text())


def test_micro_benchmarks_are_benchmarks_like_any_other(results):
    found = {benchmark["param"]: benchmark for benchmark in results["benchmarks"]}
    micros = [Micro.parse(name) for name in found if name != NET]
    assert len(micros) == 7
    for case in micros:
        benchmark = found[case.id]
        assert Micro.from_json(benchmark["extra_info"]["case"]) == case
        assert benchmark["fullname"] == f"bench/test_hardware.py::test_hardware[{case.id}]"
        assert benchmark["group"] == case.operation
        assert len(benchmark["stats"]["data"]) >= 3
        assert benchmark["extra_info"]["sampling"]["launches"][0]["samples"] == len(benchmark["stats"]["data"])
    assert found["copy-4096-fp32-cpu-t1"]["extra_info"]["work"] == {"metric": "bytes_per_second", "amount": 8192}


def test_a_nets_bytes_are_in_its_record(results):
    (info,) = [each["extra_info"] for each in results["benchmarks"] if each["param"] == NET]
    assert info["traffic"]["operators"] == 11
    assert info["work"]["flops"] == 833040
    assert info["work"]["operators"]["aten::convolution"] == 2
    peak = info["sampling"]["launches"][0]["peak_bytes"]
    assert peak == info["memory"]["peak_host_bytes"]


def test_what_needs_an_accelerator_says_so(results):
    (outcome,) = results["outcomes"]
    assert (outcome["id"], outcome["status"]) == ("launch-enqueue-1-fp32-cpu-t1", "skipped")
    assert outcome["reason"] == "launch needs an accelerator, and cpu is the host itself"


def test_the_run_ends_with_sentences_and_where_the_ceilings_are(hardware, results):
    lines = hardware.output.stdout.splitlines()
    assert any(line.startswith("copy cpu: by the size of an array, 1 thread: ") for line in lines)
    assert any(line.startswith("dispatch cpu: 1 thread: an operation costs ") for line in lines)
    (line,) = [line for line in lines if line.startswith("ceilings of this machine: ")]
    kept = ceilings.kept(results["dlhw"]["fingerprint"])
    assert line.endswith(str(ceilings.path_of(results["dlhw"]["fingerprint"])))
    assert {"cpu-t1-fp32", "cpu-t1-bf16"} <= set(kept.flops_per_second)
    assert {8192, 2097152} <= set(kept.bytes_per_second["cpu-t1"])
    assert kept.dispatch_seconds["cpu-t1"].value > 0


def test_the_machines_caches_are_in_the_results(results):
    assert isinstance(results["machine_info"]["host"]["caches"], list)


def test_options_choose_among_them(hardware):
    output = hardware.run(
        "--benchmark-json=one.json", "--axis", "operation=matmul", "--axis", "precision=fp32", "--axis", "size=16x16x16"
    )
    assert output.returncode == 0, output.stdout
    benchmarks = json.loads((hardware.folder / "one.json").read_text())["benchmarks"]
    assert [each["param"] for each in benchmarks] == ["matmul-16x16x16-fp32-cpu-t1"]


def test_what_a_journal_holds_is_taken_over(hardware):
    output = hardware.run("--benchmark-json=again.json", "--journal=hw.journal.jsonl", "--resume", "-k", "copy")
    assert output.returncode == 0, output.stdout
    assert "2 taken over from hw.journal.jsonl" in output.stdout


def test_what_is_chosen_of_a_journal_is_taken_over(hardware):
    output = hardware.run(
        "--benchmark-json=chosen.json", "--journal=hw.journal.jsonl", "--resume", "--axis", "operation=dispatch"
    )
    assert output.returncode == 0, output.stdout
    assert "3 taken over from hw.journal.jsonl" in output.stdout
    benchmarks = json.loads((hardware.folder / "chosen.json").read_text())["benchmarks"]
    assert [each["param"] for each in benchmarks] == [f"dispatch-{size}-fp32-cpu-t1" for size in (1, 4, 16)]


def test_a_size_of_nothing_is_one_clear_error_before_anything_runs(hardware):
    output = hardware.run("--axis", "operation=copy", "--axis", "size=0,64")
    assert output.returncode == 4
    assert "--axis size: BYTES of copy should be greater than 0, not 0" in output.stdout + output.stderr
    assert "Traceback" not in output.stdout + output.stderr


def test_recovering_gives_them_back(hardware, tmp_path):
    from reports.results.recover import recover

    data, warnings = recover(hardware.folder / "hw.journal.jsonl")
    assert {"copy", "matmul", "dispatch", "lenet inference"} == {each["group"] for each in data["benchmarks"]}
    assert warnings == []


def test_a_folder_of_data_that_is_not_there_is_one_clear_error(hardware):
    output = hardware.run("--data-root", "nowhere")
    assert output.returncode == 4
    assert "--data-root nowhere: no such folder" in output.stdout + output.stderr


def test_a_cache_that_cannot_be_written_costs_no_result(hardware, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    output = hardware.run("--benchmark-json=r.json", "-k", "copy")
    assert output.returncode == 0, output.stdout
    assert "the ceilings were not kept: " in output.stdout
    assert len(json.loads((hardware.folder / "r.json").read_text())["benchmarks"]) == 2
