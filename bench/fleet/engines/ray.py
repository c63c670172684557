"""Ray as an engine: a cluster by its address, or one that is started here; `dlhw[ray]`.

Ray's resources are logical only, its workers have one OpenMP thread and are nice (ray-project/ray#30496, #24928): a
task asks for all of a node, and measures in a process of its own, which verifies that it is alone. Nothing is tried
again by Ray itself.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from bench.fleet.task import Node, Run, Task
from suites.errors import DlhwError

RESOURCE = "dlhw_node"
"""Where the nodes of a cluster have one of it, no two tasks of dlhw are on one node, whoever's they are."""
DROPPED = ("OMP_NUM_THREADS",)
"""What Ray sets in its workers, whatever the node's own word is."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
SERVE_SOURCE = '''
def serve(task, dropped, packed):
    """On a node: the node's process, clean; yields its messages, lines of JSON, then END and how.

    Where a dlhw is sent along (`packed`), it is run from a folder of its own, which then goes.
    """
    import io, json, os, shutil, subprocess, sys, tempfile, zipfile

    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    environment["DLHW_PARENT"] = str(os.getpid())
    folder = tempfile.mkdtemp(prefix="dlhw-sent-") if packed else None
    if folder:
        zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, environment.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "bench.fleet.node", "-", "-"], text=True, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )
    process.stdin.write(json.dumps(task))
    process.stdin.close()
    try:
        for line in process.stdout:
            yield line
        code = process.wait()
        last = (process.stderr.read().strip().splitlines() or [""])[-1]
        shutil.rmtree(folder or "", ignore_errors=True)  # now: after its last word a worker may be ended
        yield f"END the node's process ended with code {code}; {last}" if code else "END"
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        process.stdout.close()
        process.stderr.close()
        shutil.rmtree(folder or "", ignore_errors=True)
'''
"""Sent as text: a node without dlhw says so, instead of failing to find a module of ours."""


def _ray() -> Any:
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    try:
        import ray
    except ImportError as error:
        raise DlhwError(
            '--engine ray: Ray is not installed here; pip install "dlhw[ray]", or pip install ray'
        ) from error
    return ray


class RayRun:
    """A task on a node of the cluster; a thread waits for what it says."""

    def __init__(self, stream: Iterator[Any], get: Callable[[Any], str], cancel: Callable[[], None]) -> None:
        self._stream, self._get, self._cancel = stream, get, cancel
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._end: str | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for reference in self._stream:
                said = self._get(reference)
                if said.startswith("END"):
                    self._end = said.removeprefix("END").strip()
                else:
                    self._lines.put(said)
        except Exception as error:  # noqa: BLE001 - whatever Ray raises, the task is lost, and this is why
            self._end = _last_words(error)
        self._end = self._end or ""

    def lines(self) -> list[str]:
        """As `Run` says."""
        return [self._lines.get() for _ in range(self._lines.qsize())]

    def ended(self) -> str | None:
        """As `Run` says."""
        return self._end

    def cancel(self) -> None:
        """As `Run` says."""
        self._cancel()


def _last_words(error: Exception) -> str:
    """Of an exception that may hold a whole traceback of another process."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {said[-1] if said else 'it said nothing'}"


class Ray:
    """The nodes of a Ray cluster.

    Args:
        address: `HOST:PORT` of its head, or `auto`; None: a cluster of this machine alone, ended with the fleet.
        packed: a dlhw that the nodes run in the place of their own; None: their own.

    Raises:
        DlhwError: Ray is not installed, or the cluster does not answer.
    """

    whole_node = True

    def __init__(self, address: str | None, packed: bytes | None = None) -> None:
        self._packed = packed
        self._ray = _ray()
        quiet = {"log_to_driver": False, "logging_level": "WARNING"}
        here = {"include_dashboard": False, "resources": {RESOURCE: 1}, "object_store_memory": 80_000_000}
        try:
            self._ray.init(**quiet, **({"address": address} if address else here))
        except self._ray.exceptions.RayError as error:  # of a token, above all
            raise DlhwError(f"--address {address}: {_last_words(error)} (its token: docs/fleet.md)") from error
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise DlhwError(f"--address {address}: no Ray cluster answers there ({error})") from error

    def nodes(self) -> list[Node]:
        """As `Engine` says; nodes without cores, as some heads are, measure nothing."""
        alive = [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        names = [node["NodeName"] if node.get("NodeName") else node["NodeManagerHostname"] for node in alive]
        return [
            Node(
                name=_file_name(name) if names.count(name) == 1 else f"{_file_name(name)}-{node['NodeID'][:6]}",
                address=node["NodeID"], declared=_declared(node["Resources"]),
                cores=int(node["Resources"]["CPU"]), gpus=int(node["Resources"].get("GPU", 0)),
            )
            for name, node in zip(names, alive, strict=True)
        ]  # fmt: skip

    def start(self, node: Node, task: Task) -> Run:
        """As `Engine` says."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        space: dict[str, Any] = {}
        exec(SERVE_SOURCE, space)  # noqa: S102 - our own text, above
        known = {each["NodeID"]: each["Resources"] for each in self._ray.nodes()}
        ours = {RESOURCE: 1} if known.get(node.address, {}).get(RESOURCE) else {}
        remote = self._ray.remote(space["serve"]).options(
            num_cpus=node.cores, num_gpus=node.gpus, resources=ours, max_retries=0, num_returns="streaming",
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.address, soft=False),
        )  # fmt: skip
        stream = remote.remote(task.to_json(), list(DROPPED), self._packed)
        return RayRun(iter(stream), self._ray.get, lambda: self._ray.cancel(stream, force=False))

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()


def _declared(resources: dict[str, float]) -> str:
    kinds = [name.partition(":")[2] for name in resources if name.startswith("accelerator_type:")]
    return ", ".join([f"{resources['CPU']:.0f} cores", *(f"{resources.get('GPU', 0):.0f} {kind}" for kind in kinds)])


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
