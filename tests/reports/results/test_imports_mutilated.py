"""Whatever has become of a file: it is imported, or refused in words; never anything else, and never half a file."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.results import export
from reports.results.frames import load
from reports.results.imports import asv, google_benchmark, pytest_benchmark, timm
from reports.results.imports.common import results
from suites.errors import DlhwError
from tests.support.foreign import INFER, NAME, ROWS, asv_file, bench, google_file, pytest_file, run, strict

TABLE = INFER + ROWS
DOCUMENTS = {
    pytest_benchmark: pytest_file(
        bench("a::b[1]", min=0.1, max=0.3, mean=0.2, median=0.2, data=[0.1, 0.2, 0.3], rounds=3),
        bench("a::c", median=0.5), commit_info={"id": "abc"}, version="5.1.0", datetime="2026-01-02T03:04:05",
    ),
    asv: asv_file({
        "m.time_a": [[1.0, None, float("nan")], [["1", "2", "3"]], "v", 0, 1, None, [[1.0, 1.1], None, None]],
        "m.time_b": [[2.0], [], "v"], "m.track_c": [[3.0]],
    }),
    google_benchmark: google_file(
        run("BM_a", 3.0), run("BM_a", 4.0), run("BM_a_mean", 3.5, run_name="BM_a", run_type="aggregate",
                                               aggregate_name="mean"),
        run("BM_b", 0.0, error_occurred=True, error_message="no"),
    ),
}  # fmt: skip
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(10**400), st.just("9" * 400),
    st.just([]), st.just({}), st.lists(st.integers() | st.none(), max_size=3), st.just([[]]), st.just({"x": [None]}),
    st.just(5e-324), st.just(1e308), st.just("NaN"), st.just("-0"), st.just("1_0"), st.just("\u0661"),
)  # fmt: skip
TOOLS = [pytest.param(tool, id=tool.__name__.rpartition(".")[2]) for tool in DOCUMENTS]
MANY = settings(max_examples=150, deadline=None)
"""No time limit: how long an example takes is the machine's affair."""


def places(value, path=()):
    """Where anything is in a document, the whole apart."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(document, path, change):
    """A copy in which `change(container, key)` was done to what is at `path`."""
    copy = json.loads(json.dumps(document))
    place = copy
    for key in path[:-1]:
        place = place[key]
    change(place, path[-1])
    return copy


def read(tool, path):
    """What a tool finds, or the text of its refusal."""
    try:
        return tool.read(path)
    except DlhwError as error:
        return str(error)


def imported_or_refused(tool, raw, name="o.json"):
    """What becomes of these bytes: a file that is read again, whole and strict, or a clear line and no file."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / name, Path(folder) / "out.dlhw.json"
        source.write_bytes(raw)
        found = read(tool, source)
        if isinstance(found, str):
            assert found.startswith(f"{source}:")
            assert len(found.splitlines()) == 1
            return
        assert all(note.isprintable() for note in found.notes)
        export.write_text(json.dumps(results(found.parts), allow_nan=False), target)
        frame = load(target)
        measured = frame[frame["status"] == "measured"]
        assert len(measured) == found.measured > 0
        assert frame["id"].is_unique
        assert (measured["median_seconds"] > 0).all()
        strict(target)
        assert {path.name for path in Path(folder).iterdir()} == {name, target.name}


def text_of(document):
    return json.dumps(document).encode()


@pytest.mark.parametrize("tool", TOOLS)
@MANY
@given(data=st.data())
def test_json_cut_short(tool, data):
    raw = text_of(DOCUMENTS[tool])
    imported_or_refused(tool, raw[: data.draw(st.integers(0, len(raw)))])


@pytest.mark.parametrize("tool", TOOLS)
@MANY
@given(data=st.data())
def test_json_with_bytes_flipped(tool, data):
    imported_or_refused(tool, flipped(text_of(DOCUMENTS[tool]), data))


@pytest.mark.parametrize("tool", TOOLS)
@MANY
@given(data=st.data())
def test_json_with_parts_removed(tool, data):
    document = DOCUMENTS[tool]
    for _ in range(data.draw(st.integers(1, 3))):
        there = list(places(document))
        if there:
            document = changed(document, data.draw(st.sampled_from(there)), lambda place, key: place.pop(key))
    imported_or_refused(tool, text_of(document))


@pytest.mark.parametrize("tool", TOOLS)
@MANY
@given(data=st.data())
def test_json_with_types_changed(tool, data):
    document = DOCUMENTS[tool]
    for _ in range(data.draw(st.integers(1, 3))):
        odd = data.draw(ODD)
        path = data.draw(st.sampled_from(list(places(document))))
        document = changed(document, path, lambda place, key, odd=odd: place.__setitem__(key, odd))
    imported_or_refused(tool, text_of(document))


@pytest.mark.parametrize("tool", TOOLS)
@MANY
@given(
    document=st.recursive(
        ODD,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["benchmarks", "results", "name", "stats", "median", "result_columns"]),
                inner,
                max_size=3,
            )
        ),
    )
)
def test_json_of_any_kind(tool, document):  # fmt: skip
    imported_or_refused(tool, text_of(document))


@MANY
@given(length=st.integers(0, len(TABLE)), encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]))
def test_a_table_cut_short(length, encoding):
    imported_or_refused(timm, TABLE[:length].encode(encoding), NAME)
    imported_or_refused(timm, TABLE.encode(encoding)[:length], NAME)


@MANY
@given(data=st.data())
def test_a_table_with_bytes_flipped(data):
    imported_or_refused(timm, flipped(TABLE.encode(), data), NAME)


@MANY
@given(data=st.data())
def test_a_table_with_cells_removed_or_changed(data):
    cells = [line.split(",") for line in TABLE.splitlines()]
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.sampled_from([row for row in cells if row] or [[""]]))
        column = data.draw(st.integers(0, len(row) - 1))
        row[column : column + 1] = data.draw(
            st.just([]) | ODD.map(lambda odd: [ascii(odd)]) | st.lists(st.text(max_size=9))
        )
    text = "\n".join(",".join(row) for row in cells)
    imported_or_refused(timm, text.encode("utf-8", "surrogatepass"), NAME)


@MANY
@given(raw=st.binary(max_size=200), tool=st.sampled_from([*DOCUMENTS, timm]))
def test_bytes_of_any_kind(raw, tool):
    imported_or_refused(tool, raw, NAME)


def flipped(raw, data):
    copy = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 6))):
        copy[data.draw(st.integers(0, len(copy) - 1))] = data.draw(st.integers(0, 255))
    return bytes(copy)
