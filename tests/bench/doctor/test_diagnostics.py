"""What the doctor says of facts: verdicts and advice."""

import pytest

from bench.doctor import diagnostics
from bench.doctor.diagnostics import EXACT_FORWARD_FLOPS, EXIT_CODES, Verdict
from bench.records.record import Launch, Outcome, Record, Sampling, Status
from tests.support.samples import measured

HOST = {
    "cpu": {"model": "Model 1", "flags": []}, "cores": 2, "cores_online": 2, "cgroup_cpus": None,
    "memory_bytes": 2**30, "governor": None, "virtualised": False, "system": "Linux", "kernel": "6.1",
}  # fmt: skip


def verdict(finding):
    assert finding.advice or finding.verdict in {Verdict.GOOD, Verdict.FACT}, "what is not good has advice"
    return finding.verdict


def turns(ratios):
    return {"ours_seconds": [ratio * 2.0 for ratio in ratios], "theirs_seconds": [2.0] * len(ratios)}


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([1.0] * 10, Verdict.GOOD),
        ([1.019] * 10, Verdict.GOOD),
        ([1.03] * 10, Verdict.BAD),
        ([0.97] * 10, Verdict.BAD),
        ([1.0, 1.0, 1.01, 1.03, 1.03, 1.03, 1.04, 1.05, 1.05, 1.06], Verdict.WARNING),
        ([9.0] + [1.0] * 9, Verdict.GOOD),
    ],
)
def test_agreement_is_of_the_middle_ratio_and_disturbance_is_no_disagreement(ratios, expected):
    found = diagnostics.agreement("cpu", "LeNet b1", turns(ratios))
    assert verdict(found) == expected
    assert found.name == "agreement on cpu"


def test_agreement_tells_the_ratio_and_its_interval():
    found = diagnostics.agreement("cpu", "LeNet b1", turns([1 + n / 1000 for n in range(10)]))
    assert found.value == "LeNet b1: 2.01 s, +0.45% [+0.10, +0.80] of torch.utils.benchmark"
    assert found.facts["ratio"] == pytest.approx(1.0045)


@pytest.mark.parametrize(("overhead", "expected"), [(4.9e-7, Verdict.GOOD), (5.1e-7, Verdict.WARNING)])
def test_a_sample_may_cost_half_a_percent_of_a_small_step(overhead, expected):
    facts = {"overhead_seconds": overhead, "lenet_step_seconds": 1e-4, "tick_seconds": 1e-7}
    assert verdict(diagnostics.clock(facts)) == expected


@pytest.mark.parametrize(
    ("seen", "expected"), [(98, Verdict.GOOD), (102, Verdict.GOOD), (97, Verdict.BAD), (103, Verdict.BAD)]
)
def test_a_known_allocation_is_seen(seen, expected):
    found = diagnostics.known_allocation("cpu", {"seen_bytes": seen, "expected_bytes": 100, "source": "VmHWM"})
    assert verdict(found) == expected


@pytest.mark.parametrize(("again", "advised"), [(0.4e-10, True), (0.6e-10, False), (2e-10, False)])
def test_new_memory_may_take_twice_as_long_as_old(again, advised):
    found = diagnostics.page_faults({"first_seconds": 1e-10, "again_seconds": again, "faults": 1 / 4096})
    assert found.verdict is Verdict.FACT
    assert bool(found.advice) is advised
    assert "256 faults" in found.value


def test_what_new_memory_takes_is_told_by_the_mebibyte():
    found = diagnostics.page_faults({"first_seconds": 6e-10, "again_seconds": 1e-10, "faults": 1 / 2**21})
    assert found.value == "1 MiB of new memory takes 524 us and 0 faults more than the same again"


def test_flops_are_exact_or_bad():
    assert verdict(diagnostics.flops(EXACT_FORWARD_FLOPS)) == Verdict.GOOD
    wrong = diagnostics.flops(EXACT_FORWARD_FLOPS | {"lenet": 416_520})
    assert verdict(wrong) == Verdict.BAD
    assert wrong.value == "lenet 416520 instead of 833040"
    assert verdict(diagnostics.flops({})) == Verdict.BAD


def launches(*medians, last=1.0):
    """A record of five samples of each median and one `last` times as long."""
    one = [Launch(samples=6, warmup_steps=1, steady=True, median_seconds=median) for median in medians]
    seconds = [median * factor for median in medians for factor in (1.0, 1.0, 1.0, 1.0, 1.0, last)]
    return measured(
        seconds=tuple(seconds), sampling=Sampling(launches=tuple(one), steps_per_sample=1, stop_reason="precision")
    )


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (launches(1.0, 1.01, 1.0, 1.0, 1.0), Verdict.GOOD),
        (launches(1.0, 1.4, 1.0, 1.0, 1.0), Verdict.WARNING),
        (launches(1.0, 1.0, 1.0, last=1.1), Verdict.WARNING),
        (Record(id="x", case={}, outcome=Outcome(Status.CRASHED, "killed")), Verdict.BAD),
    ],
)
def test_repeatability_is_of_launches(record, expected):
    assert verdict(diagnostics.repeatability(record, 2)) == expected


def test_repeatability_says_both_spreads():
    found = diagnostics.repeatability(launches(1.0, 1.1, 0.9), 1)
    assert found.value == "LeNet b8 1.00 s: 3 processes differ by 10.0% (sd), each knows its own median to ±0.0%"
    assert found.name == "repeatability, 1 thread"


AVX512 = ["avx2", "avx512f", "avx512_bf16"]


@pytest.mark.parametrize(
    ("flags", "fp32", "bf16", "expected"),
    [
        (["avx2"], "jit:avx2", "ref", Verdict.FACT),
        (AVX512, "jit:avx512_core", "jit:avx512_core_bf16", Verdict.GOOD),
        (AVX512, "jit:avx2", "jit:avx2", Verdict.WARNING),
        ([*AVX512, "amx_bf16"], "jit:avx512_core", "brg:avx512_core_bf16", Verdict.WARNING),
        ([*AVX512, "amx_bf16"], "jit:avx512_core", "brg:avx512_core_amx", Verdict.GOOD),
        ([], "none of oneDNN", "none of oneDNN", Verdict.FACT),
    ],
)
def test_instructions_that_lie_idle_are_told(flags, fp32, bf16, expected):
    assert verdict(diagnostics.kernels({"fp32": fp32, "bf16": bf16}, flags)) == expected


@pytest.mark.parametrize(
    ("changes", "judge", "expected"),
    [
        ({}, diagnostics.cores, Verdict.GOOD),
        ({"cgroup_cpus": 2.0}, diagnostics.cores, Verdict.GOOD),
        ({"cgroup_cpus": 1.5}, diagnostics.cores, Verdict.WARNING),
        ({"cgroup_cpus": 8.5}, diagnostics.cores, Verdict.GOOD),
        ({}, diagnostics.governor, Verdict.FACT),
        ({"governor": "performance"}, diagnostics.governor, Verdict.GOOD),
        ({"governor": "powersave"}, diagnostics.governor, Verdict.WARNING),
        ({}, diagnostics.processor, Verdict.FACT),
        ({"virtualised": True}, diagnostics.processor, Verdict.FACT),
        ({"virtualised": None}, diagnostics.processor, Verdict.FACT),
    ],
)
def test_facts_of_the_host(changes, judge, expected):
    assert verdict(judge(HOST | changes)) == expected


@pytest.mark.parametrize(("others", "expected"), [(None, Verdict.FACT), (0.05, Verdict.GOOD), (0.5, Verdict.WARNING)])
def test_company_is_a_warning(others, expected):
    assert verdict(diagnostics.co_running({"other_cores": others}, 2)) == expected


@pytest.mark.parametrize(("share", "expected"), [(None, Verdict.FACT), (0.0, Verdict.GOOD), (0.02, Verdict.WARNING)])
def test_stolen_time_is_a_warning(share, expected):
    assert verdict(diagnostics.steal({"stolen_share": share})) == expected


GPU = {
    "name": "cuda:0", "model": "GPU 1", "memory_bytes": 2**30, "driver": "580.1", "reason": None,
    "nvml": {"power_limit_watts": 700.0, "max_sm_clock_hertz": 1.98e9, "persistence": True},
}  # fmt: skip


def test_a_gpu_that_works_and_one_that_does_not():
    found = diagnostics.accelerator(GPU)
    assert found.value == "GPU 1, 1.00 GiB, driver 580.1, limit 700 W, up to 1980 MHz"
    assert verdict(found) == Verdict.GOOD
    broken = diagnostics.accelerator(GPU | {"reason": "CUDA error: out of order"})
    assert (verdict(broken), broken.value) == (Verdict.WARNING, "CUDA error: out of order")
    assert verdict(diagnostics.accelerator(GPU | {"nvml": {"persistence": False}})) == Verdict.WARNING
    assert diagnostics.accelerator(GPU | {"nvml": {}, "driver": None}).value == "GPU 1, 1.00 GiB"


ENERGY = {
    "energy_joules": 600.0, "window_seconds": 6.0, "mean_power_watts": 100.0, "reason": "", "disagreement": 0.013,
    "throttle_reasons": {}, "other_processes": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Verdict.GOOD),
        ({"throttle_reasons": {"power cap": 0.001}}, Verdict.GOOD),
        ({"throttle_reasons": {"power cap": 0.5}}, Verdict.WARNING),
        ({"reason": "the counter and the integrated power differ by 50%"}, Verdict.WARNING),
        ({"other_processes": 2}, Verdict.WARNING),
        ({"energy_joules": None, "reason": "the energy counter did not move"}, Verdict.WARNING),
    ],
)
def test_energy_is_judged_by_all_that_could_spoil_it(change, expected):
    assert verdict(diagnostics.energy("cuda:0", ENERGY | change)) == expected


def test_energy_is_told_both_ways():
    assert diagnostics.energy("cuda:0", ENERGY).value == "600 J in 6.0 s, 100 W; integrated power differs by 1.3%"
    assert verdict(diagnostics.unsensed("cpu", "no RAPL")) == Verdict.FACT


def test_fields_that_do_not_answer_say_why():
    found = diagnostics.fields("cuda:0", {"power_watts": 1.0}, {"ecc": "Not Supported"})
    assert found.value == "1 of 2 fields answer; not: ecc (Not Supported)"
    assert verdict(found) == Verdict.FACT
    assert verdict(diagnostics.fields("cuda:0", {"power_watts": 1.0}, {})) == Verdict.GOOD


def test_a_missing_compiler_matters_only_for_devices_that_are_here():
    problems = {"cuda": "torch.compile needs the package triton for GPUs"}
    assert verdict(diagnostics.compiler(problems, ["cpu"])) == Verdict.GOOD
    assert verdict(diagnostics.compiler(problems, ["cpu", "cuda:0"])) == Verdict.WARNING


def test_a_probe_that_failed_is_bad():
    assert verdict(diagnostics.failed("known_allocation", "killed")) == Verdict.BAD
    assert diagnostics.failed("known_allocation", "killed").name == "known allocation"


def test_every_verdict_has_an_exit_code():
    assert [EXIT_CODES[verdict] for verdict in Verdict] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("dropped", "kept", "expected", "value", "advised"),
    [
        ((), (), Verdict.GOOD, "nothing that traces, logs or changes times", False),
        (("TORCH_LOGS",), (), Verdict.FACT, "set aside: TORCH_LOGS", False),
        (("A", "B"), ("C=1",), Verdict.FACT, "set aside: A, B; changes times: C=1", True),
    ],
)
def test_what_a_shell_brings_along_is_told(dropped, kept, expected, value, advised):
    found = diagnostics.shell(dropped, kept)
    assert (found.verdict, found.value, bool(found.advice)) == (expected, value, advised)
