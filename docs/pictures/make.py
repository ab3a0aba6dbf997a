"""Makes the pictures of the README and of the guide to the pages, from runs of the quickstart.

    python docs/pictures/make.py [--workspace DIR]

The runs take about five minutes on two CPU cores, if the workspace does not contain them. The
pictures are taken by Debian's chromium through playwright (`make .venv/.test-tools`,
`apt-get install chromium`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).parent
SPEC = FOLDER.parent.parent / "examples" / "quickstart.yaml"
CHROMIUM = "/usr/bin/chromium"
LARGEST = 150_000
"""Largest size of a picture, in bytes."""
RUNS: Sequence[Sequence[str]] = (
    (),
    ("--set", "stages.kto.loss.beta=0.5"),
    ("--set", "stages.kto.loss={use: dpo, beta: 0.1}"),
)
"""The options of `halo run` for each run."""
QUICK = ("--set", "tracking=[]", "--set", "name=pictures")


def halo(*arguments: str) -> None:
    """Runs a command of halo.

    Raises:
        CalledProcessError: When the command fails.
    """
    subprocess.run([sys.executable, "-m", "halo_core.cli", *arguments], check=True)


def make_pages(workspace: Path) -> dict[str, Path]:
    """Runs the specs, and returns the page of the first run and that of the comparison."""
    for options in RUNS:
        halo("run", str(SPEC), "--workspace", str(workspace), *QUICK, *options)
    runs = sorted(workspace.glob("runs/pictures-*/run.json"), key=lambda path: path.stat().st_mtime)
    folders = [str(path.parent) for path in runs[-len(RUNS) :]]
    out = workspace / "pictures"
    halo("compare", *folders, "--workspace", str(workspace), "--out", str(out))
    return {"run": Path(folders[0]) / "report.html", "comparison": out / "comparison.html"}


def take_pictures(browser: Any, pages: dict[str, Path], folder: Path) -> list[Path]:
    """Takes the pictures and returns their files.

    Raises:
        ValueError: When a picture is too large.
    """
    files = [
        _first_screen(browser, pages["run"], folder / "run.png", 860, 640),
        _answers(browser, pages["run"], folder / "answers.png"),
        _first_screen(browser, pages["comparison"], folder / "comparison.png", 860, 700),
        _first_screen(browser, pages["run"], folder / "phone.png", 390, 700, "dark"),
    ]
    for file in files:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"{file}: {file.stat().st_size} bytes; expected at most {LARGEST}")
    return files


def _first_screen(
    browser: Any, page: Path, file: Path, width: int, height: int, scheme: str = "light"
) -> Path:
    view = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    view.goto(page.resolve().as_uri())
    view.screenshot(path=file)
    view.close()
    return file


def _answers(browser: Any, page: Path, file: Path) -> Path:
    """Takes a picture of the first prompts that were lost before and are won now."""
    view = browser.new_page(viewport={"width": 860, "height": 560})
    view.goto(page.resolve().as_uri())
    view.locator("label", has_text="lost, kto won").click()
    view.locator(".block:has(.samples)").evaluate("block => block.scrollIntoView()")
    view.screenshot(path=file)
    view.close()
    return file


def main() -> None:
    """Makes all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--workspace", type=Path, help="a workspace that keeps the runs")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with TemporaryDirectory() as folder, sync_playwright() as play:
        pages = make_pages(arguments.workspace or Path(folder))
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for file in take_pictures(browser, pages, FOLDER):
            print(f"{file}: {file.stat().st_size // 1000} kB")
        browser.close()


if __name__ == "__main__":
    main()
