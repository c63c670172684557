"""Which of a shell's variables a measuring process is given."""

import getpass

import pytest

from bench.controller import variables

SHELL = {
    "PATH": "/bin", "COV_CORE_SOURCE": "src", "COVERAGE_PROCESS_START": ".coveragerc", "PYDEVD_USE_CYTHON": "NO",
    "DEBUGPY_LAUNCHER_PORT": "1", "PYTHONPROFILEIMPORTTIME": "1", "PYTHONDEVMODE": "1", "TORCH_LOGS": "all",
    "TORCH_LOGS_OUT": "log", "TORCH_TRACE": "trace", "TORCHDYNAMO_VERBOSE": "1", "OMP_THREAD_LIMIT": "1",
    "OMP_NUM_THREADS": "4", "OMP_PROC_BIND": "close", "TORCH_HOME": "/hub", "PYTHONPATH": "mine",
}  # fmt: skip
KEPT = {"PATH", "OMP_NUM_THREADS", "OMP_PROC_BIND", "TORCH_HOME", "PYTHONPATH"}


def test_what_traces_logs_or_takes_threads_away_is_set_aside_and_nothing_else():
    given = variables.for_worker(SHELL)
    assert {name for name in SHELL if name in given} == KEPT
    assert set(variables.set_aside(SHELL)) == SHELL.keys() - KEPT
    assert {name: given[name] for name in KEPT} == {name: SHELL[name] for name in KEPT}


@pytest.mark.parametrize(
    ("shell", "lines"),
    [
        ({"PATH": "/bin"}, []),
        ({"COVERAGE_PROCESS_START": ""}, []),  # set to nothing is not set
        ({"TORCH_LOGS": "all", "MKL_VERBOSE": "1"}, ["set aside for the measuring process: MKL_VERBOSE, TORCH_LOGS"]),
        ({"CUDA_LAUNCH_BLOCKING": "1"}, ["kept, though it changes times: CUDA_LAUNCH_BLOCKING=1"]),
        ({"CUDA_LAUNCH_BLOCKING": "0"}, []),
        ({"OMP_WAIT_POLICY": "passive"}, ["kept, though it changes times: OMP_WAIT_POLICY=passive"]),
        ({"MALLOC_TRIM_THRESHOLD_": "8"}, ["kept, though it changes times: MALLOC_TRIM_THRESHOLD_=8"]),
        ({"TORCHINDUCTOR_MAX_AUTOTUNE": "1"}, ["kept, though it changes times: TORCHINDUCTOR_MAX_AUTOTUNE=1"]),
        ({"TORCHINDUCTOR_CACHE_DIR": "/cache", "TORCHINDUCTOR_PROFILE": "1"},
         ["set aside for the measuring process: TORCHINDUCTOR_PROFILE"]),
    ],
)  # fmt: skip
def test_a_person_is_told(shell, lines):
    assert variables.notes(shell) == lines
    assert variables.changing_times(variables.for_worker(shell)) == variables.changing_times(shell)


def test_a_user_whom_the_system_does_not_know_gets_a_name(monkeypatch):
    def unknown():
        raise KeyError("getpwuid(): uid not found: 12345")

    assert "LOGNAME" not in variables.for_worker({})
    monkeypatch.setattr(getpass, "getuser", unknown)
    monkeypatch.setattr(variables.os, "getuid", lambda: 12345)
    assert variables.for_worker({})["LOGNAME"] == "uid12345"
