"""Files of timm's benchmark.py: what names say, what is said by options, rows that are none."""

import csv

import pytest

from reports.results.imports import timm
from suites.errors import DlhwError
from tests.support.foreign import INFER, NAME, ROWS, columns, frame_of, write
from tests.support.runner import ROOT

SHARED = ROOT.parent / "shared" / "data" / "timm"
TRAIN = columns("train")
ONE = "vgg11,224,80.0,100.0,8,132.86\n"
SAID = timm.given(precision="amp", memory_format="nchw")


@pytest.fixture
def file(tmp_path):
    return lambda name, text, encoding="utf-8": write(tmp_path / name, text, encoding)


@pytest.fixture
def frame(tmp_path):
    return lambda found: frame_of(found, tmp_path)


def test_what_the_name_says_is_read_from_it_and_the_rest_from_the_columns(file, frame):
    found = frame(timm.read(file(NAME, INFER + ROWS)))
    first = found.iloc[0].dropna().to_dict()
    assert first.items() >= {
        "machine": "rtx4090", "torch": "2.4.0", "device_model": "rtx4090", "architecture": "torchvision:resnet18",
        "mode": "inference", "batch_size": 256, "precision": "amp_fp16", "memory_format": "channels_last",
        "compile_mode": "default", "device": "cuda:0", "input_shape": "3x224x224", "parameters": 11_690_000,
        "status": "measured", "median_seconds": 0.256, "images_per_second": 1000.0, "samples": 1,
    }.items()  # fmt: skip
    assert found["architecture"].tolist() == ["torchvision:resnet18", "timm:test_vit"]


def test_a_summary_has_no_interval_and_no_threads(file, frame):
    found = frame(timm.read(file(NAME, INFER + ROWS)))
    for column in ("low_seconds", "half_width", "value_low", "p90_seconds", "threads", "peak_bytes", "noisy"):
        assert found[column].isna().all(), column


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("infer-amp-nchw-pt110-cu113-rtx3090", ("amp_fp16", "contiguous", "eager", "1.10", "cuda:0", "rtx3090")),
        ("infer-amp-nhwc-pt113-cu117-rtx3090", ("amp_fp16", "channels_last", "eager", "1.13", "cuda:0", "rtx3090")),
        ("train-amp-nchw-pt112-cu113-rtx3090", ("amp_fp16", "contiguous", "eager", "1.12", "cuda:0", "rtx3090")),
        ("infer-amp-nchw-pt210-cu121-rtx3090", ("amp_fp16", "contiguous", "eager", "2.1.0", "cuda:0", "rtx3090")),
        ("infer-amp-nchw-pt291-cu128-4090-dynamo", ("amp_fp16", "contiguous", "default", "2.9.1", "cuda:0", "4090")),
        ("infer-amp-nchw-pt2100-cu130-5090", ("amp_fp16", "contiguous", "eager", "2.10.0", "cuda:0", "5090")),
        ("infer-amp_bf16-nchw-pt291-cu130-pro6000maxq-dynamo",
         ("amp_bf16", "contiguous", "default", "2.9.1", "cuda:0", "pro6000maxq")),
        ("infer-bf16-nhwc-pt2110-cu130-pro6000", ("bf16", "channels_last", "eager", "2.11.0", "cuda:0", "pro6000")),
        ("infer-fp32-nchw-pt221-cpu-i9_10940x-dynamo",
         ("fp32", "contiguous", "default", "2.2.1", "cpu", "i9_10940x")),
        ("infer-fp32-nchw-pt240-cpu-i7_12700h-dynamo (1)",
         ("fp32", "contiguous", "default", "2.4.0", "cpu", "i7_12700h")),
        ("INFER-AMP-NCHW-PT240-CU124-RTX4090", ("amp_fp16", "contiguous", "eager", "2.4.0", "cuda:0", "RTX4090")),
    ],
)  # fmt: skip
def test_names(file, frame, name, facts):
    mode = "train" if "train" in name else "infer"
    found = timm.read(file(f"benchmark-{name}.csv", columns(mode) + ONE))
    row = frame(found).iloc[0]
    asked = ("precision", "memory_format", "compile_mode", "torch", "device", "machine")
    assert tuple(row[asked_for] for asked_for in asked) == facts
    assert row["mode"] == ("training" if mode == "train" else "inference")
    assert found.notes == ()


def test_the_old_name_says_precision_layout_and_machine(file, frame):
    found = timm.read(file("model_benchmark_amp_nchw_rtx3090.csv", INFER + ROWS))
    row = frame(found).iloc[0]
    assert (row["precision"], row["memory_format"], row["machine"]) == ("amp_fp16", "contiguous", "rtx3090")
    assert (row["mode"], row["torch"]) == ("inference", "unknown")
    assert [note.partition(":")[0] for note in found.notes] == [
        "its name does not say torch", "its name does not say device",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("digits", "version"),
    [
        ("18", "1.8"), ("181", "1.8.1"), ("110", "1.10"), ("113", "1.13"), ("1131", "1.13.1"), ("20", "2.0"),
        ("201", "2.0.1"), ("240", "2.4.0"), ("291", "2.9.1"), ("2100", "2.10.0"), ("2121", "2.12.1"), ("300", "3.0.0"),
    ],
)  # fmt: skip
def test_versions_of_torch(digits, version):
    assert timm.version(digits) == version


def test_what_a_name_does_not_say_is_said_by_options(file, frame):
    said = timm.given(
        mode="infer", precision="bfloat16", memory_format="nhwc", torch="pt2100", machine="desk", device="cpu"
    )
    for name in ("benchmark.csv", "my own numbers.csv"):
        found = timm.read(file(name, INFER + ROWS), said)
        row = frame(found).iloc[0]
        facts = ("inference", "bf16", "channels_last", "2.10.0", "desk", "cpu", "desk")
        names = ("mode", "precision", "memory_format", "torch", "machine", "device", "device_model")
        assert tuple(row[each] for each in names) == facts
        assert found.notes == ()


def test_without_the_options_they_are_asked_for(file):
    with pytest.raises(
        DlhwError, match="does not say precision or memory format: give --precision and --memory-format"
    ):
        timm.read(file("benchmark.csv", INFER + ROWS))
    with pytest.raises(DlhwError, match="does not say memory format: give --memory-format;"):
        timm.read(file("benchmark.csv", INFER + ROWS), timm.given(precision="fp32"))


def test_what_a_person_says_goes_before_the_name_and_is_told(file, frame):
    found = timm.read(file(NAME, INFER + ROWS), timm.given(precision="amp_bf16"))
    assert set(frame(found)["precision"]) == {"amp_bf16"}
    assert found.notes == ("its name says precision amp_fp16; taken as amp_bf16, as was said",)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"mode": "infrence"}, "--mode infrence: no such value (did you mean 'inference'?)"),
        ({"precision": "fp8"}, "--precision fp8: no such value"),
        ({"memory_format": "nwhc"}, "--memory-format nwhc: no such value"),
        ({"torch": "new"}, "--torch new: no version of torch"),
        ({"device": "GPU 1"}, "--device GPU 1: no name of torch's"),
    ],
)
def test_an_option_without_sense_is_refused(option, words):
    with pytest.raises(DlhwError) as caught:
        timm.given(**option)
    assert str(caught.value).startswith(words)


def test_a_file_of_both_modes_is_taken_in_both(file, frame):
    text = columns("infer", "train") + "vgg11,224,80,100,8,192,20,400,8,132.86\n"
    found = frame(timm.read(file("benchmark-amp-nchw-pt240-cu124-rtx4090.csv", text)))
    assert found[["mode", "input_shape", "images_per_second"]].to_numpy().tolist() == [
        ["inference", "3x224x224", 80.0], ["training", "3x192x192", 20.0],
    ]  # fmt: skip
    only = frame(
        timm.read(file("benchmark.csv", text), timm.given(mode="train", precision="amp", memory_format="nchw"))
    )
    assert only["mode"].tolist() == ["training"]


def test_columns_without_the_mode_need_it(file, frame):
    text = "model,samples_per_sec,step_time,batch_size,img_size,param_count\nvgg11,80,100,8,224,132.86\n"
    with pytest.raises(DlhwError, match="say the mode: give --mode"):
        timm.read(file("benchmark.csv", text), SAID)
    assert frame(timm.read(file("benchmark-train-amp-nchw.csv", text)))["mode"].tolist() == ["training"]


def test_a_name_of_another_mode_than_the_columns_is_refused(file):
    with pytest.raises(DlhwError, match="training is asked for, but its columns are of inference"):
        timm.read(file("benchmark-train-amp-nchw-pt240-cu124-x.csv", INFER + ROWS))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("vgg11,224,,68.3,2048,1,1,1", "line 3: vgg11: infer_samples_per_sec is missing"),
        ("vgg11,224,zero,1,8,1,1,1", "line 3: vgg11: infer_samples_per_sec is 'zero', no number"),
        ("vgg11,224,0,1,8,1,1,1", "line 3: vgg11: infer_samples_per_sec is 0"),
        ("vgg11,224,nan,1,8,1,1,1", "line 3: vgg11: infer_samples_per_sec is nan"),
        ("vgg11,224,inf,1,8,1,1,1", "line 3: vgg11: infer_samples_per_sec is inf"),
        ("vgg11,224,-5,1,8,1,1,1", "line 3: vgg11: infer_samples_per_sec is -5"),
        ("vgg11,224,1e-300,1,8,1,1,1", "line 3: vgg11: time a step is 8e+300 s, no time of a step"),
        ("vgg11,224,80,1,8.5,1,1,1", "line 3: vgg11: infer_batch_size is 8.5, no size"),
        ("vgg11,224", "line 3: vgg11: infer_batch_size is missing"),
        ("vgg11,224,80,1,8,1,1,1,1,1", "line 3: vgg11: more cells than the header has"),
        (",224,80,1,8,1,1,1", "line 3: no name: no model"),
        ("a\x1b[2Jb,224,,1,8,1,1,1", r"line 3: a\x1b[2Jb: infer_samples_per_sec is missing"),
    ],
)
def test_a_bad_row_costs_that_row_and_is_told(file, frame, row, problem):
    first, second = ROWS.splitlines()
    found = timm.read(file(NAME, f"{INFER}{first}\n{row}\n{second}\n"))
    assert found.notes == (problem,)
    assert frame(found)["architecture"].tolist() == ["torchvision:resnet18", "timm:test_vit"]


def test_what_failed_under_timm_is_told_in_its_words(file):
    text = "model,error,infer_img_size,infer_samples_per_sec,infer_batch_size\nbig,out of memory,,,\nvgg11,,224,80,8\n"
    assert timm.read(file(NAME, text)).notes == ("line 2: big: failed under timm: out of memory",)


def test_a_number_of_parameters_that_is_none_costs_no_row(file, frame):
    found = timm.read(file(NAME, INFER + "vgg11,224,80,1,8,many,1,1\ntest_vit,224,80,1,8,,1,1\n"))
    assert found.notes == ("line 2: vgg11: param_count is 'many', no number: left out",)
    assert frame(found)["parameters"].isna().all()


def test_a_row_that_is_there_twice(file, frame):
    first = ROWS.splitlines()[0]
    found = timm.read(file(NAME, f"{INFER}{first}\n{first}\n{first.replace('1000.0', '1250.0')}\n"))
    assert frame(found)["images_per_second"].tolist() == [1000.0, 1250.0]
    assert frame(found)["id"].nunique() == 2
    assert found.notes[0] == "line 3: resnet18: the same as line 2: resnet18; taken once"
    assert found.notes[1].startswith("line 4: resnet18: there before, with another result (line 2: resnet18); kept as ")


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8-sig", "UTF-8 with a byte-order mark"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16-LE"),
        ("utf-16-be", "UTF-16-BE"), ("utf-32", "UTF-32"),
    ],
)  # fmt: skip
def test_encodings_are_found_and_named(file, frame, encoding, name):
    found = timm.read(file(NAME, INFER + ROWS, encoding))
    assert found.notes == (f"read as {name}",)
    assert len(frame(found)) == 2


@pytest.mark.parametrize("change", [("\n", "\r\n"), ("\n", "\r"), (",", ";"), (",", "\t"), (",", ", "), ("\n", "\n\n")])
def test_spreadsheets_write_the_same_in_other_ways(file, frame, change):
    found = timm.read(file(NAME, (INFER + ROWS).replace(*change)))
    assert found.notes == ()
    assert frame(found)["images_per_second"].tolist() == [1000.0, 2000.0]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (NAME, INFER, "it has no rows"),
        (NAME, "", "there is no column model"),
        (NAME, "a,b\n1,2\n", "there is no column model"),
        (NAME, "model,top1\nvgg11,69.0\n", "there is no column of samples_per_sec"),
        (NAME, INFER + "vgg11,224,,1,8,1,1,1\nvgg13,224,,1,8,1,1,1\n",
         "nothing in it can be imported: line 2: vgg11: infer_samples_per_sec is missing; and 1 more"),
    ],
)  # fmt: skip
def test_a_file_with_nothing_in_it_is_one_clear_error(file, name, text, words):
    path = file(name, text)
    with pytest.raises(DlhwError) as caught:
        timm.read(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_what_is_no_text_is_told_with_its_place(file, tmp_path):
    (tmp_path / NAME).write_bytes((INFER + "mod\xe8le,").encode("latin-1"))
    with pytest.raises(DlhwError, match=r"no text in UTF-8 \(byte \d+: .*\); save it as UTF-8"):
        timm.read(tmp_path / NAME)
    with pytest.raises(DlhwError, match="No such file"):
        timm.read(tmp_path / "none.csv")


def test_names_of_the_same_net_have_as_many_parameters():
    if not SHARED.is_dir():
        pytest.skip("the shared results of timm are not here")
    import torch
    from torchvision import models

    published = {}
    for path in SHARED.glob("*.csv"):
        with path.open(newline="") as rows:
            published |= {row["model"]: float(row["param_count"]) for row in csv.DictReader(rows)}
    known = {name: same for name, same in timm.TORCHVISION.items() if name in published}
    assert len(known) > 20
    for name, same in known.items():
        with torch.device("meta"):
            net = models.get_model(same, weights=None)
        millions = sum(parameter.numel() for parameter in net.parameters()) / 1e6
        assert round(millions, 2) == pytest.approx(published[name], abs=0.011), (name, same)


def test_every_shared_file_is_read_whole():
    if not SHARED.is_dir():
        pytest.skip("the shared results of timm are not here")
    found = {path.name: timm.read(path) for path in SHARED.glob("*.csv")}
    assert len(found) == 10
    assert min(each.measured for each in found.values()) > 300
