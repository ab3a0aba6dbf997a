import json
import re
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_statistics.significance import fisher_exact, mcnemar_exact

AXES = {"method": ["sft", "kto", "dpo", "ppo"], "size": ["1M", "10M"]}
FAILED = {"type": "NotFiniteError", "message": "step 12: <b>nan</b>", "location": None}


@pytest.fixture
def report(suite, capsys, monkeypatch):
    """Runs the command without drawing, because drawing takes seconds."""
    monkeypatch.setattr(
        "halo_report.pages.html.svg_element", lambda plot: f"<svg>{plot.name}</svg>"
    )
    monkeypatch.setattr("halo_report.pages.html.save", lambda plot, path: path)
    return caller(suite, capsys)


@pytest.fixture
def drawn_report(suite, capsys):
    return caller(suite, capsys)


def caller(suite, capsys):
    def run(*arguments):
        where = ("--workspace", str(suite.workspace))
        code = call(["report", *map(str, arguments), *where, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def toy(suite):
    """A suite with a failed cell, a cell that was not started, and one whose folder is missing."""
    sft = suite.run("toy-sft-1M", suite.results(4, 12, ties=4))
    kto = suite.run("toy-kto-1M", suite.results(10, 7, ties=2, unscored=1), tokens=20)
    large = suite.run("toy-kto-10M", suite.results(15, 5), judges=("first", "win"))
    return suite.write(
        "toy",
        AXES,
        [
            (("sft", "1M"), sft, "computed", None),
            (("kto", "1M"), kto, "cached", None),
            (("kto", "10M"), large, "computed", None),
            (("dpo", "1M"), None, "failed", FAILED),
            (("dpo", "10M"), None, "pending", None),
            (("sft", "10M"), None, "pending", None),
            (("ppo", "10M"), "runs/gone", "computed", None),
        ],
    )


def rows_of(found):
    return {(row["method"], row["size"]): row for row in found["rows"]}


def test_cells_have_counts_with_failures_counted_both_ways(toy, report):
    code, found = report("toy")
    assert code == 0
    row = rows_of(found)["kto", "1M"]
    assert (row["wins"], row["losses"], row["ties"], row["unscored"]) == (10, 7, 2, 1)
    assert (row["n"], row["rate"]) == (19, 11 / 19)
    assert (row["failures_lost"]["n"], row["failures_lost"]["rate"]) == (20, 11 / 20)
    assert row["low"] < row["rate"] < row["high"]
    assert (row["run"], row["length_median"]) == ("toy-kto-1M", 21)


def test_cells_without_a_result_are_shown_with_the_reason(toy, report):
    _, found = report("toy")
    missing = {each["name"]: (each["status"], each["why"]) for each in found["missing"]}
    assert missing["1M dpo"] == ("failed", "step 12: <b>nan</b>")
    assert missing["10M dpo"] == ("pending", "")
    assert missing["10M ppo"][0] == "missing"
    assert missing["10M ppo"][1].endswith("runs/gone")
    assert rows_of(found)["dpo", "1M"]["rate"] is None
    page = (toy / "report" / "report.html").read_text(encoding="utf-8")
    assert "1M dpo: failed: step 12: &lt;b&gt;nan&lt;/b&gt;" in page


@pytest.mark.usefixtures("report")
def test_people_are_told_what_is_missing(toy, suite, capsys):
    assert call(["report", "toy", "--workspace", str(suite.workspace)]) == 0
    told = capsys.readouterr().out
    assert "not on this page: 1M dpo: failed: step 12: <b>nan</b>\n" in told
    assert "not on this page: 10M sft, 10M dpo: pending\n" in told
    assert f"page: {toy}/report/report.html" in told


def test_cells_judged_on_the_same_prompts_are_paired(toy, report):
    _, found = report("toy")
    (test,) = found["tests"]
    assert (test["of"], test["size"], test["a"], test["b"]) == ("toy", "1M", "sft", "kto")
    # kto's wins 4..9 beat sft's ties and losses, its ties (10, 11) sft's losses; 19 is unscored.
    assert (test["test"], test["n"]) == ("mcnemar", 19)
    assert test["p"] == test["p_holm"] == pytest.approx(mcnemar_exact(8, 0))
    assert test["difference"] == pytest.approx(6 / 20 - 11 / 19)


def test_cells_judged_on_other_prompts_are_compared_by_their_counts(suite, report):
    first = suite.run("a", suite.results(9, 3))
    second = suite.run("b", suite.results(2, 10))
    path = suite.workspace / "stages" / "b-win" / "verdicts.jsonl"
    path.write_text(path.read_text().replace('"prompt_id": "p', '"prompt_id": "q'))
    cells = [(("sft", "1M"), first, "computed", None), (("kto", "1M"), second, "computed", None)]
    suite.write("other", AXES, cells)
    _, found = report("other")
    (test,) = found["tests"]
    assert (test["test"], test["n"]) == ("fisher", 24)
    assert test["p"] == pytest.approx(fisher_exact((9, 2), (12, 12)))


def test_holm_s_family_is_all_tests_of_the_figure(suite, report):
    cells = []
    for at, size in enumerate(AXES["size"]):
        for place, method in enumerate(AXES["method"][:3]):
            run = suite.run(f"{method}-{size}", suite.results(5 + 6 * place, 25 - 6 * place - at))
            cells.append(((method, size), run, "computed", None))
    suite.write("family", AXES, cells)
    tests = report("family")[1]["tests"]
    assert len(tests) == 6
    assert min(t["p_holm"] for t in tests) == pytest.approx(6 * min(t["p"] for t in tests))


SIDES = ("desirable-or-chosen", "undesirable-or-rejected")


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_files_lie_in_the_suite_s_folder_each_figure_twice(toy, drawn_report):
    _, found = drawn_report("toy")
    names = {Path(path).relative_to(toy / "report").name for path in found["files"]}
    assert names == {path.name for path in (toy / "report").iterdir()}
    figures = {"win-rates", "lengths", "value-functions", "value-slopes"}
    figures |= {"curves-loss", "length-against-win-rate"}
    figures |= {f"curves-reward--{side}" for side in SIDES} | {"curves-KL-estimate--nats"}
    assert names == {
        "report.html",
        *(f"{name}.{kind}" for name in figures for kind in ("png", "svg")),
    }
    assert (toy / "report" / "win-rates.svg").read_text().startswith("<svg style=")
    page = (toy / "report" / "report.html").read_text(encoding="utf-8")
    assert ">no result</text>" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "<script" not in page


def test_another_judge_stage_can_be_taken_and_its_absence_is_told(toy, report):
    _, found = report("toy", "--judge-stage", "first")
    assert rows_of(found)["kto", "10M"]["rate"] == 0.75
    missing = {each["name"]: each["why"] for each in found["missing"]}
    assert missing["1M kto"] == "no verdicts of a stage 'first'; its stages: kto, win"
    code, found = report("toy", "--judge-stage", "wins")
    assert code == 2
    assert found["error"]["message"].startswith("no run has verdicts of a stage 'wins'; expected")


def test_a_judge_stage_that_is_not_done_is_no_result(suite, report, event_log):
    run = suite.run("half", suite.results(3, 3))
    log = event_log(suite.workspace / run)
    log.append("run-started", name="half", run="half")
    log.append("stage-started", stage="win", use="judge", folder="stages/half-win", resumed=True)
    log.append("run-ended", status="interrupted", headline="", error="stopped")
    _, found = report("half")
    assert found["rows"][0]["rate"] is None
    assert found["missing"][0]["status"] == "interrupted"


def test_an_imbalance_suite_has_the_curve_with_tests_against_dpo(suite, drawn_report):
    names = ["desirable-0.1", "desirable-0.5", "1.0", "dpo"]
    runs = [suite.run(f"r{i}", suite.results(4 + 3 * i, 16 - 3 * i)) for i in range(4)]
    cells = [((n,), run, "computed", None) for n, run in zip(names, runs, strict=True)]
    folder = suite.write("imbalance", {"kept": names}, cells)
    _, found = drawn_report("imbalance")
    assert [(r["data"], r["fraction"], r["rate"]) for r in found["imbalance"]] == [
        ("desirable", 0.1, 0.2),
        ("desirable", 0.5, 0.35),
        ("desirable", 1.0, 0.5),
    ]
    assert [a["line"] for r in found["imbalance"] for a in r["against"]] == ["dpo"] * 3
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "Imbalanced data" in page
    assert "p against dpo (Holm)" in page


def test_runs_are_compared_side_by_side(toy, suite, report):
    code, found = report("toy-sft-1M", "runs/toy-kto-1M", suite.workspace / "runs/toy-kto-10M")
    assert code == 2
    assert (
        "no run or suite 'runs/toy-kto-1M'. Did you mean 'toy-kto-1M'? Existing: suite toy-1234"
        in (found["error"]["message"])
    )
    code, found = report("toy-sft-1M", "toy-kto-1M", suite.workspace / "runs/toy-kto-10M")
    assert [row["run"] for row in found["rows"]] == ["toy-sft-1M", "toy-kto-1M", "toy-kto-10M"]
    assert len(found["tests"]) == 3
    assert "/reports/toy-sft-1M+toy-kto-1M+toy-kto-10M/" in found["files"][0]


def test_a_misspelt_suite_gets_the_nearest_name_and_some_of_those_there(toy, suite, report):
    for number in range(9):
        suite.run(f"more-{number}", suite.results(1, 1))
    code, found = report("toi-1234")
    assert code == 2
    message = found["error"]["message"]
    assert (
        "no run or suite 'toi-1234'. Did you mean 'toy-1234'? Existing: suite toy-1234" in message
    )
    assert message.endswith(" more")


def test_several_suites_and_runs_share_a_page(toy, suite, report, tmp_path):
    run = suite.run("other", suite.results(1, 1))
    suite.write("second", {"method": ["sft"]}, [(("sft",), run, "computed", None)])
    _, found = report("toy", "second", "other", "--out", tmp_path / "both")
    assert [row["of"] for row in found["rows"]] == ["toy"] * 7 + ["second", "other"]
    names = {Path(path).name for path in found["files"]}
    assert {"toy-win-rates.png", "second-win-rates.svg", "other-win-rates.png"} <= names
    assert len(names) == len(found["files"])
    page = (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    assert "<h2>second: Win rates</h2>" in page


def test_a_suite_of_which_nothing_was_judged_says_so(suite, report):
    folder = suite.write("empty", AXES, [(("sft", "1M"), None, "pending", None)])
    code, found = report("empty")
    assert (code, found["files"]) == (0, [str(folder / "report" / "report.html")])
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "1M sft: pending" in page


def test_a_beginning_of_a_name_is_enough_where_only_one_begins_so(toy, suite, report):
    assert report("to")[0] == 0
    suite.write("town", {"method": ["sft"]}, [])
    code, found = report("to")
    assert code == 2
    assert found["error"]["message"] == ("'to' is the beginning of 2 names: town-1234, toy-1234")


@pytest.mark.parametrize("text", ["{}", "[]", '{"axes": {"a": ["b"]}, "cells": [{}]}'])
def test_a_record_that_is_no_suite_s_is_told(toy, report, text):
    (toy / "suite.json").write_text(text)
    code, found = report("toy")
    assert code == 2
    assert found["error"]["location"] == str(toy / "suite.json")
    assert found["error"]["message"].endswith("Remove it; halo run SUITE writes it again")


def test_options_without_effect_are_told(toy, report, tmp_path):
    code, found = report("toy-sft-1M", "--x", "method")
    assert (code, found["error"]["location"]) == (2, "--x")
    assert found["error"]["message"] == (
        "has no effect with runs: only suites have axes; leave it out"
    )
    code, found = report("--counts", "c.csv", "--out", tmp_path, "--judge-stage", "win")
    assert found["error"]["message"] == "has no effect with --counts; leave it out"
    code, found = report()
    assert found["error"]["message"] == (
        "expected runs or suites by name, or --counts FILE: one of the two"
    )


TRACKERS = """\
from pathlib import Path

from halo_core import Tracker


class Takes(Tracker):
    '''Writes down what it was given.'''

    def open(self, run, workspace):
        raise NotImplementedError

    def take_report(self, report, suite, workspace):
        names = sorted(path.name for path in report.iterdir() if path.suffix == '.html')
        (workspace / 'taken').write_text(f'{names} {report} {suite}')
        return True


class Breaks(Takes):
    '''Is out of reach.'''

    def take_report(self, report, suite, workspace):
        raise OSError('no route to http://ann:sesame@host')


class Forgets(Takes):
    '''Does not say whether it took it.'''

    def take_report(self, report, suite, workspace):
        return None


class Ignores(Tracker):
    '''Takes no reports.'''

    def open(self, run, workspace):
        raise NotImplementedError
"""


def test_a_suite_s_trackers_get_the_report_and_a_broken_one_only_warns(
    toy, suite, report, tmp_path, capsys
):
    path = tmp_path / "trackers.py"
    path.write_text(TRACKERS)
    names = ("Breaks", "Takes", "Forgets", "Ignores")
    tracking = [{"use": f"file:{path}:{name}"} for name in names]
    record = {"name": "toy-kto-1M", "tracking": tracking}
    (suite.workspace / "runs" / "toy-kto-1M" / "run.json").write_text(json.dumps(record))
    code, found = report("toy")
    assert code == 0
    assert [(t["use"].rpartition(":")[2], t["status"]) for t in found["trackers"]] == [
        ("Breaks", "failed"),
        ("Takes", "sent"),
        ("Forgets", "failed"),
    ]
    assert "no route to" in found["trackers"][0]["why"]
    assert "sesame" not in found["trackers"][0]["why"]
    assert found["trackers"][2]["why"].endswith(
        "Forgets.take_report() returned None; expected True where it took the report, else False, "
        "which an older halo did not ask for"
    )
    taken = (suite.workspace / "taken").read_text()
    assert taken == f"['report.html'] {toy / 'report'} {toy}"
    assert call(["report", "toy", "--workspace", str(suite.workspace)]) == 0
    assert "Breaks.take_report() raised OSError: no route to" in capsys.readouterr().err


def test_columns_and_series_that_were_never_begun_are_in_the_json_but_not_in_the_figures(
    suite, report
):
    done = suite.run("part-sft-1M", suite.results(4, 12))
    cells = [(("sft", "1M"), done, "computed", None), (("kto", "1M"), None, "failed", FAILED)]
    cells += [((m, "1M"), None, "pending", None) for m in ("dpo", "ppo")]
    cells += [((m, "10M"), None, "pending", None) for m in AXES["method"]]
    folder = suite.write("part", AXES, cells)
    _, found = report("part")
    assert len(found["rows"]) == 8
    assert len(found["missing"]) == 7
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    below = page.partition("Counts and exact")[2]
    assert [name in below for name in ("sft", "kto", "dpo", "10M")] == [True, True, False, False]


def test_many_cells_without_a_result_are_counted_and_some_are_named(suite, report):
    done = suite.run("long-sft-1M", suite.results(4, 12))
    names = ["sft", *(f"m{i}" for i in range(9))]
    cells = [((name, "1M"), None, "pending", None) for name in names[1:]]
    folder = suite.write(
        "long",
        {"method": names, "size": ["1M"]},
        [(("sft", "1M"), done, "computed", None), *cells],
    )
    report("long")
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "9 cells (1M m0, 1M m1, 1M m2, 1M m3, 1M m4, 1M m5, ...): pending" in page
    assert "m6" not in page


def test_a_run_whose_record_is_gone_is_reported_with_a_sentence(suite, report, capsys):
    suite.run("old-1", suite.results(9, 3))
    suite.run("new-2", suite.results(5, 7))
    (suite.workspace / "runs" / "new-2" / "run.json").write_text('{"name": "new-2"}')
    sentence = "old-1: run.json is gone: the command, the components and the versions of this run"
    code, found = report("old-1", "new-2")
    assert code == 0
    assert [note.startswith(sentence) for note in found["notes"]] == [True]
    page = suite.workspace / "reports" / "old-1+new-2" / "report.html"
    assert sentence in page.read_text(encoding="utf-8")
    assert call(["report", "old-1", "--workspace", str(suite.workspace)]) == 0
    assert f"not on this page: {sentence}" in capsys.readouterr().out


def test_the_page_of_a_suite_begins_with_the_verdict_and_its_axes(suite, report):
    names = ("sft", "kto")
    runs = [
        suite.run(f"s-{n}", suite.results(6 + 12 * i, 24 - 12 * i)) for i, n in enumerate(names)
    ]
    cells = [((n, "1M"), run, "computed", None) for n, run in zip(names, runs, strict=True)]
    folder = suite.write("small", {"method": names, "size": ["1M"]}, cells)
    report("small")
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    begin = page[page.index("<body>") : page.index("</header>")]
    assert "1M/kto has the highest win rate, 0.600 [" in begin
    assert "and beats 1M/sft." in begin
    assert "<dd>method: sft, kto; size: 1M.</dd>" in begin
    assert '<div class="label">1M/kto</div>' in page


def test_the_page_of_one_run_begins_with_its_verdict(suite, report):
    suite.run("alone-1", suite.results(18, 2))
    report("alone-1")
    page = (suite.workspace / "reports" / "alone-1" / "report.html").read_text(encoding="utf-8")
    begin = page[page.index("<h1") : page.index("</h1>")]
    assert "alone-1 beats its rival with a win rate of 0.900 [" in begin


def test_many_runs_whose_records_are_gone_are_counted(suite, report):
    names = [suite.run(f"r-{i}", suite.results(9, 3)).removeprefix("runs/") for i in range(8)]
    _, found = report(*names)
    (note,) = found["notes"]
    assert note.startswith("r-0, r-1, r-2, r-3, r-4, r-5 and 2 more: run.json is gone")
