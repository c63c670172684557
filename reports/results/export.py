"""Tables to files and to the terminal: one small function a format. `-` is standard output."""

import contextlib
import json
import os
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from suites.errors import DlhwError


def csv(table: pd.DataFrame, target: Path) -> None:
    """Comma-separated, with a header."""
    write_text(table.to_csv(index=False), target)


def json_rows(table: pd.DataFrame, target: Path) -> None:
    """A JSON array of objects; unknown values are null."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    write_text(json.dumps(rows, indent=2, default=lambda value: value.item()) + "\n", target)


def markdown(table: pd.DataFrame, target: Path) -> None:
    """A markdown table; what would break a cell is escaped."""
    lines = [[_cell(column) for column in table.columns], ["---"] * len(table.columns)]
    lines += [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), target)


def parquet(table: pd.DataFrame, target: Path) -> None:
    """Parquet, by pyarrow.

    Raises:
        DlhwError: pyarrow is not installed, or the file cannot be written.
    """
    try:
        table.to_parquet(target, index=False)
    except ImportError as error:
        raise DlhwError("--parquet needs pyarrow: pip install 'dlhw[parquet]'") from error
    except (OSError, UnicodeError) as error:
        raise DlhwError(f"{target}: {getattr(error, 'strerror', None) or error}") from error


def rich_table(table: pd.DataFrame, caption: str) -> Table:
    """For a terminal. Cells are plain text: a name in them is never taken for markup."""
    shown = Table(caption=Text(caption) if caption else None, caption_justify="left")
    for column in table.columns:
        shown.add_column(Text(str(column)), overflow="fold")
    for row in table.itertuples(index=False):
        shown.add_row(*(Text(str(value)) for value in row))
    return shown


def show(table: pd.DataFrame, caption: str = "", *, as_json: bool = False) -> None:
    """Print a table: for people on a terminal, tab-separated for a pipe."""
    if as_json:
        json_rows(table, Path("-"))
    elif sys.stdout.isatty():
        Console().print(rich_table(table, caption))
    else:
        write_text(table.to_csv(sep="\t", index=False), Path("-"))


def write_text(text: str, target: Path) -> None:
    """Write all of `text` or nothing: an existing file is replaced only by a complete one.

    Raises:
        DlhwError: the file cannot be written.
    """
    if str(target) == "-":
        sys.stdout.write(text.encode(errors="replace").decode())
        return
    place = target.resolve()
    part = place.with_name(f"{place.name}.{os.getpid()}.part")
    try:
        if place.exists() and not place.is_file():  # a device or a pipe is written to, not replaced
            place.write_text(text, encoding="utf-8")
            return
        part.write_text(text, encoding="utf-8")
        part.replace(place)
    except (OSError, UnicodeError) as error:
        raise DlhwError(f"{target}: {getattr(error, 'strerror', None) or error}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("\\", "\\\\").replace("|", "\\|").splitlines())
