"""Suite files of a test's own."""

import pytest

from suites import suite
from suites.errors import DlhwError


@pytest.fixture
def load(tmp_path):
    def load(text, *overrides):
        path = tmp_path / "own.toml"
        path.write_text(text)
        return suite.load(str(path), overrides)

    return load


@pytest.fixture
def mistakes(load, tmp_path):
    """The lines of the error that a suite gives, without the folder that it is in."""

    def mistakes(text, *overrides):
        with pytest.raises(DlhwError) as caught:
            load(text, *overrides)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return mistakes
