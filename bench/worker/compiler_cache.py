"""Where torch.compile keeps what it has compiled: a folder of each measuring process's own."""

import os
import shutil


def separate_cache(compiler_cache: str | None, number: int = 0) -> None:
    """Give this process a copy of `compiler_cache` for itself.

    No case finds another's kernels, nor what a killed one left half written.
    """
    if compiler_cache is not None:
        own = f"{compiler_cache}-{os.getpid()}-{number}"
        shutil.copytree(compiler_cache, own, dirs_exist_ok=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = own
