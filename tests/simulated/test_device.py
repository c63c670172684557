"""The simulated accelerator itself: what it computes is the CPU's, and what it takes is what was set."""

import pytest

FIRST = {"fp32": 1e9, "tf32": 8e9, "half": 4e9, "bandwidth": 1e9, "link": 1e9, "latency": 2e-5, "memory": 2**26}
SECOND = FIRST | {"fp32": 2e9, "tf32": 0, "bandwidth": 2e9, "latency": 1e-5}
FAR = FIRST | {"link": 1e5}
"""A copy to it takes minutes, which nobody waits for."""

FACTS = """
import copy, json, os, time
import torch
from torch import nn

facts = {}

def seconds(name, step):
    torch.accelerator.set_device_index(torch.device(name))
    first, last = torch.Event(name, enable_timing=True), torch.Event(name, enable_timing=True)
    first.record()
    step()
    last.record()
    torch.accelerator.synchronize(name)
    return first.elapsed_time(last) / 1e3

def error(left, right):
    exact = left.cpu().double() @ right.cpu().double()
    return float(((left @ right).cpu().double() - exact).norm() / exact.norm())

def trained(net, name):
    net = copy.deepcopy(net).to(name)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images.to(name)), labels.to(name)).backward()
        optimizer.step()
    return [value.cpu() for value in net.state_dict().values()]

def failure(step):
    try:
        return step() and "" or ""
    except Exception as error:
        return type(error).__name__ + ": " + str(error).splitlines()[0]

def child(step):
    pid = os.fork()
    if not pid:
        os._exit(0 if failure(step) == "" else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

facts["a child before the device is touched"] = child(lambda: torch.ones(1, device="sim"))
torch.backends.cudnn.conv.fp32_precision = "ieee"  # torch has it round
images, labels = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 1])
net = nn.Sequential(
    nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, groups=2), nn.GroupNorm(2, 8),
    nn.Flatten(), nn.LazyLinear(3))
net(images)
host = trained(net, "cpu")
facts["equal"] = [all(map(torch.equal, host, trained(net, name))) for name in ("sim:0", "sim:1")]
torch.manual_seed(1)
drawn = torch.randn(5, device="sim").cpu()
torch.manual_seed(1)
facts["random"] = drawn.equal(torch.randn(5))
left, right = torch.randn(2, 64, 64, device="sim:0"), torch.randn(2, 64, 64, device="sim:1")
facts["product"] = [seconds(str(pair.device), lambda: pair[0] @ pair[1]) for pair in (left, right)]
half = left.bfloat16()
facts["half"] = seconds("sim:0", lambda: half[0] @ half[1])
torch.backends.cuda.matmul.fp32_precision = "tf32"
facts["tf32"] = [seconds(str(pair.device), lambda: pair[0] @ pair[1]) for pair in (left, right)]
facts["tf32 errors"] = [error(*left), error(*right)]
torch.backends.cuda.matmul.fp32_precision = "ieee"
facts["addition"] = seconds("sim:0", lambda: left.add_(1))
with torch.autocast("sim", torch.bfloat16):
    facts["autocast"] = [str((left[0] @ left[1]).dtype), str(torch.softmax(left, 0).dtype)]
pinned, pageable = torch.ones(2**22, pin_memory=True), torch.ones(2**22)
target = torch.empty(2**22, device="sim:0")
torch.accelerator.synchronize("sim:0")
start = time.perf_counter()
target.copy_(pinned, non_blocking=True)
torch.accelerator.synchronize("sim:0")
facts["pinned waited"] = time.perf_counter() - start
facts["pinned"] = seconds("sim:0", lambda: target.copy_(pinned, non_blocking=True))
facts["pageable"] = seconds("sim:0", lambda: target.copy_(pageable, non_blocking=True))
far = torch.empty(2**22, device="sim:2")
far.copy_(pinned, non_blocking=True)
facts["not waited for"] = not torch.accelerator.current_stream("sim:2").query()
side = torch.Stream("sim:0")

def beside():
    main = torch.accelerator.current_stream("sim:0")
    side.wait_stream(main)
    with side:
        target.copy_(pinned, non_blocking=True)
    left[0] @ left[1]
    main.wait_stream(side)

facts["beside"] = seconds("sim:0", beside)
del target
facts["too much"] = failure(lambda: torch.empty(2**26, device="sim:0"))
facts["mixed"] = failure(lambda: left[0] @ pageable[:64 * 64].reshape(64, 64))
facts["two devices"] = failure(lambda: left + right)
early = torch.Event("sim", enable_timing=True), torch.Event("sim", enable_timing=True)
torch.accelerator.set_device_index(0)
early[0].record()
[left[0] @ left[1] for _ in range(50)]
early[1].record()
facts["early"] = failure(lambda: early[0].elapsed_time(early[1]))
before = torch.accelerator.memory_allocated("sim:0")
torch.accelerator.reset_peak_memory_stats("sim:0")
temporary = torch.empty(1000, device="sim:0")
del temporary
facts["peak"] = torch.accelerator.max_memory_allocated("sim:0") - before
facts["left"] = torch.accelerator.memory_allocated("sim:0") - before
facts["a child afterwards"] = child(lambda: torch.ones(1, device="sim"))
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def facts(simulator):
    return simulator.measured(FACTS, FIRST, SECOND, FAR, name="device")


def test_training_is_the_cpus_bit_for_bit(facts):
    assert facts["equal"] == [True, True]


def test_one_seed_is_for_all_devices(facts):
    assert facts["random"]


def test_times_are_those_of_the_formula(facts):
    flops, octets = 2 * 64**3, 64 * 64 * 4
    assert facts["product"] == pytest.approx([flops / 1e9 + 2e-5, flops / 2e9 + 1e-5], rel=1e-3)
    assert facts["tf32"] == pytest.approx([flops / 8e9 + 2e-5, flops / 2e9 + 1e-5], rel=1e-3)
    assert facts["half"] == pytest.approx(flops / 4e9 + 2e-5, rel=1e-3)
    assert facts["addition"] == pytest.approx(2 * 2 * octets / 1e9 + 2e-5, rel=1e-3)


def test_operands_are_rounded_to_tf32_where_the_device_knows_it_and_torch_lets_it(facts):
    rounded, not_rounded = facts["tf32 errors"]
    assert 2**-13 < rounded < 2**-11
    assert not_rounded < 2**-20


def test_copies_go_over_the_link(facts):
    octets = 2**24
    assert facts["pinned"] == pytest.approx(octets / 1e9 + 2e-5, rel=1e-3)
    assert facts["pageable"] > 0.999 * (octets / 5e8 + 2e-5)  # which the host waits for
    assert facts["not waited for"]
    assert facts["pinned waited"] >= octets / 1e9


def test_streams_work_beside_one_another(facts):
    assert facts["beside"] == pytest.approx(2**24 / 1e9 + 2e-5, rel=1e-3)  # the product is hidden behind the copy


def test_autocast_casts_products_and_keeps_softmax(facts):
    assert facts["autocast"] == ["torch.bfloat16", "torch.float32"]


def test_memory_is_counted_to_the_byte(facts):
    assert (facts["peak"], facts["left"]) == (4000, 0)


@pytest.mark.parametrize(
    ("fact", "told"),
    [
        ("too much", "OutOfMemoryError: sim:0 out of memory. Tried to allocate 268435456 bytes"),
        ("mixed", "RuntimeError: Expected all tensors to be on the same device"),
        ("two devices", "RuntimeError: Expected all tensors to be on the same device"),
        ("early", "RuntimeError: Both events must be completed"),
    ],
)
def test_what_a_device_refuses(facts, fact, told):
    assert facts[fact].startswith(told)


def test_a_device_is_forked_only_before_it_is_touched(facts):
    assert (facts["a child before the device is touched"], facts["a child afterwards"]) == (0, 1)
