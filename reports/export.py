"""Tables to files and to the terminal: one small function a format. `-` is standard output."""

import json
import sys
import tempfile
from pathlib import Path

import pandas as pd
from rich.table import Table
from rich.text import Text

from suites.errors import DlhwError


def csv(table: pd.DataFrame, target: Path) -> None:
    """Comma-separated, with a header."""
    write_text(table.to_csv(index=False), target)


def json_rows(table: pd.DataFrame, target: Path) -> None:
    """A JSON array of objects; unknown values are null."""
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    write_text(json.dumps(rows, indent=2) + "\n", target)


def markdown(table: pd.DataFrame, target: Path) -> None:
    """A markdown table; what would break a cell is escaped."""
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns)]
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
    except OSError as error:
        raise DlhwError(f"{target}: {error.strerror or error}") from error


def rich_table(table: pd.DataFrame, caption: str) -> Table:
    """For a terminal. Cells are plain text: a name in them is never taken for markup."""
    shown = Table(caption=caption or None, caption_justify="left")
    for column in table.columns:
        shown.add_column(str(column), overflow="fold")
    for row in table.itertuples(index=False):
        shown.add_row(*(Text(str(value)) for value in row))
    return shown


def write_text(text: str, target: Path) -> None:
    """Write all of `text` or nothing: an existing file is replaced only by a complete one.

    Raises:
        DlhwError: the file cannot be written.
    """
    if str(target) == "-":
        sys.stdout.write(text)
        return
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=target.parent, prefix=target.name, delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        Path(file.name).replace(target)
    except OSError as error:
        raise DlhwError(f"{target}: {error.strerror}") from error


def _cell(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
