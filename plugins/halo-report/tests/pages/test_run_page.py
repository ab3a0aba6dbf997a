import re
from html.parser import HTMLParser

import pytest

from halo_core.testing.component import check_component
from halo_core.workspace.lock import owned
from halo_core.workspace.records import TITLE
from halo_report.options import Html
from halo_report.pages.number_text import number_text
from halo_report.pages.run_page import render_page
from halo_report.read.run_data import read_run
from halo_statistics import proportion, rate_text

SCRIPT = "<script>alert(1)</script>"


class Tags(HTMLParser):
    """Collects the tags of a page and the addresses in them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.addresses = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "srcset")]


@pytest.fixture(scope="module")
def page(make_run, tmp_path_factory):
    return render_page(read_run(make_run(tmp_path_factory.mktemp("page"))))


def test_html_keeps_the_rules_of_components():
    check_component(Html())


def test_html_writes_one_whole_file(write_run):
    run = write_run()
    before = {path.name for path in run.iterdir()}
    path = Html().write(run)
    assert path == run / "report.html"
    assert {path.name for path in run.iterdir()} == before | {"report.html"}
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_the_note_about_a_run_is_on_its_page_as_text(write_run):
    run = write_run()
    TITLE.write(run, {"title": "", "note": f"half of the data {SCRIPT}"})
    page = render_page(read_run(run))
    assert "half of the data &lt;script&gt;" in page
    assert SCRIPT not in page


def test_page_loads_nothing_and_runs_nothing(page):
    tags = Tags(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(tags.tags)
    assert all(address.startswith("#") for address in tags.addresses)
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)


def test_page_shows_stages_figures_win_rates_samples_and_spec(page):
    for text in (
        "win-kto is done",
        "train (kto)",
        "implied reward (beta x nats)",
        "KL estimate (nats)",
        "kto: KL estimate, clipped at 0 in 20 of 40 points",
        "Lengths of the answers",
        "0.609 [0.417, 0.778]",
        "0.583 [0.397, 0.754]",
        "win-sft: tie (orders disagree)",
        "2 of 26 prompts have no target",
        "halo-methods",
        "seed: 0",
        "halo run toy.yaml",
    ):
        assert text in page, text
    assert Tags(page).tags.count("svg") == 4
    assert page.count(" k-all") == 20


def test_ids_in_the_page_are_unique_so_that_figures_do_not_share_clips(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for used in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', page):
        assert "".join(used) in ids


@pytest.mark.usefixtures("drawn")
def test_text_of_models_is_text(write_run):
    page = render_page(read_run(write_run(completion=SCRIPT)))
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page
    assert "script" not in Tags(page).tags


def test_figures_take_the_colour_of_the_page(page):
    assert "#010203" not in page
    assert "currentColor" in page
    assert "prefers-color-scheme: dark" in page


def test_a_run_that_failed_at_once_has_a_page(tmp_path, event_log):
    run = tmp_path / "runs" / "bad"
    run.mkdir(parents=True)
    log = event_log(run)
    log.append("run-started", name="bad", run="bad")
    log.append("run-ended", status="failed", headline="", error=f"ValueError: {SCRIPT}")
    page = Html().write(run).read_text(encoding="utf-8")
    assert "The run ended early." in page
    assert "The run failed: 0 of 0 stages are done." in page
    assert "No stage has started." in page
    assert SCRIPT not in page


def test_page_says_none_where_a_judge_scored_nothing(write_run):
    run = write_run(prompts=6)
    path = run.parent.parent / "stages" / "judge-win-kto" / "verdicts.jsonl"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r'"(win|loss|tie)"', '"unscored"', text), encoding="utf-8")
    page = render_page(read_run(run))
    assert '<td class="num">none</td>' in page


def test_fewer_samples_can_be_asked_for(write_run):
    page = Html(samples=3).write(write_run()).read_text(encoding="utf-8")
    assert page.count(" k-all") == 3
    assert "all prompts: first 3 of 24" in page


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (3.0, "3"), (0.123456, "0.1235"), (5e-7, "5e-07"), (-0.5, "-0.5")]
)
def test_numbers_have_four_digits(value, text):
    assert number_text(value) == text


RESOLVED = """\
name: toy
stages:
  sft: {use: train, loss: {use: sft, per: token}}
  kto: {use: acme/train, objective: {use: kto, beta: 0.1}}
  again: {use: acme/train, objective: {use: kto, beta: 0.1}}
  gone: {use: train, loss: {use: gone/loss}}
  win: {use: judge}
"""


@pytest.mark.usefixtures("drawn")
def test_page_shows_the_value_functions_of_the_losses_used_that_declare_one(write_run):
    run = write_run()
    assert "What the losses assume about people" not in render_page(read_run(run))
    (run / "spec.resolved.yaml").write_text(RESOLVED, encoding="utf-8")
    page = render_page(read_run(run))
    assert "What the losses assume about people" in page
    figure = page[page.index("What the losses assume about people") :]
    assert figure.count(">Kahneman-Tversky<") == figure.count(">kto</text>") == 2
    assert Tags(page).tags.count("svg") == 6


def test_a_value_function_that_breaks_costs_the_figure_only(write_run, tmp_path):
    loss = tmp_path / "broken.py"
    loss.write_text(
        "from halo_core import Loss\n\n\nclass Broken(Loss):\n"
        "    feedback, needs = 'paired', ()\n    def __call__(self, batch): ...\n"
        "    def value(self, gain): return None\n"
    )
    run = write_run()
    spec = f"stages: {{kto: {{loss: {{use: 'file:{loss}:Broken'}}}}}}\n"
    (run / "spec.resolved.yaml").write_text(spec, encoding="utf-8")
    page = render_page(read_run(run))
    assert "What the losses assume about people" not in page
    assert "Answers side by side" in page


JUDGED = """\
stages:
  win-sft: {use: judge, confidence: 0.5, interval: wilson}
  win-kto: {use: judge}
"""


def test_win_rates_have_the_interval_and_the_confidence_of_their_stage(write_run):
    run = write_run()
    page = render_page(read_run(run))
    assert page.count('<td class="num">exact 90 %</td>') == 2
    (run / "spec.resolved.yaml").write_text(JUDGED, encoding="utf-8")
    page = render_page(read_run(run))
    assert '<td class="num">wilson 50 %</td>' in page
    assert '<td class="num">exact 90 %</td>' in page
    counts = {"sft": (6, 11, 6), "kto": (11, 6, 6)}  # wins, losses, ties of the made-up run
    shares = {
        id_: proportion(wins + ties / 2, wins + losses + ties, **options)
        for (id_, (wins, losses, ties)), options in zip(
            counts.items(), ({"confidence": 0.5, "method": "wilson"}, {}), strict=True
        )
    }
    for share in shares.values():
        assert rate_text(share) in page


def test_page_shows_what_the_judges_go_by(write_run, event_log):
    run = write_run()
    assert "length-controlled (halo)" not in render_page(read_run(run))
    metrics = {"win_lc": 0.51234, "win_lc_lo": 0.4, "win_lc_hi": 0.6, "agreement": 0.875}
    where = {"stage": "win-kto", "use": "judge", "folder": "stages/judge-win-kto"}
    event_log(run).append("stage-started", **where, resumed=False)
    event_log(run).append(
        "stage-ended", **where, status="computed", metrics=metrics | {"length_bias": -0.25}
    )
    page = render_page(read_run(run))
    row = page[page.index("length-controlled (halo)") :]
    texts = re.findall(r'<td class="num">([^<]*)</td>', row[: row.index("</table>")])
    assert texts == ["0.512 [0.400, 0.600]", "-0.250", "none", "0.875", "none"]
    assert row[: row.index("</table>")].count("<td>win-kto</td>") == 1


def test_only_the_page_of_a_run_in_progress_loads_itself_again(write_run, event_log):
    run = write_run()
    folder = {"stage": "kto", "use": "train", "folder": "stages/train-kto"}
    event_log(run).append("stage-started", **folder, resumed=True)
    refresh = '<meta http-equiv="refresh" content="60">'
    with owned(run):
        page = Html().write(run).read_text(encoding="utf-8")
    assert refresh in page
    assert "The run is in progress: 5 of 6 stages are done, now kto. So far, kto and its" in page
    page = Html().write(run).read_text(encoding="utf-8")
    assert refresh not in page
    assert "The run was killed in kto: 5 of 6 stages are done." in page
    event_log(run).append("run-ended", status="failed", headline="", error="MemoryError: full")
    with owned(run):
        page = Html().write(run).read_text(encoding="utf-8")
    assert refresh not in page
    assert "The run failed in kto: 5 of 6 stages are done." in page
    assert "MemoryError: full" in page


@pytest.mark.usefixtures("drawn")
def test_a_page_has_at_most_5_mb(write_run):
    path = Html().write(write_run(completion="<moo> & \N{COW FACE} " * 20_000))
    assert 1_000_000 < path.stat().st_size < 5_000_000
    assert "are left out, so that the page stays below 5 MB." in path.read_text(encoding="utf-8")
