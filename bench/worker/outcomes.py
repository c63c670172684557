"""From an exception to the outcome that it stands for."""

import traceback
from pathlib import Path

from bench.records.record import Outcome, Status


def outcome_of(error: Exception) -> Outcome:
    """The outcome that an exception of a net or of torch stands for, with its first line as the reason."""
    import torch

    from bench.worker.nets.compilation import NothingCompiledError
    from bench.worker.nets.correctness import Unsuitable

    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, Unsuitable):
        return Outcome(Status.SKIPPED, text)
    if isinstance(error, TimeoutError):
        return Outcome(Status.TIMEOUT, text)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or _is_allocation_failure(str(error)):
        return Outcome(Status.OUT_OF_MEMORY, text)
    if "not implemented for 'Half'" in text or "not implemented for 'BFloat16'" in text:
        return Outcome(Status.SKIPPED, f"torch cannot do this here: {text}")
    if isinstance(error, NothingCompiledError):
        return Outcome(Status.FAILED, text)
    frames = traceback.extract_tb(error.__traceback__)
    torchs = Path(torch.__file__).parent
    frame = next((each for each in reversed(frames) if not Path(each.filename).is_relative_to(torchs)), frames[-1])
    return Outcome(Status.FAILED, f"{type(error).__name__}: {text} ({Path(frame.filename).name}:{frame.lineno})")


def _is_allocation_failure(text: str) -> bool:
    words = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory", "_ALLOC_FAILED")
    return any(word in text for word in words)
