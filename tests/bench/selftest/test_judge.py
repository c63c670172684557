"""What the selftest makes of facts: passes, fails, and what is not here, told by figures."""

import pytest

from bench.doctor.diagnostics import Diagnostic
from bench.doctor.diagnostics import Verdict as Finding
from bench.records.record import Check, Outcome, Record, Status
from bench.selftest import judge

GIB = 2**30


def record(status="measured", reason="", checked=None, case_id="case"):
    return Record(id=case_id, case={}, outcome=Outcome(Status(status), reason), check=checked)


def agreement(ours, **theirs):
    return judge.agreement("cpu", {"size": 64, "seconds": {"dlhw": ours, **theirs}})


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ([1.01] * 6, [1.0] * 6, "pass"),
        ([1.03] * 6, [1.0] * 6, "fail"),
        ([0.97] * 6, [1.0] * 6, "fail"),
        ([1.03, 1.03, 1.03, 1.03, 1.03, 1.01], [1.0] * 6, "pass"),
        ([1.03, 1.03, 1.03, 1.0, 0.7, 1.3], [1.0] * 6, "not here"),
        ([1.1, 1.1, 1.1, 1.1, 1.1, 1.9], [1.0] * 6, "fail"),
    ],
)  # fmt: skip
def test_instruments_differ_where_the_turns_are_sure_of_it(ours, theirs, verdict):
    assert agreement(ours, timer=theirs).verdict == verdict


def test_every_other_instrument_is_compared():
    found = agreement([1.0] * 6, timer=[1.0] * 6, events=[1.1] * 6)
    assert found.verdict == "fail"
    assert found.text == (
        "a product of 64: 1.00 s; +0.00% [+0.00%, +0.00%] of timer; -9.09% [-9.09%, -9.09%] of events; allowed ±2.0%"
    )


@pytest.mark.parametrize(
    ("name", "error", "verdict"),
    [
        ("fp32", 2.0**-22, "pass"), ("fp32", 3e-4, "fail"), ("fp32", float("nan"), "fail"),
        ("tf32", 3e-4, "pass"), ("tf32", 2.0**-22, "fail"), ("tf32", 3e-3, "fail"),
        ("bf16", 3e-3, "pass"), ("bf16", 3e-4, "fail"), ("fp16", 3e-4, "pass"), ("fp16", 3e-3, "fail"),
    ],
)  # fmt: skip
def test_a_precision_is_known_by_its_error(name, error, verdict):
    found = judge.precision(name, "cuda:0", {"product": error, "convolution": error})
    assert (found.name, found.verdict) == (f"precision {name}", verdict)


def test_one_of_two_operations_in_another_precision_is_named():
    """As torch has it by default: TF32 in convolutions alone."""
    found = judge.precision("fp32", "cuda:0", {"product": 2e-7, "convolution": 3e-4})
    assert (found.verdict, found.text.rpartition(": ")[2]) == ("fail", "convolution computed otherwise")


@pytest.mark.parametrize(("status", "verdict"), [("skipped", "not here"), ("failed", "fail"), ("crashed", "fail")])
def test_what_came_to_no_end(status, verdict):
    facts = {"status": status, "reason": "no kernel"}
    assert judge.precision("fp16", "cpu", facts).verdict == verdict
    assert judge.without_facts("memory", "cpu", Outcome(Status(status), "no kernel")).verdict == verdict


@pytest.mark.parametrize(
    ("device", "off", "source", "verdict"),
    [
        ("cuda:0", 0, "torch's allocator", "pass"), ("cuda:0", 1, "torch's allocator", "fail"),
        ("cpu", 4 * 2**20, "VmHWM", "pass"), ("cpu", -4 * 2**20 - 1, "VmHWM", "fail"),
        ("cpu", 0, "peak since the process began", "not here"),
    ],
)  # fmt: skip
def test_memory(device, off, source, verdict):
    facts = {"expected_bytes": [GIB, 512], "seen_bytes": [GIB + off, 512], "source": source}
    assert judge.memory(device, facts).verdict == verdict


@pytest.mark.parametrize(
    ("status", "afterwards", "verdict"),
    [("out_of_memory", 0.0, "pass"), ("", 0.0, "fail"), ("failed", 0.0, "fail"), ("out_of_memory", 0.1, "fail")],
)
def test_out_of_memory_is_an_outcome_and_work_goes_on(status, afterwards, verdict):
    facts = {"wanted_bytes": GIB, "status": status, "reason": "words", "error_afterwards": afterwards}
    assert judge.out_of_memory("cuda:0", facts).verdict == verdict


def test_channels_last_names_where_it_is_lost():
    found = judge.channels_last("cpu", {"convolutions": ["0", "1", "2"], "lost": ["1"]})
    assert (found.verdict, found.text) == ("fail", "2 of ResNet-18's 3 convolutions compute in it; not: 1")
    assert judge.channels_last("cpu", {"convolutions": ["0"], "lost": []}).verdict == "pass"
    assert judge.channels_last("cpu", {"convolutions": [], "lost": []}).verdict == "fail"


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (record(checked=Check(relative_error=1e-7, tolerance=1e-5, reference="outputs of fp64")), "pass"),
        (record(checked=Check(relative_error=None, tolerance=None, reference="none", inconclusive="why")), "fail"),
        (record("wrong_result", "far away"), "fail"),
        (record("skipped", "no kernels"), "not here"),
    ],
)
def test_a_compiled_case_is_measured_and_right(found, verdict):
    assert judge.compiled("compile", "cpu", found).verdict == verdict


@pytest.mark.parametrize(
    ("disagreement", "verdict"), [(0.04, "pass"), (0.1, "pass"), (0.11, "fail"), (None, "not here")]
)
def test_energy_is_counted_twice(disagreement, verdict):
    found = {"source": "NVML", "energy_joules": 100.0, "integrated_joules": 96.0, "disagreement": disagreement,
             "window_seconds": 6.0, "reason": ""}  # fmt: skip
    assert judge.energy("cuda:0", found).verdict == verdict


def test_energy_without_a_counter_has_its_reason():
    found = judge.energy("cpu", {"source": None, "energy_joules": None, "reason": "no counters"})
    assert (found.verdict, found.text) == ("not here", "no counters")


@pytest.mark.parametrize(
    ("grown", "verdict"),
    [
        ({"cuda:0": 512, "cuda:1": 0}, "pass"), ({"cuda:0": 0, "cuda:1": 512}, "fail"),
        ({"cuda:0": 512, "cuda:1": 512}, "fail"), ({"cuda:0": 0}, "fail"), ({"cuda:0": -3}, "fail"),
    ],
)  # fmt: skip
def test_the_gpu_that_nvml_knows_is_the_one_whose_memory_fills(grown, verdict):
    facts = {"held_bytes": 512 * 2**20, "grown_bytes": {name: each * 2**20 for name, each in grown.items()}}
    assert judge.mapping("cuda:0", facts).verdict == verdict


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["measured", "timeout", "out_of_memory", "skipped"], "pass"), (["timeout"], "fail"), ([], "fail"),
        (["measured", "wrong_result"], "fail"), (["measured", "crashed"], "fail"), (["measured", "failed"], "fail"),
    ],
)  # fmt: skip
def test_quick_fails_by_mistakes_alone(statuses, verdict):
    records = [record(status, "why", case_id=str(number)) for number, status in enumerate(statuses)]
    assert judge.quick("cpu", records, 9).verdict == verdict


def test_quick_names_its_mistakes():
    found = judge.quick("cpu", [record(), record("crashed", "killed by SIGSEGV", case_id="net-b1")], 9)
    assert found.text == "1 measured, 1 crashed of 9 cases; net-b1: crashed: killed by SIGSEGV"


def test_doctor_fails_by_what_is_bad():
    findings = [Diagnostic(name=verdict, value="found", verdict=verdict) for verdict in Finding]
    assert judge.doctor(findings).text == "4 findings, 1 bad, 1 warnings; bad: found; warning: found"
    assert judge.doctor(findings).verdict == "fail"
    assert judge.doctor(findings[:3]).verdict == "pass"


def test_a_device_that_does_not_work_fails():
    assert judge.present({"name": "cuda:1", "reason": "no memory left that works"}).verdict == "fail"
    assert judge.present({"name": "cpu", "model": "Model 1", "memory_bytes": GIB}).text == "Model 1, 1.00 GiB"
