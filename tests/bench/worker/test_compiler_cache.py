"""What a machine's first compilation makes, kept from one run to the next."""

import json

import pytest

from bench.machine import cache
from bench.worker.compiler_cache import warm

PROBE, MARK = "ab/probe.so", "ab/probe.so.load_ok"
CONTENT = b"\x7fELF\x00\xff"


class Compiler:
    """Makes in `folder` what is not there yet."""

    def __init__(self, folder):
        self.folder, self.made = folder, []

    def compile(self):
        for name, content in ((PROBE, CONTENT), (MARK, b"")):
            path = self.folder / name
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
                self.made.append(name)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run's warming in an empty folder of its own: the files that had to be made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(number, version="2.14"):
        folder = tmp_path / str(number)
        folder.mkdir()
        compiler = Compiler(folder)
        warm(folder, version, compiler.compile)
        assert (folder / PROBE).read_bytes() == CONTENT
        assert (folder / MARK).read_bytes() == b""
        return compiler.made

    return run


def test_it_is_made_once_for_each_torch(run):
    assert run(1) == [PROBE, MARK]
    assert run(2) == []
    assert run(3, version="2.15") == [PROBE, MARK]


@pytest.mark.parametrize("text", ["", '{"ab/probe.so": "f0V', "[]", '{"ab/probe.so": "?"}', '{"ab/probe.so": 1}'])
def test_what_is_damaged_is_made_anew(run, text):
    run(1)
    path = cache.path_of("compiler/torch-2.14")
    path.write_text(text)
    assert run(2) == [PROBE, MARK]
    assert run(3) == []


def test_what_another_compiler_made_is_kept_beside_it(run):
    run(1)
    path = cache.path_of("compiler/torch-2.14")
    other = {name.replace("probe", "other"): content for name, content in json.loads(path.read_text()).items()}
    path.write_text(json.dumps(other))
    assert run(2) == [PROBE, MARK]
    assert json.loads(path.read_text()).keys() == {PROBE, MARK, *other}


def test_a_home_that_cannot_be_written_to_keeps_nothing_and_fails_nothing(run, tmp_path):
    (tmp_path / "cache").write_text("a file, and no folder")
    assert run(1) == [PROBE, MARK]
    assert run(2) == [PROBE, MARK]
