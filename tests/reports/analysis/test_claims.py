"""The course's claims, judged on figures that are known."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bench.records.record import Flops, Launch, Memory, Sampling
from reports.analysis.claims import CLAIMS, judge
from reports.cli import app
from tests.support.samples import LENET, ended, measured, micro, write

MIB = 2**20
PEAKS = "nn.ReLU(inplace=True) saves memory"
FEWER = "NiN and GoogLeNet do with fewer parameters than AlexNet"
PRICE = "VGG is slower than AlexNet"
NORM = "batch normalisation reaches the same loss sooner"
SMALL = "1x1 convolutions have too little arithmetic for their bytes to run as fast as 3x3 ones"
BATCHES = "larger batches take less time per image"


def judged(*records):
    return {each.claim: (each.verdict, each.figures) for each in judge(records)}


def net(name, seconds=0.01, *, peaks=(), parameters=1000, flops=1000, spread=0.0, **changes):
    case = replace(LENET, **{"architecture": name} | changes)
    samples = tuple(seconds * (1 + spread * sign) for sign in (-1, -1, -1, 0, 1, 1, 1))
    launches = [
        Launch(samples=1, warmup_steps=1, steady=True, median_seconds=seconds, peak_bytes=(100 + peak) * MIB)
        for peak in peaks or (300,)
    ]  # fmt: skip
    memory = Memory(
        peak_host_bytes=400 * MIB, base_host_bytes=100 * MIB, host_source="VmHWM", parameter_bytes=4 * parameters
    )
    found = measured(
        case, samples, memory=memory, flops=Flops(forward_per_image=flops, step=8 * flops),
        sampling=Sampling(launches=tuple(launches), steps_per_sample=1, stop_reason="precision"),
    )  # fmt: skip
    return replace(found, case={**found.case, "parameters": parameters})


@pytest.mark.parametrize(
    ("before", "after", "verdict", "figures"),
    [
        (
            (300, 304, 302),
            (200, 206, 204),
            "holds",
            "saves 98.0 MiB [94.0 MiB, 104 MiB] of 302 MiB (range of 3 launches)",
        ),
        ((300, 304, 302), (300, 306, 301), "not certain", "saves 1.00 MiB [-6.00 MiB, 4.00 MiB] of 302 MiB"),
        ((200, 204), (300, 306), "does not hold", "saves -101 MiB [-106 MiB, -96.0 MiB] of 202 MiB (range of 2"),
        ((300,), (200,), "not certain", "saves 100 MiB [100 MiB, 100 MiB] of 300 MiB (one launch each: no interval)"),
    ],
)
def test_memory_is_what_the_launches_peaks_say(before, after, verdict, figures):
    found = judged(net("resnet18", peaks=before), net("resnet18_inplace", peaks=after))[PEAKS]
    assert found[0] == verdict
    assert found[1].startswith(f"inference b8 fp32 cpu: {figures}")


def test_what_holds_here_and_not_there_depends():
    pairs = [
        net(name, peaks=peaks, mode=mode)
        for mode, before, after in (("inference", (300, 301), (200, 201)), ("training", (300, 301), (400, 401)))
        for name, peaks in (("resnet18", before), ("resnet18_inplace", after))
    ]
    assert judged(*pairs)[PEAKS][0] == "depends"


def test_fewer_parameters_with_their_work_and_time():
    records = [
        net("alexnet", 0.01, parameters=1000, flops=2000), net("nin", 0.02, parameters=40, flops=1600),
        net("googlenet", 0.005, parameters=100, flops=500, input_shape=(1, 14, 14)),
        net("vgg11", 0.1, parameters=3000, flops=16000),
    ]  # fmt: skip
    verdict, figures = judged(*records)[FEWER]
    assert verdict == "holds"
    assert figures == (
        "nin inference b8 fp32 cpu: 0.040 of AlexNet's parameters, 0.800 of its FLOPs, 2.00 [2.00, 2.00] of its time "
        "per image; 10.0 FLOPs per image and byte of weights; "
        "googlenet inference b8 fp32 cpu, 14 px against 28: 0.100 of AlexNet's parameters, "
        "0.250 of its FLOPs, 0.500 [0.500, 0.500] of its time per image; 1.25 FLOPs per image and byte of weights"
    )
    assert judged(*records)[PRICE] == (
        "holds", "inference b8 fp32 cpu: 10.0 [10.0, 10.0] times the time, 8.00 times the FLOPs",
    )  # fmt: skip


STEPS = {"metric": "steps"}


def lenets(step, plain, normalised):
    nets = [net("lenet", 0.01, mode="training"), net("lenet_bn", 0.01 * step, mode="training")]
    nets = [replace(each, sampling=None) for each in nets]
    steps = [
        micro(f"convergence-{name}-{seed}-fp32-cpu-t2", count, **STEPS)
        for name, counts in (("lenet", plain), ("lenet_bn", normalised))
        for seed, count in enumerate(counts)
    ]
    return [*nets, *steps]


@pytest.mark.parametrize(
    ("step", "plain", "normalised", "verdict"),
    [
        (1.5, (300, 320, 400), (30, 32, 40), "holds"),
        (1.5, (30, 32, 40), (300, 320, 400), "does not hold"),
        (1.5, (30, 32, 40), (20, 21, 30), "not certain"),
        (1.5, (), (), "not certain"),
    ],
)
def test_normalisation_costs_a_step_and_saves_steps(step, plain, normalised, verdict):
    found = judged(*lenets(step, plain, normalised))[NORM]
    assert found[0] == verdict
    assert "a step takes 1.50 [1.50, 1.50] times as long" in found[1]


def test_the_product_of_both_is_what_counts():
    _, figures = judged(*lenets(1.5, (300, 320, 400), (30, 32, 40)))[NORM]
    assert figures.endswith(
        "0.100 [0.075, 0.133] as many steps reach the loss (range of 3 seeds), "
        "so it takes 0.150 [0.112, 0.200] of the time"
    )


@pytest.mark.parametrize(
    ("one", "three", "verdict"),
    [(50e9, 100e9, "holds"), (120e9, 100e9, "does not hold"), (100e9, 100e9, "not certain")],
)
def test_small_kernels_by_rate_and_intensity(one, three, verdict):
    records = [
        micro(f"convolution-k{kernel}_contiguous-4x64x56-fp32-cpu-t2", rate, spread=0.01)
        for kernel, rate in ((1, one), (3, three))
    ]
    found = judged(*records)[SMALL]
    assert found[0] == verdict
    assert found[1].startswith("4x64x56 contiguous fp32: 16 FLOPs a byte against 141, ")


@pytest.mark.parametrize(
    ("times", "spread", "verdict", "words"),
    [
        ((1.0, 1.2, 2.0), 0.01, "holds", "batch 4 does 2.00 ["),
        ((1.0, 1.2, 4.4), 0.01, "holds", "batch 2 does 1.67 ["),
        ((1.0, 2.2, 4.4), 0.01, "does not hold", "batch 1 does 1.00 ["),
        ((1.0, 2.0, 3.9), 0.1, "not certain", "batch 4 does 1.03 ["),
    ],
)
def test_time_per_image_over_batches(times, spread, verdict, words):
    records = [net("lenet", t, spread=spread, batch_size=b) for b, t in zip((1, 2, 4), times, strict=True)]
    records = [replace(each, sampling=None) for each in records]
    found = judged(*records)[BATCHES]
    assert found[0] == verdict
    assert words in found[1]
    assert BATCHES not in judged(*records[:2])


def test_nothing_measured_nothing_claimed():
    assert judge([]) == []
    assert judge([ended("timeout", "x"), measured(), micro("copy-64-fp32-cpu-t2", 1.0)]) == []
    assert set(CLAIMS) == {PEAKS, FEWER, PRICE, NORM, SMALL, BATCHES}


def test_the_command_says_sentences_and_claims(tmp_path):
    path = write(
        tmp_path / "r.json", micro("matmul-8x8x8-fp32-cpu-t1", 1e9),
        net("resnet18", peaks=(300, 304)), net("resnet18_inplace", peaks=(200, 206)),
    )  # fmt: skip
    lines = CliRunner().invoke(app, ["findings", str(path)]).output.splitlines()
    assert lines[0] == "matmul cpu\tat best fp32 1.00 GFLOP/s (8x8x8), 1 thread"
    assert lines[1].startswith(f"holds: {PEAKS}\tinference b8 fp32 cpu: saves 99.0 MiB")
    data = json.loads(CliRunner().invoke(app, ["findings", str(path), "--json"]).output)
    assert data["claims"][0]["numbers"]["0"]["saved_bytes"] == 99 * MIB
    assert data["findings"][0]["figures"]["fp32"]["case"] == "matmul-8x8x8-fp32-cpu-t1"


def test_files_of_one_machine_are_one_and_others_are_named(tmp_path):
    first = write(tmp_path / "a.json", net("resnet18", peaks=(300, 304)))
    second = write(tmp_path / "b.json", net("resnet18_inplace", peaks=(200, 206)))
    other = tmp_path / "c.json"
    data = json.loads(first.read_text().replace("f00d", "beef"))
    data["machine_info"]["node"] = "tin"
    other.write_text(json.dumps(data))
    run = CliRunner().invoke
    assert run(app, ["findings", str(first), str(second)]).output.startswith(f"holds: {PEAKS}\t")
    matmul = write(tmp_path / "d.json", micro("matmul-8x8x8-fp32-cpu-t1", 1e9))
    assert run(app, ["findings", str(other), str(matmul)]).output.startswith("box matmul cpu\t")
    assert run(app, ["findings", str(other)]).exit_code != 0


def noisy(record):
    return replace(record, sampling=replace(record.sampling, noisy=("steal 9%",)))


def test_disturbed_times_carry_no_claim_but_peaks_of_memory_do():
    pair = net("alexnet", parameters=4000), noisy(net("vgg11", 0.1))
    assert judged(*pair)[PRICE] == ("not certain", "all that it could be told by was disturbed")
    peaks = (noisy(net("resnet18", peaks=(300, 304))), noisy(net("resnet18_inplace", peaks=(200, 206))))
    assert judged(*peaks)[PEAKS][0] == "holds"
