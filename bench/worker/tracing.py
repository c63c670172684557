"""Who looks over the shoulder of this process: tracers and profilers, which make every line of Python slower."""

import sys
import threading
from typing import Any

MOST_TOOLS = 6
"""Of sys.monitoring (PEP 669), which is there since Python 3.12."""


def active_tracers() -> list[str]:
    """What traces or profiles this thread, or will those that it starts, in words; empty where nothing does."""
    hooks = {
        "sys.settrace": sys.gettrace(),
        "sys.setprofile": sys.getprofile(),
        "threading.settrace": threading.gettrace(),
        "threading.setprofile": threading.getprofile(),
    }
    found = [f"{name} ({_name(hook)})" for name, hook in hooks.items() if hook is not None]
    return [*found, *_monitoring(getattr(sys, "monitoring", None)), *_torch_profiler()]


def _name(hook: Any) -> str:
    """`coverage.pytracer.PyTracer._trace`: of a function, or of the class of an object that can be called."""
    named = hook if hasattr(hook, "__qualname__") else type(hook)
    return f"{named.__module__}.{named.__qualname__}"


def _monitoring(monitoring: Any) -> list[str]:
    """Tools that have asked to be told of something."""
    if monitoring is None:
        return []
    tools = {tool: monitoring.get_tool(tool) for tool in range(MOST_TOOLS)}
    return [
        f"sys.monitoring ({name})" for tool, name in tools.items() if name is not None and monitoring.get_events(tool)
    ]


def _torch_profiler() -> list[str]:
    """torch's own, where torch is there at all."""
    torch = sys.modules.get("torch")
    enabled = torch is not None and torch.autograd._profiler_enabled()
    return ["torch.profiler"] if enabled else []
