"""The simulated accelerator `sim` in Python: compiles `device.cpp`, and registers it with torch.

`import torch` calls `register` in every process that has the folder `autoload` on its PYTHONPATH; `DLHW_SIM` says in
JSON what the devices are: a list of one object a device, its keys those of `DEFAULTS`; `DLHW_SIM_ACTIVITY` names a file
that tells the driver's library in `driver.c` what they do. With `DLHW_SIM_CLOCK=virtual` the host's clock is the
simulation's as well, and the host does nothing but launch and wait (`quiet_host`). Never for the process that runs
the tests: a device is registered once a process, and then is the process's accelerator.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import timeit
import types
from pathlib import Path

SOURCE = Path(__file__).with_name("device.cpp")
AUTOLOAD = Path(__file__).with_name("autoload")
FLAGS = ("-std=c++20", "-O1", "-fPIC", "-shared")
DEFAULTS = {
    "fp32": 1e9, "half": 4e9, "bandwidth": 1e9, "link": 2.5e8, "latency": 2e-5, "memory": 2**28, "broken": "",
    "seed": 0, "jitter": 0, "spike_share": 0, "spike_seconds": 0, "throttle_after": 0, "throttle": 1,
    "launch": 0, "synchronise": 0, "depth": 0, "streams": 1, "hollow": 0, "tf32": 0,
}  # fmt: skip
"""In the order of `Truth` in device.cpp, which says what each is: FLOP/s, bytes/s, seconds, bytes."""
COLLECTIVE = "DLHW_SIM_COLLECTIVE"
"""Set: torch has a library that adds up tensors of these devices over processes."""
BROKEN = {"": 0, "allocate": 1, "synchronise": 2, "describe": 3, "bare": 4}
"""What fails: `describe` raises, `bare` has no `get_device_properties` at all."""
COUNTERS = ("operators", "flops", "bytes", "seconds", "copied", "allocated", "peak")
_library = None


def compiler():
    """The C++ compiler's path; None where there is none."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++"))), None)


def truths():
    """What each device is, by `DLHW_SIM`."""
    return [DEFAULTS | given for given in json.loads(os.environ.get("DLHW_SIM", "[{}]"))]


def library(of_torch, folder):
    """The compiled device: kept in `folder`, by all that it depends on.

    Args:
        of_torch: the folder of the package.
    """
    version = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    parts = [SOURCE.read_text(), (of_torch / "version.py").read_text(), version, *FLAGS]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"sim-{key}.so"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            part = folder / f"{target.name}.{os.getpid()}"
            headers = [f"-I{of_torch}/include", f"-I{of_torch}/include/torch/csrc/api/include"]
            libraries = [f"-L{of_torch}/lib", "-lc10", "-ltorch_cpu"]
            command = [compiler(), *FLAGS, *headers, str(SOURCE), "-o", str(part), *libraries]
            subprocess.run(command, check=True, capture_output=True)
            part.replace(target)
    return target


def register():
    """Make `sim` a device of this process's torch: the entry point in the group `torch.backends`."""
    import torch

    global _library  # noqa: PLW0603 - as the device itself: one a process
    path = library(Path(torch.__file__).parent, Path(os.environ["DLHW_SIM_CACHE"]))
    torch.ops.load_library(path)
    _library = ctypes.CDLL(str(path))
    _library.sim_entry.restype = ctypes.c_char_p
    _library.sim_in_bad_fork.restype = ctypes.c_bool
    _library.sim_seed.argtypes = (ctypes.c_int, ctypes.c_uint64)
    virtual = os.environ.get("DLHW_SIM_CLOCK") == "virtual"
    _library.sim_begin(virtual)
    for truth in truths():
        numbers = [float(value) if name != "broken" else BROKEN[value] for name, value in truth.items()]
        _library.sim_add((ctypes.c_double * len(numbers))(*numbers))
    if path := os.environ.get("DLHW_SIM_ACTIVITY"):
        _library.sim_publish.restype = ctypes.c_bool
        if not _library.sim_publish(path.encode()):
            raise OSError(f"{path}: cannot be shared")
    if virtual:
        quiet_host()
    torch.utils.rename_privateuse1_backend("sim")
    torch._register_device_module("sim", module(torch))
    torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)
    if os.environ.get(COLLECTIVE):
        from tests.simulated.collective import HostCopies

        torch.distributed.Backend.register_backend("hostcopies", HostCopies, devices=["sim"])


def quiet_host():
    """The host of a simulation: its clock is the simulation's, and nobody else runs on it."""
    from bench.machine import host

    _library.sim_now.restype = ctypes.c_double
    time.perf_counter = timeit.default_timer = _library.sim_now
    host.moment = lambda of_cores=None: host.Moment(time.perf_counter(), own_seconds=0.0, own_switches=0)


def module(torch):
    """`torch.sim`: what torch asks of a device's module, and what tests ask of the device."""
    sim = types.ModuleType("torch.sim")
    sim.is_available = lambda: True
    sim.device_count = lambda: len(truths())
    sim.current_device = torch._C._accelerator_getDeviceIndex
    sim.set_device = torch._C._accelerator_setDeviceIndex
    sim.synchronize = lambda device=None: torch.accelerator.synchronize(device)
    sim._is_in_bad_fork = _library.sim_in_bad_fork
    sim.manual_seed_all = seed_all
    sim.manual_seed = seed_all
    sim.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
    sim.device = torch.accelerator.device_index
    sim.counters, sim.operators, sim.sleep = counters, operators, sleep
    if not any(truth["broken"] == "bare" for truth in truths()):
        sim.get_device_properties = properties
    sys.modules["torch.sim"] = sim
    return sim


def seed_all(seed):
    """The same seed for every device."""
    for index in range(len(truths())):
        _library.sim_seed(index, seed)


def properties(index):
    """What `torch.cuda.get_device_properties` would say."""
    truth = truths()[index]
    if truth["broken"] == "describe":
        raise OSError(f"sim:{index} does not say what it is")
    found = types.SimpleNamespace(name=f"Simulated {truth['fp32']:.3g} FLOP/s", total_memory=truth["memory"])
    if os.environ.get("DLHW_SIM_ACTIVITY"):
        found.uuid = uuid(index)
    return found


def uuid(index):
    """What the driver's library in `driver.c` knows a device by."""
    return f"{index:08x}-0000-0000-0000-000000000000"


def sleep(seconds):
    """The host does nothing for so long, by its clock."""
    _library.sim_sleep(ctypes.c_double(seconds))


def counters(index):
    """What the device has done so far, and its memory."""
    found = (ctypes.c_double * len(COUNTERS))()
    _library.sim_counters(index, found)
    return dict(zip(COUNTERS, found, strict=True))


@contextlib.contextmanager
def operators():
    """Filled at the end with what was launched inside, on any device: (name, FLOPs, bytes, seconds)."""
    found = []
    _library.sim_log(True)
    yield found
    for number in range(_library.sim_logged()):
        figures = (ctypes.c_double * 3)()
        name = _library.sim_entry(number, figures)
        found.append((name.decode(), *figures))
    _library.sim_log(False)
