"""The first screen that `halo ui` opens answers which run won, by how much, and what differs."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_mlflow.store.metric_keys import LENGTH, WIN_RATE
from halo_mlflow.store.store import choose_store
from halo_mlflow.ui.pages import start_pages
from halo_mlflow.ui.server import served, server_command, server_environment
from halo_mlflow.view.saved_view import RUNS_ONLY, TAG, view_text
from halo_mlflow.view.state_3_17 import page_state

CHROMIUM = "/usr/bin/chromium"
SHOTS = "HALO_SCREENSHOTS"
SIZE = {"width": 1500, "height": 1000}
BEST_TO_WORST = ["kto-b0.1-s2", "dpo-b0.1-s2", "kto-b0.5-s2", "kto-b0.1-s2-lr0.0005"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which(CHROMIUM), reason=f"no {CHROMIUM} on this machine"),
]


@pytest.fixture(scope="module")
def start_page(judged_workspace: Path) -> Iterator[str]:
    """The page that `halo ui --open` opens, while a server serves it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = choose_store(f"sqlite:///{judged_workspace / 'mlflow.db'}", judged_workspace)
    base = f"http://127.0.0.1:{port}"
    command, environment = server_command("127.0.0.1", port), server_environment(store, os.environ)
    with served(command, environment, judged_workspace, base, lambda: False):
        (page,) = start_pages(store, base).values()
        yield page


@pytest.fixture(scope="module")
def page(start_page: str) -> Iterator[Any]:
    """A page of a browser that has opened MLflow before, so that its assistant stays closed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(60_000)
        seen = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"
        page.add_init_script(f"localStorage.setItem('{seen}', 'true')")
        yield page
        browser.close()


def on_screen(page: Any, text: str) -> bool:
    """Returns whether a text can be read without scrolling."""
    boxes = [each.bounding_box() for each in page.get_by_text(text).all()]
    return any(
        box is not None
        and box["y"] + box["height"] <= SIZE["height"]
        and box["x"] + 20 < SIZE["width"]
        for box in boxes
    )


def picture(page: Any, name: str, folder: Path) -> None:
    page.wait_for_timeout(1_000)  # The bars grow.
    page.screenshot(path=Path(os.environ.get(SHOTS, folder)) / f"{name}.png")


def test_the_first_screen_has_win_rates_lengths_and_what_differs(
    page: Any, start_page: str, tmp_path: Path
) -> None:
    page.goto(start_page)
    page.get_by_text("stages.kto.learning_rate").first.wait_for()
    page.locator(".bartext, .barlayer text").first.wait_for()
    picture(page, "mlflow-view", tmp_path)
    for text in (
        "Highest win rate: kto-b0.1-s2 0.716 [0.658, 0.769]",
        "Which run won, by how much, and is it length?",
        "answer/win rate",
        "answer/length-controlled win rate",
        "answer/median length",
        "What differs between the specs",
        "stages.kto.learning_rate",
    ):
        assert on_screen(page, text), text
    names = page.locator(".ag-row a").all_inner_texts()
    assert [name for name in names if name] == BEST_TO_WORST
    bars = page.locator(".barlayer text").all_text_contents()
    assert {"0.72", "0.69", "0.64", "0.55", "0.70", "0.58"} <= set(bars)
    assert not page.get_by_text("share key").count()


def test_the_table_has_the_intervals_and_the_options_that_differ(
    page: Any, start_page: str, tmp_path: Path
) -> None:
    page.goto("about:blank")
    page.goto(start_page.replace("&compareRunsMode=CHART", ""))
    page.get_by_text("0.716 [0.658, 0.769]").wait_for()
    picture(page, "mlflow-table", tmp_path)
    for text in ("halo.win", "0.702 [0.640, 0.758]", "0.584 [0.517, 0.648]", "0.0005", "dpo"):
        assert on_screen(page, text), text
    # The table adds cells to the page in any order; a cell's number says where it is shown.
    columns = page.eval_on_selector_all(
        ".ag-header-cell",
        """cells => cells
            .map(cell => [Number(cell.getAttribute('aria-colindex')), cell.getAttribute('col-id')])
            .sort((one, other) => one[0] - other[0])
            .map(numbered => numbered[1])""",
    )
    assert columns.index("tags.`halo.win`") < columns.index("metrics.`answer/median length`")


def test_without_the_view_the_answer_is_still_the_first_section(page: Any, start_page: str) -> None:
    page.goto("about:blank")
    page.goto(start_page.replace("&viewStateShareKey=halo", ""))
    page.locator(".barlayer text").first.wait_for()
    for text in ("answer/win rate", "answer/length-controlled win rate", "answer/median length"):
        assert on_screen(page, text), text
    page.get_by_role("button", name="Views").first.click()
    page.get_by_text("halo", exact=True).first.wait_for()


def test_a_view_that_had_to_be_packed_opens_too(
    page: Any, start_page: str, judged_workspace: Path
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{judged_workspace / 'mlflow.db'}")
    metrics = [WIN_RATE, LENGTH, *(f"upstream.s{number}/train/loss" for number in range(200))]
    text = view_text("packed", page_state(metrics, ["stages.kto.loss.beta"], RUNS_ONLY), 1, 1)
    assert json.loads(text)["state"].startswith("deflate;")
    client.set_experiment_tag("1", f"{TAG}packed", text)
    page.goto("about:blank")
    page.goto(start_page.replace("=halo", "=packed"))
    page.get_by_text("stages.kto.loss.beta").first.wait_for()
    assert on_screen(page, "Which run won, by how much, and is it length?")
