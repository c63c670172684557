"""`dlhw import`: exit codes, what is told, where it is written, and what is made of it."""

import json

import pytest

from reports.results import export
from reports.results.frames import load, results
from tests.support.foreign import INFER, NAME, ROWS, asv_file, bench, dlhw, google_file, pytest_file, run, strict, write
from tests.support.runner import ROOT

CASES = ROOT.parent / "shared" / "cases" / "files"
OTHER = NAME.replace("rtx4090", "rtx3090")


@pytest.fixture
def command(monkeypatch, capsys):
    """(exit code, lines of stderr) of a command."""

    def command(*arguments):
        code = dlhw(monkeypatch, *arguments)
        return code, capsys.readouterr().err.splitlines()

    return command


@pytest.fixture
def timm_files(tmp_path):
    return [write(tmp_path / name, INFER + ROWS) for name in (NAME, OTHER)]


def test_each_file_has_its_own_results_beside_it(command, timm_files, tmp_path):
    code, lines = command("import", "timm", *timm_files)
    assert code == 0
    assert lines == [f"{path.with_suffix('.dlhw.json')}: 2 imported" for path in timm_files]
    assert {load(path)["machine"][0] for path in tmp_path.glob("*.dlhw.json")} == {"rtx4090", "rtx3090"}


def test_bad_rows_are_told_and_the_rest_is_imported(command, tmp_path):
    path = write(tmp_path / NAME, INFER + ROWS + "vgg11,224,,1,8,1,1,1\n")
    code, lines = command("import", "timm", path)
    assert (code, lines[0]) == (0, f"dlhw: {path}: line 4: vgg11: infer_samples_per_sec is missing")
    assert len(load(path.with_suffix(".dlhw.json"))) == 2


def test_where_nothing_can_be_imported_one_line_says_why_and_nothing_is_written(command, tmp_path):
    path = write(tmp_path / NAME, INFER + "vgg11,224,,1,8,1,1,1\nvgg13,224,x,1,8,1,1,1\n")
    for output in ([], ["-o", tmp_path / "o.json"]):
        code, lines = command("import", "timm", path, *output)
        assert (code, len(lines)) == (2, 1)
        assert "nothing in it can be imported: line 2: vgg11" in lines[0]
        assert list(tmp_path.iterdir()) == [path]


def test_a_bad_file_costs_itself(command, timm_files, tmp_path):
    bad = write(tmp_path / "benchmark.csv", INFER + ROWS)
    code, lines = command("import", "timm", bad, *timm_files, "-o", tmp_path / "all.json")
    assert code == 0
    assert lines[0].startswith(f"dlhw: {bad}: its name does not say precision or memory format")
    assert lines[0].endswith("; left out")
    assert len(load(tmp_path / "all.json")) == 4


def test_options_say_what_names_do_not(command, tmp_path):
    path = write(tmp_path / "benchmark.csv", INFER + ROWS)
    code, lines = command(
        "import", "timm", path, "--mode", "inference", "--precision", "amp_bf16", "--memory-format", "channels_last",
        "--torch", "2.10.0", "--machine", "desk", "--device", "cuda:0",
    )  # fmt: skip
    assert (code, len(lines)) == (0, 1)
    row = load(tmp_path / "benchmark.dlhw.json").iloc[0]
    assert tuple(row[["precision", "memory_format", "torch", "machine"]]) == (
        "amp_bf16", "channels_last", "2.10.0", "desk",
    )  # fmt: skip
    assert command("import", "timm", path, "--precision", "fp12")[0] == 2


def test_several_files_into_one_keep_their_machines(command, timm_files, tmp_path, capsys):
    merged = tmp_path / "all.json"
    assert command("import", "timm", *timm_files, "-o", merged) == (0, [f"{merged}: 4 imported"])
    found = load(merged)
    assert found[["machine", "device_model", "torch", "architecture"]].to_numpy().tolist() == [
        [machine, machine, "2.4.0", net] for machine in ("rtx4090", "rtx3090")
        for net in ("torchvision:resnet18", "timm:test_vit")
    ]  # fmt: skip
    assert found["id"].nunique() == 4
    assert found["fingerprint"].nunique() == 2
    strict(merged)


def test_the_table_shows_the_machines_of_one_file(command, timm_files, tmp_path, monkeypatch, capsys):
    command("import", "timm", *timm_files, "-o", tmp_path / "all.json")
    dlhw(monkeypatch, "table", tmp_path / "all.json")
    header, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert [row[header.index("machine")] for row in rows] == ["rtx4090", "rtx4090", "rtx3090", "rtx3090"]
    dlhw(monkeypatch, "table", tmp_path / "all.json", "--by", "architecture,machine")
    assert capsys.readouterr().out.splitlines()[0] == "architecture\trtx4090\trtx3090"


def test_two_torches_on_one_machine_are_told_apart(command, tmp_path, monkeypatch, capsys):
    files = [write(tmp_path / NAME.replace("240", torch), INFER + ROWS) for torch in ("113", "2100")]
    command("import", "timm", *files, "-o", tmp_path / "all.json")
    dlhw(monkeypatch, "table", tmp_path / "all.json")
    header, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert [row[header.index("torch")] for row in rows] == ["1.13", "1.13", "2.10.0", "2.10.0"]


def test_one_machine_in_several_files_is_one_machine(command, tmp_path):
    files = [write(tmp_path / f"{name}.json", pytest_file(bench("a", median=time)))
             for name, time in (("mon", 0.1), ("tue", 0.2))]  # fmt: skip
    command("import", "pytest-benchmark", *files, "-o", tmp_path / "all.json")
    assert load(tmp_path / "all.json")[["id", "machine", "median_seconds"]].to_numpy().tolist() == [
        ["a", "box", 0.1], ["a [tue.json]", "box", 0.2],
    ]  # fmt: skip


def test_the_page_has_the_machines_of_one_file(command, timm_files, tmp_path, monkeypatch, capsys):
    from reports.analysis import dataset
    from reports.analysis.relative import relative

    command("import", "timm", *timm_files, "-o", tmp_path / "all.json")
    found = dataset.load([tmp_path / "all.json"], names={}, prices={}, reference="rtx3090")
    assert list(dict.fromkeys(found.cases["machine"])) == ["rtx4090", "rtx3090"]
    compared = relative(found.cases, reference="rtx3090").table
    assert compared[["system", "ratio", "cases"]].to_numpy().tolist() == [["rtx3090", 1.0, 2], ["rtx4090", 1.0, 2]]
    dlhw(monkeypatch, "report", tmp_path / "all.json", "-o", tmp_path / "p.html")
    assert "4 cases of 2 machines" in capsys.readouterr().out
    assert command("report", tmp_path / "all.json", "--name", f"{tmp_path / 'all.json'}=x")[0] == 2


def test_claims_are_judged_machine_by_machine(command, timm_files, tmp_path):
    from reports.results.frames import by_machine

    command("import", "timm", *timm_files, "-o", tmp_path / "all.json")
    parts = by_machine(results(tmp_path / "all.json"))
    assert [(part.common["machine"], len(part.records)) for part in parts] == [("rtx4090", 2), ("rtx3090", 2)]


def test_a_page_is_made_of_names_of_any_kind(command, tmp_path):
    names = ['"|</script><b>x', "a::b[<img src=x>]", "漢字 | `x`"]
    path = write(tmp_path / "o.json", pytest_file(*(bench(name, median=0.1) for name in names)))
    assert command("import", "pytest-benchmark", path)[0] == 0
    assert command("report", tmp_path / "o.dlhw.json", "-o", tmp_path / "p.html")[0] == 0
    page = (tmp_path / "p.html").read_text("utf-8")
    assert "</script><b>" not in page
    assert "<img src=x>" not in page


def test_names_that_differ_after_a_t_are_compared_each_with_its_own(command, tmp_path):
    from reports.analysis.compare import compare

    for name, times in (("base", (0.1, 0.2)), ("head", (0.1, 0.4))):
        benchmarks = [bench(f"sort-t{what}", median=time) for what, time in zip(("iny", "all"), times, strict=True)]
        command("import", "pytest-benchmark", write(tmp_path / f"{name}.json", pytest_file(*benchmarks)))
    rows = compare(tmp_path / "base.dlhw.json", tmp_path / "head.dlhw.json").rows
    assert rows[["case", "ratio"]].to_numpy().tolist() == [["sort-tiny", 1.0], ["sort-tall", 2.0]]


def test_failures_keep_their_machine_in_one_file(command, tmp_path):
    files = [write(tmp_path / f"{name}.json", asv_file({"time_a": [[1.0]], "time_b": [None]}, params={"machine": name}))
             for name in ("farm", "barn")]  # fmt: skip
    code, lines = command("import", "asv", *files, "-o", tmp_path / "all.json")
    assert (code, lines[-1]) == (0, f"{tmp_path / 'all.json'}: 2 imported")
    found = load(tmp_path / "all.json")
    assert sorted(map(tuple, found[["machine", "operation", "status"]].to_numpy())) == [
        (machine, *what) for machine in ("barn", "farm") for what in (("time_a", "measured"), ("time_b", "failed"))
    ]  # fmt: skip


def test_asv_and_google_benchmark_have_their_commands(command, tmp_path):
    folder = tmp_path / "results" / "farm"
    folder.mkdir(parents=True)
    write(folder / "c0-env.json", asv_file({"time_a": [[1.0]]}))
    write(folder / "machine.json", {"machine": "farm"})
    assert command("import", "asv", tmp_path / "results")[0] == 0
    assert load(folder / "c0-env.dlhw.json")["operation"].tolist() == ["time_a"]
    google = write(tmp_path / "g.json", google_file(run("BM_a", 1.0)))
    assert command("import", "google-benchmark", google, "--machine", "desk")[0] == 0
    assert load(tmp_path / "g.dlhw.json")["machine"].tolist() == ["desk"]


def test_a_file_that_was_read_is_never_written_over(command, tmp_path):
    path = write(tmp_path / "o.json", pytest_file(bench("a", median=0.1)))
    before = path.read_bytes()
    code, lines = command("import", "pytest-benchmark", path, "-o", path)
    assert (code, len(lines)) == (2, 1)
    assert path.read_bytes() == before


def test_two_files_that_would_be_one_are_refused(command, tmp_path):
    files = [write(tmp_path / f"{NAME.removesuffix('.csv')}{end}", INFER + ROWS) for end in (".csv", ".txt")]
    code, lines = command("import", "timm", *files)
    assert (code, len(lines)) == (2, 1)
    assert "would be written to it; give -o" in lines[0]


def test_a_disk_that_fills_up_leaves_the_old_file_whole(command, timm_files, tmp_path, monkeypatch):
    target = tmp_path / "all.json"
    target.write_text("old")
    real = export.Path.write_text

    def full(self, text, **options):
        real(self, text[:50], **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export.Path, "write_text", full)
    code, lines = command("import", "timm", *timm_files, "-o", target)
    assert (code, lines) == (2, [f"dlhw: {target}: No space left on device"])
    assert target.read_text() == "old"
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".json"}


def test_to_standard_output_it_is_strict_json(monkeypatch, capsys, tmp_path):
    path = write(tmp_path / "o.json", pytest_file(bench("a", median=0.1), bench("\ud800", median=float("nan"))))
    assert dlhw(monkeypatch, "import", "pytest-benchmark", path, "-o", "-") == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"][0]["param"] == "a"


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("benchmark-infer-amp_bf16-nchw-pt291-cu130-pro6000maxq-dynamo.csv", (),
         ("pro6000maxq", "2.9.1", "amp_bf16", 1, 0)),
        ("benchmark-infer-amp-nchw-pt2100-cu130-5090.csv", (), ("5090", "2.10.0", "amp_fp16", 1, 0)),
        ("model_benchmark_amp_nchw_rtx3090.csv", ("--torch", "1.10"), ("rtx3090", "1.10", "amp_fp16", 1, 1)),
        ("benchmark.csv", ("--mode", "inference", "--precision", "amp", "--memory-format", "contiguous", "--torch",
                           "2.4.0", "--machine", "desk"), ("desk", "2.4.0", "amp_fp16", 1, 1)),
        ("benchmark-infer-amp-nchw-pt240-cu124-row-without-rate.csv", (),
         ("row-without-rate", "2.4.0", "amp_fp16", 1, 1)),
        ("benchmark-infer-amp-nchw-pt240-cu124-with-bom.csv", (), ("with-bom", "2.4.0", "amp_fp16", 1, 1)),
        ("no_node.json", (), ("unknown", "none, Python unknown", None, 1, 1)),
        ("no_machine.json", (), ("unknown", "none, Python unknown", None, 1, 1)),
        ("bom.json", (), ("n", "none, Python unknown", None, 1, 1)),
        ("utf16.json", (), ("n", "none, Python unknown", None, 1, 1)),
        ("odd.json", (), ("n", "none, Python unknown", None, 4, 5)),
    ],
)  # fmt: skip
def test_files_that_people_brought(command, tmp_path, name, options, expected):
    """(machine, torch, precision, how many, how many notes)."""
    if not CASES.is_dir():
        pytest.skip("the files that people brought are not here")
    target = tmp_path / "o.json"
    tool = "timm" if name.endswith(".csv") else "pytest-benchmark"
    code, lines = command("import", tool, CASES / name, "-o", target, *options)
    assert code == 0
    found = load(target)
    row = found.astype(object).where(found.notna(), None).iloc[0]
    assert (row["machine"], row["torch"], row["precision"], len(found), len(lines) - 1) == expected
    strict(target)
    assert command("report", target, "-o", tmp_path / "p.html")[0] == 0
    assert "</script><b>" not in (tmp_path / "p.html").read_text("utf-8")
