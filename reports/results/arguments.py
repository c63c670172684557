"""What the commands share: arguments, options, and how a table is given out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

Files = Annotated[list[Path], typer.Argument(metavar="RESULTS.json...", help="Results files, of one or many machines.")]
Csv = Annotated[Path | None, typer.Option(metavar="PATH|-", help="Write the tidy table as CSV; - for standard output.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="PATH|-", help="Write the tidy table as JSON rows.")]
Markdown = Annotated[Path | None, typer.Option(metavar="PATH|-", help="Write the table for people as markdown.")]
Parquet = Annotated[Path | None, typer.Option(metavar="PATH", help="Write the tidy table as parquet (needs pyarrow).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with the numbers behind the text.")]
Axis = Annotated[list[str] | None, typer.Option(metavar="AXIS=V,V,...", help="Redefine an axis, as in a run.")]
Price = Annotated[
    list[str] | None, typer.Option(metavar="MACHINE=USD_PER_HOUR", help="For cost per image; may be repeated.")
]


def give(
    shown: "pd.DataFrame", tidy: "pd.DataFrame", caption: str, csv: Path | None, json_path: Path | None,
    markdown: Path | None, parquet: Path | None,
) -> None:  # fmt: skip
    """Write the table to every file that was named; to standard output where none was."""
    from reports.results import export

    wanted = (
        (csv, export.csv, tidy), (json_path, export.json_rows, tidy), (markdown, export.markdown, shown),
        (parquet, export.parquet, tidy),
    )  # fmt: skip
    for target, write, table in wanted:
        if target is not None:
            write(table, target)
    if not any(target for target, _, _ in wanted):
        export.show(shown, caption)
