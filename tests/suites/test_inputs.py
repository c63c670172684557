"""What a suite file says of a net's inputs."""

import string
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suites import schema, suite
from suites.axes import Machine
from suites.case import Case
from suites.errors import DlhwError
from suites.inputs import Input, Signature

SWEEP = "[[sweep]]\narchitecture = 'a.b:Net'\nmode = 'inference'\n[architectures.'a.b:Net']\n"
BOX = Machine(devices=("cpu",), threads=2)


@pytest.fixture
def load(tmp_path):
    def load(table, before=SWEEP):
        path = tmp_path / "own.toml"
        path.write_text(before + table + "\n")
        return suite.load(str(path))

    return load


@pytest.fixture
def case(load):
    return lambda table: next(iter(load(table).cases(BOX)))


IDS = Input(shape=(128,), dtype="int64", high=30522)


@pytest.mark.parametrize(
    ("table", "inputs"),
    [
        ("inputs = {shape = [3, 8]}", (Input(shape=(3, 8)),)),
        ("inputs = [{shape = [3, 8]}, {shape = []}]", (Input(shape=(3, 8)), Input(shape=()))),
        ("inputs = {1 = {shape = []}, 0 = {shape = [3, 8]}}", (Input(shape=(3, 8)), Input(shape=()))),
        (
            "inputs = {x = {shape = [3]}, ids = {shape = [128], dtype = 'int64', high = 30522}}",
            (Input(shape=(3,), name="x"), Input(shape=(128,), dtype="int64", high=30522, name="ids")),
        ),
        ("inputs = {shape = {shape = [2]}}", (Input(shape=(2,), name="shape"),)),
    ],
)
def test_inputs_by_name_by_place_or_one_alone(case, table, inputs):
    found = case(table)
    assert found.signature == Signature(inputs=inputs)
    assert found.input_shape == ()
    assert Case.from_json(found.to_json()) == found


def test_a_function_makes_them_and_a_loss_may_be_ones_own(case):
    found = case("inputs = 'a.b:make'\nloss = 'a.c:loss'")
    assert found.signature == Signature(make_inputs="a.b:make", loss="a.c:loss")
    assert found.id == "a.b:Net-inference-b1-fp32-contiguous-eager-cpu-t2"
    assert Case.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("table", "suffix"),
    [
        ("input_shape = [128]", "@128"),
        ("input_shape = [3, 16, 112, 112]", "@3x16x112x112"),
        ("inputs = [{shape = [3, 8, 8]}, {shape = []}, {shape = [7]}]", "@3x8x8+1+7"),
    ],
)
def test_the_shape_is_in_the_id(case, table, suffix):
    found = case(table)
    assert found.id == f"a.b:Net{suffix}-inference-b1-fp32-contiguous-eager-cpu-t2"
    if "+" in suffix:
        with pytest.raises(DlhwError, match="stands in its suite file"):
            Case.parse(found.id)
    else:
        assert Case.parse(found.id) == found


def test_what_is_as_ever_is_written_as_ever(case):
    assert set(case("input_shape = [3, 8, 8]").to_json()) == {
        "kind", "architecture", "input_shape", "mode", "batch_size", "precision", "memory_format", "compile_mode",
        "device", "threads",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "needs one of input_shape = [3, 64, 64], inputs = "),
        ("input_shape = [3]\ninputs = [{shape = [3]}]", "needs one of input_shape"),
        ("inputs = [{shape = [3], dtype = 'int64'}]", "0: int64 needs high: integers are drawn from low to high - 1"),
        ("inputs = {a = {shape = [3], high = 3}}", "a: low and high are for integers, not for float32"),
        ("inputs = {a = {shape = [3], dtype = 'uint8', high = 300}}", "a: uint8 holds no number above 255"),
        ("inputs = {a = {shape = [3], dtype = 'int32', low = 5, high = 5}}", "a: high = 5 is not above low = 5"),
        ("inputs = [{shape = [3], dtype = 'int46'}]", "(did you mean 'int64'?)"),
        ("inputs = [{shap = [3]}]", "unknown key (did you mean 'shape'?)"),
        ("inputs = [{shape = [-3]}]", "should be greater than 0, not -3"),
        ("inputs = 'nowhere'", "nowhere"),
        ("inputs = 3", "not 3"),
        ("loss = 'x'\ninput_shape = [3]", "'x'"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_what_is_wrong(load, table, words):
    with pytest.raises(DlhwError) as caught:
        load(table)
    (line,) = str(caught.value).splitlines()[:1]
    assert "own.toml:" in line
    assert words in str(caught.value)


def test_what_is_no_image_has_no_image_size(load):
    before = SWEEP.replace("mode =", "image_size = [32]\nmode =")
    with pytest.raises(DlhwError, match=r"image_size: a\.b:Net takes no images"):
        load("input_shape = [128]", before)
    (video,) = load("input_shape = [3, 4, 8, 8]", before).cases(BOX)
    assert video.input_shape == (3, 4, 32, 32)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
WHOLE = SWEEP + (
    "inputs = {x = {shape = [3, 8, 8]}, ids = {shape = [16], dtype = 'int64', high = 100}}\nloss = 'a.b:loss'\n"
    "[measure]\nmin_samples = 3\nprecision = 0.5\n[[micro]]\noperation = 'copy'\nsize = [1024]\n"
)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_mutilated_file_is_read_or_refused_in_so_many_words(tmp_path_factory, data):
    text = WHOLE
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 12))
        inserted = data.draw(st.text(alphabet=string.printable + "é\u2028\x00", max_size=6))
        text = text[:place] + inserted + text[place + length :]
    path = tmp_path_factory.getbasetemp() / "mutilated.toml"
    path.write_text(text, encoding="utf-8")
    problem = ""
    try:
        list(suite.load(str(path)).cases(BOX))
    except DlhwError as error:
        problem = str(error)
    assert all(line.startswith(str(path)) for line in problem.splitlines()), "each line names the file"


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
def test_anything_in_place_of_inputs_is_read_or_refused(value):
    try:
        schema.SuiteFile.model_validate({
            "sweep": [{"architecture": "a.b:Net"}], "architectures": {"a.b:Net": {"inputs": value}},
        })  # fmt: skip
    except ValueError:
        return
    assert value


def test_the_documents_examples_are_valid(load):
    from tests.support.runner import ROOT

    blocks = (ROOT / "docs" / "own-nets.md").read_text().split("\n\n")
    examples = [block for block in blocks if "[[sweep]]" in block]
    assert len(examples) == 2
    for block in examples:
        text = "\n".join(line.removeprefix("    ") for line in block.splitlines())
        assert tomllib.loads(text)
        assert list(load(text, "").cases(BOX))
