"""Which environment variables do not reach what is measured, and which do though they change its times."""

import getpass
import os
from collections.abc import Mapping
from fnmatch import fnmatchcase

SET_ASIDE = (
    # coverage's and debuggers' hooks: they trace every line of what they get hold of
    "COV_CORE_*", "COVERAGE_PROCESS_*", "PYDEVD_*", "DEBUGPY_*", "PYCHARM_DEBUG*",
    # what the interpreter does besides, at each import, call or allocation
    "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG", "PYTHONINSPECT",
    "PYTHONVERBOSE", "PYTHONDEBUG", "PYTHONDUMPREFS*", "PYTHONMALLOCSTATS", "PYTHONPERFSUPPORT",
    "PYTHON_PERF_JIT_SUPPORT", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHON_CPU_COUNT",
    # torch's and its libraries' logs, traces and profiles
    "TORCH_LOGS*", "TORCH_TRACE*", "TORCH_DTRACE", "TORCH_COMPILE_DEBUG*", "TORCH_COMPILE_CPROFILE",
    "TORCH_COMPILE_DYNAMO_PROFILER", "TORCH_COMPILE_STROBELIGHT", "TORCHDYNAMO_VERBOSE", "TORCHDYNAMO_REPRO_*",
    "TORCHINDUCTOR_PROFILE*", "TORCHINDUCTOR_CPP_ENABLE_KERNEL_PROFILE", "TORCHINDUCTOR_BENCHMARK_KERNEL",
    "TORCHINDUCTOR_SAVE_ARGS", "TORCHINDUCTOR_NAN_ASSERTS", "TORCH_CPP_LOG_LEVEL", "TORCH_SHOW_CPP_STACKTRACES",
    "TORCH_DISTRIBUTED_DEBUG", "ENABLE_PYTORCH_EXECUTION_TRACE*", "KINETO_USE_DAEMON", "INDUCTOR_*_SVG",
    "ONEDNN_VERBOSE*", "DNNL_VERBOSE*", "MKL_VERBOSE", "OMP_DISPLAY_ENV", "OMP_DISPLAY_AFFINITY", "NCCL_DEBUG*",
    # a case says how many threads it has, and has them
    "OMP_DYNAMIC", "OMP_THREAD_LIMIT", "OMP_MAX_ACTIVE_LEVELS",
)  # fmt: skip
"""Patterns of names."""
CHANGES_TIMES = (
    "CUDA_LAUNCH_BLOCKING", "AMD_SERIALIZE_*", "HIP_LAUNCH_BLOCKING", "PYTORCH_NO_CUDA_MEMORY_CACHING",
    "PYTORCH_NO_HIP_MEMORY_CACHING", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG",
    "TORCHINDUCTOR_*", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "NVIDIA_TF32_OVERRIDE", "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "PYTHONMALLOC", "PYTHON_GIL", "PYTHON_JIT",
    # the allocator: memory that is given back after each step is mapped anew in the next, page by page
    "LD_PRELOAD", "MALLOC_*", "GLIBC_TUNABLES", "TCMALLOC_*", "MIMALLOC_*",
    # threads that sleep between operators have to be woken: LeNet of four images took 4.2 times as long on a virtual
    # machine of two cores, 0.90 ms for 0.22
    "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT",
)  # fmt: skip
"""Patterns of names: somebody may want to measure just that, so they stay, and are told."""
WITHOUT_EFFECT = {"CUDA_LAUNCH_BLOCKING": "0", "HIP_LAUNCH_BLOCKING": "0"}
OURS = ("TORCHINDUCTOR_CACHE_DIR",)
"""A folder, which each measuring process has of its own whatever is said."""


def set_aside(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Names of those that a measuring process is not given."""
    return _named(variables, SET_ASIDE)


def changing_times(variables: Mapping[str, str]) -> tuple[str, ...]:
    """`NAME=value` of those that it is given, and that change how long a step takes."""
    names = (name for name in _named(variables, CHANGES_TIMES) if variables[name] != WITHOUT_EFFECT.get(name))
    gone = {*OURS, *set_aside(variables)}
    return tuple(f"{name}={variables[name]}" for name in names if name not in gone)


def for_worker(variables: Mapping[str, str]) -> dict[str, str]:
    """What a measuring process is given of `variables`, and what it needs besides to live in any shell."""
    dropped = set_aside(variables)
    return {
        **{name: value for name, value in variables.items() if name not in dropped},
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8:backslashreplace",  # whatever a net prints is no reason to fail
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        # numpy starts OpenBLAS' threads when it is imported, and a template with threads cannot be forked
        "OPENBLAS_NUM_THREADS": "1",
        **_name_of_user(),
    }


def notes(variables: Mapping[str, str]) -> list[str]:
    """What a person is to know of the shell that this was started from: nothing, or a line or two."""
    dropped, kept = set_aside(variables), changing_times(variables)
    lines = [f"set aside for the measuring process: {', '.join(dropped)}"] if dropped else []
    return [*lines, *([f"kept, though it changes times: {', '.join(kept)}"] if kept else [])]


def _named(variables: Mapping[str, str], patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are set, and not to nothing."""
    return tuple(
        sorted(name for name in variables if variables[name] and any(fnmatchcase(name, each) for each in patterns))
    )


def _name_of_user() -> dict[str, str]:
    """A name for a user that the system has none for: libraries make folders by it, and fail without."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        return {"LOGNAME": f"uid{os.getuid()}"}
    return {}
