"""dlhw on devices whose truth is known: nets are measured as long, and as large, as they are."""

import pytest

SLOW = {"fp32": 2e9, "half": 8e9, "bandwidth": 2e9, "link": 1e9, "latency": 2e-5, "memory": 2**27}
FAST = {name: 2 * value for name, value in SLOW.items()} | {"latency": 1e-5, "memory": 3_000_000}
"""Twice as fast in everything, and small."""
BATCHES = (2, 16, 32, 64, 128)
NETS = f"""
[[sweep]]
architecture = ["lenet", "lenet_bn"]
batch_size = 2
threads = 1

[[sweep]]
architecture = "lenet"
precision = "amp_bf16"
batch_size = 2
threads = 1

[[sweep]]
architecture = "resnet18"
image_size = 32
memory_format = ["contiguous", "channels_last"]
precision = "bf16"
device = "sim:0"
batch_size = 2
threads = 1

[[sweep]]
architecture = "lenet"
mode = "training"
batch_size = {list(BATCHES)}
device = "sim:1"
threads = 1

[[sweep]]
architecture = "lenet"
mode = "inference"
batch_size = 2
compile_mode = ["eager", "cuda-graph"]
cudnn_benchmark = ["off", "on"]
power_limit = ["default", 300]
device = ["cpu", "sim:0"]
threads = 1
"""
PREDICTED = """
import json
from tests.simulated.predict import predicted
print(json.dumps([predicted(*wanted) for wanted in WANTED]))
"""


def name(net="lenet", mode="training", precision="fp32", layout="contiguous", batch=2, device="sim:0"):
    return f"{net}-{mode}-b{batch}-{precision}-{layout}-eager-{device}-t1"


RESNETS = [name("resnet18@32", mode, "bf16", layout) for mode in ("inference", "training")
           for layout in ("contiguous", "channels_last")]  # fmt: skip
LENETS = [name(net, mode, precision) for mode in ("inference", "training")
          for net, precision in (("lenet", "fp32"), ("lenet", "amp_bf16"), ("lenet_bn", "fp32"))]  # fmt: skip


@pytest.fixture(scope="module")
def swept(simulator):
    return simulator.sweep("swept", NETS, SLOW, FAST)


@pytest.fixture(scope="module")
def predicted(simulator):
    """What the device itself counts in one step of each case; and of larger batches."""
    wanted = [(case,) for case in (*LENETS, *RESNETS)] + [(name(), 16), (name(), 32)]
    found = simulator.measured(f"WANTED = {wanted!r}\n{PREDICTED}", SLOW, name="predicted")
    return dict(zip([case for case, *_ in wanted[:-2]] + [16, 32], found, strict=True))


def test_everything_is_measured_and_right(swept):
    wanted = {*LENETS, *RESNETS, *(case.replace("sim:0", place) for case in LENETS for place in ("cpu", "sim:1"))}
    assert wanted <= swept.measured.keys()
    checks = {case: swept.info(case)["check"] for case in wanted}
    assert {case for case, check in checks.items() if check["reference"] == "none"} == set()


@pytest.mark.parametrize("case", [*LENETS, *RESNETS])
def test_a_step_takes_what_its_operators_take(swept, predicted, case):
    assert swept.median(case) == pytest.approx(predicted[case]["seconds"], rel=0.01)
    assert predicted[case]["flops"] == swept.info(case)["flops"]["step"]


@pytest.mark.parametrize("case", [case for case in LENETS if "fp32" in case])
def test_a_steps_time_is_the_formulas(swept, predicted, case):
    assert swept.median(case) == pytest.approx(predicted[case]["formula"], rel=0.01)


@pytest.mark.parametrize("case", [*LENETS, *RESNETS])
def test_peak_memory_is_the_devices_to_the_byte(swept, predicted, case):
    assert swept.info(case)["memory"]["peak_allocated_bytes"] == predicted[case]["peak"]


@pytest.mark.parametrize("case", LENETS)
def test_a_device_twice_as_fast_is_twice_as_fast(swept, case):
    assert swept.median(case) / swept.median(case.replace("sim:0", "sim:1")) == pytest.approx(2, rel=0.005)


def test_memory_ends_the_batches_where_it_has_to(swept, predicted):
    some, more = predicted[16]["most"], predicted[32]["most"]  # of the check, which holds its inputs besides
    fits = [batch for batch in BATCHES if some + (batch - 16) * (more - some) / 16 <= FAST["memory"]]
    cases = {batch: name(batch=batch, device="sim:1") for batch in BATCHES}
    assert [batch for batch, case in cases.items() if case in swept.measured] == fits
    first, *later = [swept.others[case] for batch, case in cases.items() if batch not in fits]
    assert first["status"] == "out_of_memory"
    assert [(case["status"], case["reason"].partition(" of this")[0]) for case in later] == [
        ("skipped", f"batch {BATCHES[len(fits)]}")
    ] * (len(BATCHES) - len(fits) - 1)


def test_an_axis_that_a_device_lacks_is_not_swept_or_has_its_reason(swept):
    """cuDNN's search is on no device here; a case without it is measured once."""
    lenet = "lenet-inference-b2-fp32-contiguous"
    assert {case: outcome["reason"] for case, outcome in swept.others.items() if lenet in case} == {
        f"{lenet}-cuda-graph-cpu-t1": "cpu has no CUDA graphs",
        f"{lenet}-cuda-graph-sim:0-t1": "sim:0 has no CUDA graphs",
        **{
            f"{lenet}-{mode}-sim:0-t1-300W": reason
            for mode, reason in {
                "cuda-graph": "sim:0 has no CUDA graphs",
                "eager": "the power limit of sim:0 is not to be had: NVIDIA's driver lets root set it, of whole GPUs "
                "whose model has such a limit",
            }.items()
        },
    }


@pytest.mark.parametrize("device", ["cpu", "sim:0"])
def test_the_search_of_algorithms_is_recorded_as_read_back(swept, device):
    assert swept.info(name(mode="inference", device=device))["backends"]["cudnn.benchmark"] is False
