"""What can be measured, as tables."""

import pytest

from reports.results import listing
from suites import suite
from suites.errors import DlhwError

TEXT = """
[measure]
max_seconds = 0.5
[[sweep]]
architecture = "lenet"
mode = "inference"
precision = ["fp32", "tf32"]
threads = [1, 4096]
device = ["cpu", "mars:0"]
compile_mode = "eager"
"""


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(TEXT)
    return lambda *overrides: listing.cases(str(path), overrides)


def test_every_suite_is_listed_with_its_description():
    table, caption = listing.suites()
    assert list(table.columns) == ["suite", "cases", "at most about", "description"]
    assert table["suite"].tolist() == list(suite.named())
    assert table["description"].tolist() == [suite.load(name).description for name in suite.named()]
    assert caption == "on the CPU alone; every accelerator adds as many cases. dlhw suites NAME lists them."


def test_the_smoke_suite_is_small():
    row = listing.suites()[0].set_index("suite").loc["smoke"]
    assert (row["cases"], row["at most about"]) == (12, "11 s")


def test_the_cases_of_a_suite_and_why_some_are_impossible(listed):
    table, caption = listed("architecture=lenet,nin")
    assert len(table) == 2 * 2 * 2 * 2
    possible = table[table["impossible here"] == ""]
    assert possible["case"].tolist() == [
        "lenet-inference-b1-fp32-contiguous-eager-cpu-t1",
        "nin-inference-b1-fp32-contiguous-eager-cpu-t1",
    ]
    assert possible["at most"].tolist() == ["2.00 s", "2.00 s"]
    assert set(table["at most"]) == {"2.00 s", "-"}
    assert caption == "16 cases, 2 possible here, at most about 4 s"
    reasons = table.set_index("case")["impossible here"]
    assert reasons["lenet-inference-b1-tf32-contiguous-eager-cpu-t1"].startswith("cpu has no TF32")
    assert reasons["lenet-inference-b1-fp32-contiguous-eager-mars:0-t1"].startswith("there is no device mars:0 here")
    assert reasons["lenet-inference-b1-fp32-contiguous-eager-cpu-t4096"].startswith("4096 threads asked for")


def test_nets_that_lead_nowhere_are_one_line_each(listed, tmp_path):
    with pytest.raises(DlhwError) as caught:
        listed("architecture=torchvision:resnet19,torchvision:vgg12")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{tmp_path}/own.toml: architecture 'torchvision:") for line in lines)
    assert lines[0].endswith("torchvision has no model of that name (did you mean 'resnet18'?)")


def test_a_mistake_is_told_before_torch_is_asked(monkeypatch):
    from bench.controller import process

    monkeypatch.setattr(process, "Worker", None)
    with pytest.raises(DlhwError, match="--suite quik: no such suite"):
        listing.cases("quik", ())
    with pytest.raises(DlhwError, match="--axis batchsize=1: unknown axis"):
        listing.cases("quick", ("batchsize=1",))
