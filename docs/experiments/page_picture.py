"""The pictures of the page in README and docs: of real results of several machines, by a browser.

    python docs/experiments/page_picture.py RESULTS.json... --chromium PATH [-o docs/page.png] [--address "net=*"]

Needs playwright. `--address` is what stands behind the # of a page on which something was chosen.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright


def main() -> None:
    """Make the page of the results, and take its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+")
    parser.add_argument("--chromium", required=True)
    parser.add_argument("-o", "--output", default="docs/page.png")
    parser.add_argument("--address", default="")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        command = [sys.executable, "-P", "-c", "from reports.cli import main; main()", "report", *options.results]
        subprocess.run([*command, "-o", str(page)], check=True)
        picture(page, options)


def picture(page: Path, options: argparse.Namespace) -> None:
    """Of the first screen, once its charts are there."""
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        size = {"width": options.width, "height": options.height}
        tab = browser.new_page(viewport=size, color_scheme="dark" if options.dark else "light")
        tab.goto(f"{page.as_uri()}#{options.address}")
        tab.wait_for_selector("html[data-chosen]")
        tab.wait_for_selector(".plot .main-svg")
        tab.screenshot(path=options.output)
        browser.close()


if __name__ == "__main__":
    main()
