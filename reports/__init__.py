"""What the numbers mean: results files to tables. Never imports torch.

`reports.load(paths)` is the way in for notebooks.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.results.frames import load as load

__all__ = ["load"]


def __getattr__(name: str) -> object:
    """Import `load` when it is asked for: it needs pandas, which `dlhw --help` does not."""
    if name == "load":
        from reports.results.frames import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
