"""The pages in a browser: three widths, light and dark, without scripts and without a network."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_report.options import Html

CHROMIUM = "/usr/bin/chromium"
MAKE = Path(__file__).parents[4] / "docs" / "pictures" / "make.py"
SHOTS = "HALO_SCREENSHOTS"
SIZES = {390: 844, 900: 900, 1400: 900}
"""Heights by width: a phone, half a screen, and a laptop."""
SCHEMES = ("light", "dark")
CONTROLLED = {"win_lc": 0.4, "win_lc_lo": 0.3, "win_lc_hi": 0.52, "baseline_len": 5.0}
SPEC = """\
name: toy
stages:
  sft: {{use: train, loss: {{use: sft}}, learning_rate: 0.001, from: model}}
  kto: {{use: train, loss: {{use: kto, beta: {beta}}}, learning_rate: 0.0002, from: sft}}
  win-sft: {{use: judge, against: target}}
  win-kto: {{use: judge, against: target}}
"""
ATTACK = "<img src=http://198.51.100.1/x onerror=alert(1)>"
QUESTIONS = [
    "By how much?",
    "Is it length?",
    "What changed in the answers?",
    "What differs in the specs?",
]

pytestmark = [
    pytest.mark.slow(seconds=1),
    pytest.mark.skipif(not shutil.which(CHROMIUM), reason=f"no {CHROMIUM} on this machine"),
]


@pytest.fixture(scope="module")
def workspace(make_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: `toy-1234`, and `toy-5678` with another beta, which loses more often."""
    folder: Path = tmp_path_factory.mktemp("pages") / "workspace"
    losing = ("loss", "loss", "tie", "win", "loss")
    common = {"prompts": 60, "completion": f"A cow says moo. {ATTACK}", "judged": CONTROLLED}
    runs = [make_run(folder, **common), make_run(folder, name="toy-5678", wins=losing, **common)]
    for run, beta in zip(runs, (0.1, 0.5), strict=True):
        (run / "spec.resolved.yaml").write_text(SPEC.format(beta=beta), encoding="utf-8")
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        record["title"] = f"kto-b{beta}-s0"
        (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pages(workspace: Path) -> dict[str, Path]:
    """The page of a run, of a comparison, and of two runs with the files of the figures."""
    where = ("--workspace", str(workspace))
    assert call(["compare", "toy-1234", "toy-5678", *where, "--json"]) == 0
    assert call(["report", "toy-1234", "toy-5678", *where, "--json"]) == 0
    return {
        "run": Html().write(workspace / "runs" / "toy-1234"),
        "comparison": workspace / "comparisons" / "toy-1234+toy-5678" / "comparison.html",
        "report": workspace / "reports" / "toy-1234+toy-5678" / "report.html",
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any, pages: dict[str, Path], tmp_path: Path) -> Iterator[Any]:
    """Opens a page, with scripts switched off, and takes a picture of its first screen."""
    contexts = []

    def run(name: str, width: int, scheme: str) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": SIZES[width]},
            color_scheme=scheme,
            java_script_enabled=False,
        )
        contexts.append(context)
        page = context.new_page()
        page.requested = []
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(pages[name].as_uri())
        shots = Path(os.environ.get(SHOTS, tmp_path))
        page.screenshot(path=shots / f"{name}-{width}-{scheme}.png")
        return page

    yield run
    for context in contexts:
        context.close()


def every_view(test: Any) -> Any:
    for argument, values in {"scheme": SCHEMES, "width": SIZES}.items():
        test = pytest.mark.parametrize(argument, list(values))(test)
    return pytest.mark.parametrize("name", ["run", "comparison", "report"])(test)


@every_view
def test_the_first_screen_has_the_verdict_and_answers_the_five_questions(
    opened: Any, name: str, width: int, scheme: str
) -> None:
    page = opened(name, width, scheme)
    verdict = page.locator("h1").inner_text()
    if name == "run":
        # The two readings of the win rate lead to different conclusions, so both are in it.
        assert re.match(r"kto beats the target .* 0\.\d+ \[.*, but length may explain", verdict)
    else:
        assert re.match(r"kto-b0\.1-s0 has the highest win rate, 0\.\d+ \[.*, and beats", verdict)
    questions = page.locator(".questions dt").all_inner_texts()
    assert questions == ["Which model won?" if name == "run" else "Which run won?", *QUESTIONS]
    for answer in page.locator(".questions dd").all():
        assert len(answer.inner_text()) > 20
        box = answer.bounding_box()
        assert box["y"] + box["height"] <= SIZES[width]


@every_view
def test_nothing_is_wider_than_the_screen_or_too_small_to_read(
    opened: Any, name: str, width: int, scheme: str
) -> None:
    page = opened(name, width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Wide figures are scrolled, and not made smaller.
    assert page.locator("figure.wide svg").count() == 2 * (name == "report")
    for figure in page.locator("figure svg").all():
        box = figure.bounding_box()
        drawn = float(figure.get_attribute("viewBox").split()[2]) * 96 / 72
        # The text of a figure has 9 points. Below 8 px it would be hard to read.
        assert 9 * 96 / 72 * box["width"] / drawn >= 8


@pytest.mark.parametrize("name", ["run", "comparison", "report"])
def test_the_page_follows_the_light_or_dark_setting(opened: Any, name: str) -> None:
    def colours(scheme: str) -> tuple[int, int]:
        page = opened(name, 900, scheme)
        style = "getComputedStyle(document.body)"
        found = (page.evaluate(f"{style}.{which}") for which in ("backgroundColor", "color"))
        background, ink = (sum(map(int, re.findall(r"\d+", text)[:3])) for text in found)
        return background, ink

    light, dark = colours("light"), colours("dark")
    assert light[0] - light[1] > 400
    assert dark[1] - dark[0] > 400


@pytest.mark.parametrize("name", ["run", "comparison", "report"])
def test_texts_of_models_are_text_and_nothing_is_loaded(
    opened: Any, pages: dict[str, Path], name: str
) -> None:
    page = opened(name, 1400, "light")
    assert page.requested == [pages[name].as_uri()]
    assert page.locator("img, script, link, iframe").count() == 0
    assert ATTACK in page.locator(".column .text").first.inner_text()
    assert pages[name].stat().st_size < 5_000_000


def test_a_button_shows_the_prompts_that_were_lost_before_and_are_won_now(opened: Any) -> None:
    page = opened("run", 900, "light")
    cards = page.locator(".card:visible")
    assert cards.count() == 20
    page.locator("label", has_text="sft lost, kto won").click()
    assert cards.count() == 14
    for card in cards.all()[:3]:
        badges = card.locator(".badge").all_inner_texts()
        assert badges[:2] == ["win-sft: loss", "win-kto: win"]
    assert cards.first.locator("mark").count() > 0


def test_the_page_of_a_run_has_its_figures_and_tables(opened: Any) -> None:
    page = opened("run", 1400, "light")
    headings = page.locator(".block h2").all_inner_texts()
    assert headings[:4] == [
        "Win rates against the target",
        "Answers side by side",
        "Training: kto",
        "Training: sft",
    ]
    assert page.locator("figcaption").first.inner_text() == "kto: loss"
    header = page.locator("th:visible").all_inner_texts()
    assert header == ["stage", "does", "status", "time", "outcome"]
    # Everything after the stages is folded.
    folded = page.locator("details.block h2").all_inner_texts()
    assert folded[-4:] == [
        "All numbers",
        "The run",
        "Resolved spec: every default written out",
        "Spec as given",
    ]


def test_the_page_of_a_comparison_has_its_figures_and_tables(opened: Any) -> None:
    page = opened("comparison", 1400, "light")
    assert page.locator(".range .label").all_inner_texts() == ["kto-b0.1-s0", "kto-b0.5-s0"]
    captions = page.locator("figcaption:visible").all_inner_texts()
    assert captions[:2] == ["Length of the answers against the win rate", "kto loss"]
    assert "KL estimate (nats)" in captions
    assert page.locator("th:visible").all_inner_texts() == ["option", "kto-b0.1-s0", "kto-b0.5-s0"]
    row = page.locator("td:visible").all_inner_texts()
    assert row == ["stages.kto.loss.beta", "0.1", "0.5"]


def test_the_command_of_the_docs_takes_the_pictures(
    browser: Any, pages: dict[str, Path], tmp_path: Path
) -> None:
    found = importlib.util.spec_from_file_location("make_pictures", MAKE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    files = module.take_pictures(browser, pages, tmp_path)
    assert [file.name for file in files] == [
        "run.png",
        "answers.png",
        "comparison.png",
        "phone.png",
    ]
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in files)
