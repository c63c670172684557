"""This dlhw in one piece, for nodes that have another: they unpack it into a private folder, and run it from there.

Nothing is installed on the node. torch and all other packages are the node's own, and are verified as ever.
"""

import io
import zipfile

from bench.fleet.task import ROOT

PARTS = ("dlhw.py", "bench", "suites", "reports")


def packed() -> bytes:
    """What a wheel of dlhw holds, as a zip archive of about a megabyte."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for part in PARTS:
            for path in sorted([ROOT / part, *(ROOT / part).rglob("*")]):
                if path.is_file() and "__pycache__" not in path.parts:
                    file.write(path, path.relative_to(ROOT))
    return archive.getvalue()
