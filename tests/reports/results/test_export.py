"""One exporter a format: what is read back is what was given, whatever names are in it."""

import csv
import io
import json
import os
import stat
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from reports.results import export
from suites.errors import DlhwError

HOSTILE = [
    "plain", "a|b", "a\\|b", 'say "x", y', "two\nlines", "two\r\nlines", "tab\there", "[bold red]x[/]", "<b>&amp;</b>",
    "é±µ", "-", "",
]  # fmt: skip
STDOUT = Path("-")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def frame():
    return pd.DataFrame({"id": HOSTILE, "seconds": [i / 7e6 for i in range(len(HOSTILE))]})


@pytest.fixture
def unknown():
    return pd.DataFrame({"seconds": pd.array([1.5, None], "Float64"), "steady": pd.array([True, None], "boolean")})


def cells(line):
    """The cells of a markdown row, their escapes undone."""
    return [cell.strip() for cell in line.replace("\\\\", "\0").replace("\\|", "\1").split("|")[1:-1]]


def test_csv_comes_back(frame, target):
    export.csv(frame, target)
    with target.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "seconds"]
    assert [(name, float(seconds)) for name, seconds in rows[1:]] == list(frame.itertuples(index=False, name=None))


def test_json_rows_come_back(frame, target):
    export.json_rows(frame, target)
    assert json.loads(target.read_text("utf-8")) == frame.to_dict("records")


@pytest.mark.parametrize("value", [1 / 3, 1e-9 / 3, 7.21913995099493e-08, 1e300, 2**53 + 1])
def test_json_numbers_are_exact(target, value):
    export.json_rows(pd.DataFrame({"value": [value]}), target)
    assert json.loads(target.read_text()) == [{"value": value}]


def test_parquet_comes_back(frame, target):
    export.parquet(frame, target)
    assert pd.read_parquet(target).equals(frame)


def test_unknown_is_null_in_json(unknown, target):
    export.json_rows(unknown, target)
    assert json.loads(target.read_text()) == [{"seconds": 1.5, "steady": True}, {"seconds": None, "steady": None}]


def test_unknown_is_empty_in_csv(unknown, target):
    export.csv(unknown, target)
    assert target.read_text() == "seconds,steady\n1.5,True\n,\n"


def test_markdown_keeps_its_columns_whatever_is_in_the_cells(frame, target):
    export.markdown(frame, target)
    lines = target.read_bytes().decode().split("\n")
    assert lines[1] == "| --- | --- |"
    assert len(lines) == len(HOSTILE) + 3
    assert "\r" not in "".join(lines)
    assert {len(cells(line)) for line in lines[:-1]} == {2}


def test_markdown_cells_keep_their_text(target):
    export.markdown(pd.DataFrame({"a b": ["a|b", "c\\d", "two\nlines"]}), target)
    assert target.read_text() == "| a b |\n| --- |\n| a\\|b |\n| c\\\\d |\n| two lines |\n"


@pytest.mark.parametrize("name", ["a|b", "two\nlines"])
def test_markdown_keeps_its_columns_whatever_their_names(target, name):
    export.markdown(pd.DataFrame({name: ["x"], "c": ["y"]}), target)
    lines = target.read_text().splitlines()
    assert len(lines) == 3
    assert {len(cells(line)) for line in lines} == {2}


@pytest.mark.parametrize("name", ["[bold red]x[/]", "[/]", "[link=https://a]b[/link]", ":smile:"])
def test_a_name_is_never_taken_for_markup(name):
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(export.rich_table(pd.DataFrame({name: [name]}), name))
    assert console.file.getvalue().count(name) == 3


def test_a_caption_is_below_the_table():
    console = Console(file=io.StringIO(), width=100)
    console.print(export.rich_table(pd.DataFrame({"a": ["x" * 40]}), "all: mode training"))
    assert console.file.getvalue().splitlines()[-1].strip() == "all: mode training"


@pytest.mark.parametrize("write", [export.csv, export.json_rows, export.markdown])
def test_a_dash_is_standard_output(write, frame, target, capsys, tmp_path):
    write(frame, STDOUT)
    write(frame, target)
    assert capsys.readouterr().out == target.read_bytes().decode()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_no_rows_are_no_rows(target):
    empty = pd.DataFrame({"a": [], "b": []})
    export.csv(empty, target)
    assert target.read_text() == "a,b\n"
    export.json_rows(empty, target)
    assert target.read_text() == "[]\n"
    export.markdown(empty, target)
    assert target.read_text() == "| a | b |\n| --- | --- |\n"


@pytest.mark.parametrize("write", [export.csv, export.json_rows, export.markdown, export.parquet])
@pytest.mark.parametrize("place", ["no/such/folder", "folder"])
def test_a_place_that_cannot_be_written_is_one_line_and_leaves_nothing(write, frame, tmp_path, place):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DlhwError) as caught:
        write(frame, tmp_path / place)
    assert str(caught.value).startswith(f"{tmp_path / place}: ")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_an_existing_file_is_replaced(target):
    target.write_text("what was there before, and is longer")
    export.write_text("new", target)
    assert target.read_text() == "new"


def test_text_that_cannot_be_written_leaves_the_file_as_it_was(target, tmp_path):
    target.write_text("before")
    with pytest.raises(DlhwError):
        export.write_text("half of a \ud800 pair", target)
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_has_the_permissions_of_any_new_file(target, tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    export.write_text("x", target)
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_device_is_written_to_and_not_replaced(target):
    target.symlink_to(os.devnull)
    export.write_text("x", target)
    assert target.is_char_device()


def test_a_link_is_followed(target, tmp_path):
    target.symlink_to(tmp_path / "elsewhere")
    export.write_text("x", target)
    assert target.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "x"
