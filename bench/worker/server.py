"""Answers a request, in the process that measures: `Server.serve` looks up the operation and tells its result."""

import itertools
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.machine import host
from bench.records.messages import PROTOCOL, Event, Operation
from bench.records.record import plain
from bench.worker.compiler_cache import separate_cache, warm
from bench.worker.events import Events
from bench.worker.outcomes import outcome_of
from suites.case import Budget, Case
from suites.inputs import Signature
from suites.micro import Micro


class Server:
    """Serves requests, telling `events` what comes of them."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def serve(self, request: Mapping[str, Any]) -> None:
        """Answer one request with a `result`; an exception becomes an outcome."""
        self._events.emit(Event.STARTED, pid=os.getpid())
        operations: dict[str, Callable[..., dict[str, Any]]] = {
            Operation.DESCRIBE: self._describe,
            Operation.TRACE: self._trace,
            Operation.PREPARE: self._prepare,
            Operation.WARM_COMPILER: self._warm_compiler,
            Operation.MEASURE: self._measure,
            Operation.OPERATE: self._operate,
            Operation.LAYERS: self._layers,
            Operation.COUNT: self._count,
            Operation.WORK: self._work,
            Operation.SLICES: self._slices,
            Operation.PROBE: self._probe,
        }
        try:
            answer = operations[request["op"]](**request["arguments"])
        except Exception as error:  # noqa: BLE001 - a net may raise anything, and every outcome is a row
            traceback.print_exc()
            answer = {"outcome": asdict(outcome_of(error))}
        self._events.emit(Event.RESULT, **plain(answer))

    def _describe(self, architectures: list[str], *, speeds: bool = False) -> dict[str, Any]:
        from bench.worker import environment

        return {
            "environment": environment.describe(architectures, speeds=speeds),
            "worker": str(Path(__file__).resolve()),
            "protocol": PROTOCOL,
            "operations": list(Operation),
        }

    def _trace(self, names: list[str]) -> dict[str, Any]:
        from bench.worker import origins

        with self._events.phase("importing"):
            return {"origins": origins.trace(names)}

    def _prepare(
        self, architecture: str, input_shape: list[int], mode: Any, images: int, path: str,
        signature: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        import torch

        from bench.worker import environment, memory
        from bench.worker.nets import reference

        memory.keep_freed()
        cores = environment.usable_cores()
        torch.set_num_threads(cores)
        case = Case(
            architecture=architecture, input_shape=tuple(input_shape), mode=mode, batch_size=images, precision="fp32",
            memory_format="contiguous", compile_mode="eager", device="cpu", threads=cores,
            signature=Signature.from_json(signature or {}),
        )  # fmt: skip
        with self._events.phase("preparing the check"):
            found = reference.prepare(case, Path(path))
        return {"reference": asdict(found)}

    def _probe(self, name: str, **arguments: Any) -> dict[str, Any]:
        from bench.worker import probe, selftest

        return {"facts": {**probe.PROBES, **selftest.CHECKS}[name](self._events, **arguments)}

    def _warm_compiler(self, cache: str) -> dict[str, Any]:
        """Do what a machine's first compilation does once: probe the instruction sets, above all."""
        import torch

        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        with self._events.phase("warming the compiler"), host.all_cores():
            warm(Path(cache), torch.__version__, lambda: torch.compile(torch.sigmoid)(torch.randn(64)))
        return {"cache": cache}

    def _measure(
        self,
        case: dict[str, Any],
        budget: dict[str, Any],
        reference: dict[str, Any],
        compiler_cache: str | None,
        once: bool,
        instructions: bool = False,
    ) -> dict[str, Any]:
        from bench.worker.nets.measure import Measurer
        from bench.worker.nets.reference import Reference

        separate_cache(compiler_cache)
        measurer = Measurer(self._events, Case.from_json(case), Budget(**budget), Reference(**reference), instructions)
        return measurer.run(once).to_json()

    def _operate(
        self,
        case: dict[str, Any],
        budget: dict[str, Any],
        data_root: str | None,
        compiler_cache: str | None,
        once: bool,
    ) -> dict[str, Any]:
        from bench.worker.micro.measure import MicroMeasurer

        separate_cache(compiler_cache)
        root = Path(data_root) if data_root else None
        return MicroMeasurer(self._events, Micro.from_json(case), Budget(**budget), root).run(once).to_json()

    def _layers(self, case: dict[str, Any], budget: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
        from bench.worker.nets.layers import layers
        from bench.worker.nets.reference import Reference

        return {"layers": layers(self._events, Case.from_json(case), Budget(**budget), Reference(**reference))}

    def _count(self, case: dict[str, Any]) -> dict[str, Any]:
        """What a step of a net comes to, and the file that the net was imported from."""
        from bench.worker.nets import traffic
        from bench.worker.origins import source
        from suites.architectures import module_of

        wanted = Case.from_json(case)
        with self._events.phase("counting work"):
            _, counts = traffic.step_counts(wanted)
        return {"counts": asdict(counts), "version": traffic.VERSION, "source": source(module_of(wanted.architecture))}

    def _work(self, cases: list[dict[str, Any]]) -> dict[str, Any]:
        """What steps of nets come to that nobody has measured: by case id."""
        from bench.worker.nets import traffic

        with self._events.phase("counting work"):
            found = {case.id: traffic.work(case) for case in map(Case.from_json, cases)}
        return {"work": found}

    def _slices(self, cases: list[dict[str, Any]], compiler_cache: str | None) -> dict[str, Any]:
        """Goes on to read commands from stdin: for a fresh interpreter, whose template's they would be otherwise."""
        from bench.worker.slices import Slices

        def fresh_cache() -> None:
            separate_cache(compiler_cache, next(numbers))

        numbers = itertools.count()
        Slices(self._events, cases, fresh_cache).serve(lambda: read_line(0))
        return {}


def read_line(descriptor: int) -> bytes:
    """One line, read byte by byte: nothing is buffered that a forked child would inherit."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            return b""
        line += byte
    return line
