"""The command `dlhw`, as a person types it."""

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from reports.cli import main
from reports.results.frames import COLUMNS
from tests.support.runner import ROOT
from tests.support.samples import LENET, ended, measured, results, write

HOSTILE = ["[bold red]x[/]", "[/]", 'say "x"', "a|b", "two\nlines", "a,b;c\td", "<script>", "$(touch x)", "-rf", "é±µ"]
BF16 = replace(LENET, precision="bf16")
TABLE = "\t".join(("precision", "time a step", "images/s", "FLOP/s", "peak memory", "noise", "verdict"))


@pytest.fixture
def dlhw(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder; anything but a DlhwError comes through as it is."""
    monkeypatch.chdir(tmp_path)

    def dlhw(*arguments):
        monkeypatch.setattr(sys, "argv", ["dlhw", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            sys.exit(main())
        captured = capsys.readouterr()
        return SimpleNamespace(returncode=end.value.code or 0, stdout=captured.out, stderr=captured.err)

    return dlhw


@pytest.fixture
def process(tmp_path):
    """What starts the command as a process of its own."""
    command = [sys.executable, "-P", "-c", "from reports.cli import main; main()"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "1000", "TERM": "xterm", "PYTHONUNBUFFERED": ""}
    return lambda *arguments, through=(): subprocess.Popen(
        [*through, *command, *map(str, arguments)], cwd=tmp_path, env=environment, encoding="utf-8",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "r.json", measured(), ended("timeout", "no end after 3 s", BF16))


@pytest.fixture
def hostile(tmp_path):
    """Results in which names are as bad as names can be."""
    cases = [replace(LENET, architecture=name) for name in HOSTILE]
    found = [measured(replace(case, precision=case.architecture), noisy=(case.architecture,)) for case in cases]
    return write(tmp_path / "h.json", *found, *(ended("failed", case.architecture, case) for case in cases))


def assert_one_line(output, text):
    assert (output.returncode, output.stdout) == (2, "")
    assert output.stderr == f"dlhw: {text}\n"


def test_help_names_every_command(dlhw):
    output = dlhw("--help")
    assert output.returncode == 0
    for command in ("run", "suites", "table", "recover"):
        assert command in output.stdout


@pytest.mark.parametrize(
    "arguments",
    [["tabel"], ["table"], ["table", "--colour", "red", "r.json"], ["recover"], ["suites", "smoke", "nin"]],
)
def test_a_wrong_command_line_is_no_traceback(dlhw, arguments):
    output = dlhw(*arguments)
    assert (output.returncode, output.stdout) == (2, "")
    assert "Usage:" in output.stderr
    assert "Traceback" not in output.stderr


def test_a_pipe_gets_a_table_with_tabs(dlhw, file):
    output = dlhw("table", file)
    assert (output.returncode, output.stderr) == (0, "")
    assert output.stdout.splitlines() == [
        TABLE,
        "fp32\t4.00 ms [1.00, 7.00]\t2,000 img/s\t1.67 GFLOP/s\t300 MiB\t75.0%\tok",
        "bf16\t-\t-\t-\t-\t-\ttimeout: no end after 3 s",
    ]


def test_a_pivot(dlhw, file):
    output = dlhw("table", file, "--by", "mode,precision", "--value", "median_seconds")
    assert output.stdout == "mode\tfp32\tbf16\ninference\t4.00 ms\ttimeout\n"


def test_many_files_are_one_table(dlhw, file, tmp_path):
    other = write(tmp_path / "s.json", measured())
    output = dlhw("table", file, other, "--by", "file,precision")
    assert output.stdout.splitlines()[1:] == [f"{file}\t2,000 img/s\ttimeout", f"{other}\t2,000 img/s\t-"]


def test_csv_and_json_hold_all_columns_and_plain_numbers(dlhw, file, tmp_path):
    output = dlhw("table", file, "--csv", "o.csv", "--json", "o.json", "--parquet", "o.parquet")
    assert (output.returncode, output.stdout, output.stderr) == (0, "", "")
    rows = [
        next(csv.DictReader(io.StringIO((tmp_path / "o.csv").read_text()))),
        json.loads((tmp_path / "o.json").read_text())[0],
        pd.read_parquet(tmp_path / "o.parquet").iloc[0].to_dict(),
    ]
    for row in rows:
        assert list(row) == list(COLUMNS)
        assert float(row["median_seconds"]) == 0.004
        assert float(row["peak_bytes"]) == 300 * 2**20


def test_markdown_is_for_people(dlhw, file):
    assert dlhw("table", file, "--markdown", "-").stdout.splitlines() == [
        f"| {TABLE.replace(chr(9), ' | ')} |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| fp32 | 4.00 ms [1.00, 7.00] | 2,000 img/s | 1.67 GFLOP/s | 300 MiB | 75.0% | ok |",
        "| bf16 | - | - | - | - | - | timeout: no end after 3 s |",
    ]


def test_a_pivot_can_be_written_too(dlhw, file):
    output = dlhw("table", file, "--by", "mode,precision", "--csv", "-")
    assert output.stdout == 'mode,fp32,bf16\ninference,"2,000 img/s",timeout\n'


def test_hostile_names_break_no_format(dlhw, hostile):
    by_tab, by_comma = dlhw("table", hostile), dlhw("table", hostile, "--csv", "-")
    rows = list(csv.reader(io.StringIO(by_tab.stdout), delimiter="\t"))
    assert [row[0] for row in rows[1:]] == HOSTILE * 2
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [row["architecture"] for row in csv.DictReader(io.StringIO(by_comma.stdout))] == HOSTILE * 2
    written = json.loads(dlhw("table", hostile, "--json", "-").stdout)
    assert [row["architecture"] for row in written] == HOSTILE * 2
    assert len(dlhw("table", hostile, "--markdown", "-").stdout.splitlines()) == 2 + 2 * len(HOSTILE)


def test_a_hostile_pivot_keeps_its_columns(dlhw, hostile):
    lines = dlhw("table", hostile, "--by", "mode,architecture", "--markdown", "-").stdout.splitlines()
    assert len(lines) == 3
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(HOSTILE) + 2}


@pytest.mark.parametrize("arguments", [[], ["--by", "mode,architecture"]])
def test_a_terminal_shows_hostile_names_as_they_are(process, hostile, arguments):
    in_terminal = [sys.executable, "-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) and 1)"]
    shown = process("table", hostile, *arguments, through=in_terminal)
    output, _ = shown.communicate()
    assert shown.returncode == 0, output
    for name in HOSTILE:
        for part in name.replace("\t", "\n").splitlines():
            assert part in output


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("none.json", None, "none.json: No such file or directory"),
        (".", None, ".: Is a directory"),
        ("cut.json", b'{"benchmarks": [', "cut.json:1: not valid JSON, cut short perhaps (Expecting value)"),
        ("bytes.json", b"\xff\xfe\x00", "bytes.json: this is no text, and so no results file"),
        ("list.json", b"[]", "list.json: no results file of pytest-benchmark"),
        (
            "other.json",
            b'{"benchmarks": [{"name": "test_sort", "stats": {"median": 1.0}}]}',
            "other.json: written by pytest-benchmark, but not by dlhw: there are no cases in it",
        ),
    ],
)
def test_a_file_that_is_none_of_ours_is_one_line(dlhw, tmp_path, name, content, text):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert_one_line(dlhw("table", name), text)


def test_one_bad_file_among_good_ones_is_named(dlhw, file):
    assert_one_line(dlhw("table", file, "none.json"), "none.json: No such file or directory")


def test_half_a_character_in_a_name_is_no_traceback(dlhw, tmp_path):
    data = json.dumps(results(measured(replace(LENET, architecture="HALF")))).replace("HALF", "\\ud800")
    (tmp_path / "half.json").write_text(data)
    for arguments in ([], ["--csv", "-"], ["--csv", "o.csv"], ["--json", "o.json"], ["--parquet", "o.parquet"]):
        assert dlhw("table", "half.json", *arguments).returncode in {0, 2}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--by", "presicion"], "--by presicion: no such axis (did you mean 'precision'?); axes: "),
        (["--by", "mode", "--value", "median"], "--value median: no such value (did you mean 'median_seconds'?); "),
        (["--value", "median"], "--value median: no such value (did you mean 'median_seconds'?); "),
        (["--csv", "no/o.csv"], "no/o.csv: No such file or directory"),
        (["--parquet", "no/o.parquet"], "no/o.parquet: "),
    ],
)
def test_a_mistake_in_an_option_is_one_line(dlhw, file, arguments, text):
    output = dlhw("table", file, *arguments)
    assert (output.returncode, output.stdout) == (2, "")
    assert output.stderr.startswith(f"dlhw: {text}")
    assert output.stderr.count("\n") == 1


@pytest.mark.parametrize("count", [1, 500])
def test_a_reader_that_has_had_enough_is_no_traceback(process, file, count):
    with process("table", *[file] * count, "--csv", "-") as writer:
        writer.stdout.close()
        assert writer.stderr.read() == ""
    assert writer.returncode == 1


def test_a_mistake_ends_the_process_with_code_2(process):
    missing = process("table", "none.json")
    assert missing.communicate() == ("", "dlhw: none.json: No such file or directory\n")
    assert missing.returncode == 2


def test_suites_are_listed(dlhw):
    output = dlhw("suites")
    assert (output.returncode, output.stderr) == (0, "")
    assert output.stdout.splitlines()[0] == "suite\tcases\tat most about\tdescription"
    assert "\nsmoke\t12\t11 s\t" in output.stdout


def test_suites_are_listed_as_json(dlhw):
    rows = json.loads(dlhw("suites", "--json").stdout)
    assert {row["suite"]: row["cases"] for row in rows}["smoke"] == 12


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["quik"], "--suite quik: no such suite (did you mean 'quick'?); there are "),
        (["none.toml"], "none.toml: "),
        (["quick", "--axis", "mode=train"], "--axis mode: should be 'inference' or 'training', not 'train' "),
    ],
)
def test_a_mistake_in_a_suite_is_one_line(dlhw, arguments, text):
    output = dlhw("suites", *arguments)
    assert (output.returncode, output.stdout) == (2, "")
    assert f"dlhw: {text}" in output.stderr
    assert "Traceback" not in output.stderr


def test_recover_writes_a_results_file_and_says_what_is_in_it(dlhw, mini, tmp_path):
    output = dlhw("recover", mini.folder / "results.journal.jsonl", "-o", "o.json")
    assert (output.returncode, output.stdout, output.stderr) == (0, "o.json: 4 cases measured, 4 not\n", "")
    table = dlhw("table", "o.json", "--json", "-")
    assert [row["status"] for row in json.loads(table.stdout)] == ["measured"] * 4 + ["skipped"] * 4


def test_a_recovered_file_on_standard_output_is_json(dlhw, mini):
    output = dlhw("recover", mini.folder / "results.journal.jsonl", "-o", "-")
    assert len(json.loads(output.stdout)["benchmarks"]) == 4


def test_recover_warns_of_what_it_leaves_out(dlhw, mini, tmp_path):
    torn = (mini.folder / "results.journal.jsonl").read_bytes()[:-20]
    (tmp_path / "torn.jsonl").write_bytes(torn)
    output = dlhw("recover", "torn.jsonl", "-o", "o.json")
    assert output.returncode == 0
    assert output.stderr == "dlhw: torn.jsonl: passed over: 1 damaged line\n"


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("none.jsonl", None, "none.jsonl: No such file or directory"),
        (".", None, ".: Is a directory"),
        ("r.jsonl", b"", "r.jsonl: this is no journal of dlhw, or its first line is damaged"),
        ("r.jsonl", b"\xff\n", "r.jsonl: this is no journal of dlhw, or its first line is damaged"),
        (
            "r.jsonl",
            b'{"kind": "header", "schema": 9}\n',
            "r.jsonl:1: written by a later dlhw (schema 9; this one reads 1)",
        ),
    ],
)
def test_what_is_no_journal_is_one_line(dlhw, tmp_path, name, content, text):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert_one_line(dlhw("recover", name, "-o", "o.json"), text)
    assert not (tmp_path / "o.json").exists()
