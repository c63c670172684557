"""One browser for all tests of the page in a process; each page of a test is a tab."""

import pytest

from tests.support.page import CHROMIUM


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with api.sync_playwright() as running:
        found = running.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )  # fmt: skip
        yield found
        found.close()
