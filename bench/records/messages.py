"""What a controller and a measuring process say to one another: JSON lines over a pipe. Both ends know this module.

A request is `{"op": operation, "arguments": {...}}` on the worker's stdin. It is answered by events, each
`{"event": name, ...}`, on a pipe of its own: `started`, any number of `phase`, and one `result`; then the process that
served it ends, which the template tells by `exited`, and a fresh interpreter by the end of the pipe. During the
operation `slices` commands follow the request on stdin, each answered by `loaded` or `slice`.
"""

from enum import StrEnum

PROTOCOL = 1
"""Of slices: a gate holds two versions of this code side by side, and must know that both understand it."""


class Operation(StrEnum):
    """What a measuring process can be asked for."""

    DESCRIBE = "describe"
    TRACE = "trace"
    PREPARE = "prepare"
    WARM_COMPILER = "warm_compiler"
    MEASURE = "measure"
    OPERATE = "operate"
    LAYERS = "layers"
    COUNT = "count"
    WORK = "work"
    SLICES = "slices"
    PROBE = "probe"


class Event(StrEnum):
    """What a measuring process tells."""

    READY = "ready"
    STARTED = "started"
    PHASE = "phase"
    RESULT = "result"
    EXITED = "exited"
    LOADED = "loaded"
    SLICE = "slice"
