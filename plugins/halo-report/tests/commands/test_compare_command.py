"""`halo compare`: one table of runs, the tests between them, and runs that cannot be compared."""

import csv
import json
import re
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_statistics import (
    length_controlled_rate,
    mcnemar_exact,
    paired_difference,
    proportion,
    rate_text,
)

TRACKER = """
from halo_core.tracker import Tracker

class Shows(Tracker):
    def open(self, run, workspace):
        raise NotImplementedError

    def compare_runs(self, runs, workspace):
        if workspace.name == "broken":
            raise ConnectionError("no answer from http://ann:sesame@host")
        here = [run for run in runs if run.parent.parent == workspace]
        link = "http://host/?" + "&".join(run.name for run in here)
        absent = [str(run) for run in runs if run not in here]
        return {"label": "Board", "url": link, "ui": "start it", "absent": absent}
"""


@pytest.fixture
def compare(suite, capsys):
    """Runs the command with --json in the test's own workspace; figures are only painted."""

    def run(*arguments):
        where = ("--workspace", str(suite.workspace))
        code = call(["compare", *map(str, arguments), *where, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def told(suite, capsys):
    """Runs the command without --json, and returns its output."""

    def run(*arguments):
        code = call(["compare", *map(str, arguments), "--workspace", str(suite.workspace)])
        found = capsys.readouterr()
        return code, found.out + found.err

    return run


@pytest.fixture
def two(suite):
    """`good` wins and `bad` loses on six of twenty prompts."""
    suite.run("good-1", suite.results(14, 4, ties=1, unscored=1), tokens=20)
    suite.run("bad-1", suite.results(8, 12), loss="sft")


def record(suite, run, judge=None, sampler=None, verdicts=None, **judging):
    """Writes the records of the stages `a` (train), `answers` and `win` of a run."""
    stages = suite.workspace / "stages"
    made = [("a", "kto", "train"), ("answers", "answers", "sample"), ("win", "win", "judge")]
    listed = [
        {"id": id_, "folder": f"stages/{run}-{name}", "use": use, "key": id_, "product": "x"}
        for id_, name, use in made
    ]
    listed[0]["loss"] = "kto"
    listed[1]["models"] = {"from": "a"}
    listed[2]["inputs"] = {"of": "answers"}
    (suite.workspace / "runs" / run / "run.json").write_text(json.dumps({"stages": listed}))
    options = {"judge": {"use": "gpt-4", "version": "1", "options": judge or {"model": "m"}}}
    tree = {"orders": "both", "against": "target", **judging}
    write_stage(stages / f"{run}-win", tree, options)
    sampling = {"top_p": 0.95, **(sampler or {})}
    write_stage(stages / f"{run}-answers", sampling, sampling)
    if verdicts:
        (stages / f"{run}-win" / "verdicts.jsonl").write_text(
            "".join(json.dumps(verdict) + "\n" for verdict in verdicts)
        )


def write_stage(folder, tree, options):
    folder.mkdir(exist_ok=True)
    identity = {"stage": {"options": options}, "data": {}}
    nothing = {"models": {}, "inputs": {}, "data": {}, "cache": "", "events": ""}
    told = {"id": "", "key": "", "seed": 1, "stage": tree, "identity": identity}
    (folder / "stage.json").write_text(json.dumps(told | nothing))


def points(suite, run):
    worth = {"win": 1.0, "tie": 0.5, "loss": 0.0}
    path = suite.workspace / "stages" / f"{run}-win" / "verdicts.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        line["prompt_id"]: worth[line["result"]] for line in lines if line["result"] != "unscored"
    }


def test_a_row_has_counts_the_exact_interval_and_both_readings_of_failures(two, compare):
    code, found = compare("good", "bad")
    assert code == 0
    good, bad = found["rows"]
    assert [good["wins"], good["losses"], good["ties"], good["unscored"]] == [14, 4, 1, 1]
    assert (good["n"], good["rate"]) == (19, pytest.approx(14.5 / 19))
    assert good["rate_failures_lost"] == pytest.approx(14.5 / 20)
    assert good["low"] < good["rate"] < good["high"]
    assert (good["length_median"], bad["length_median"]) == (21, 11)
    assert (good["label"], bad["label"]) == ("good-1", "bad-1")


def test_confidence_widens_every_interval(two, compare):
    narrow, wide = (compare("good", "bad", "--confidence", c)[1] for c in (0.8, 0.99))
    for key in ("rows", "tests"):
        for small, large in zip(narrow[key], wide[key], strict=True):
            assert large["low"] < small["low"]
            assert large["high"] > small["high"]


def test_runs_on_the_same_prompts_are_tested_in_pairs(two, suite, compare):
    _, found = compare("good", "bad")
    (test,) = found["tests"]
    wanted = paired_difference(points(suite, "good-1"), points(suite, "bad-1"))
    assert (test["test"], test["n"]) == ("mcnemar", wanted.n)
    assert (test["low"], test["high"]) == (wanted.low, wanted.high)
    assert test["difference"] == wanted.difference
    assert test["p"] == pytest.approx(mcnemar_exact(wanted.first_better, wanted.second_better))


def test_the_length_controlled_interval_has_the_confidence_that_was_asked_for(suite, compare):
    for run, wins in (("first", 24), ("second", 12)):
        suite.run(run, ())
        results = suite.results(wins, 36 - wins)
        texts = [{"completion": "x" * (9 - i % 5), "baseline": "y" * 6} for i in range(36)]
        record(
            suite,
            run,
            verdicts=[suite.verdict(i, result, **texts[i]) for i, result in enumerate(results)],
        )
        events = suite.workspace / "runs" / run / "events.jsonl"
        told = '"metrics": {"win_lc": 0.1, "win_lc_lo": 0.0, "win_lc_hi": 0.9}'
        before, metrics, after = events.read_text().rpartition('"metrics": {}')
        assert metrics
        # A line that is changed by hand has no check value.
        events.write_text(before + told + re.sub(', "crc": "[0-9a-f]{8}"', "", after))
    found = [compare("first", "second", "--confidence", c)[1]["rows"] for c in ("0.9", "0.99")]
    lengths = [9 - i % 5 for i in range(36)]
    for row, row_99, wins in zip(*found, (24, 12), strict=True):
        points = [1.0] * wins + [0.0] * (36 - wins)
        for each, confidence in ((row, 0.9), (row_99, 0.99)):
            wanted = length_controlled_rate(points, lengths, [6] * 36, confidence=confidence)
            assert each["low_length_controlled"] == pytest.approx(wanted.low)
            assert each["high_length_controlled"] == pytest.approx(wanted.high)
        assert row["low_length_controlled"] > row_99["low_length_controlled"]


def test_runs_on_other_prompts_are_tested_by_their_counts_and_said_to_differ(suite, compare):
    suite.run("first", suite.results(9, 3))
    suite.run("second", suite.results(2, 10))
    path = suite.workspace / "stages" / "second-win" / "verdicts.jsonl"
    path.write_text(path.read_text().replace('"prompt_id": "p', '"prompt_id": "q'))
    _, found = compare("first", "second")
    (test,) = found["tests"]
    assert (test["test"], test["low"], test["high"]) == ("fisher", None, None)
    wanted = "the test prompts differ: 12 (first), 12 (second); all of them share 0"
    assert found["unlike"] == [wanted]
    assert "not sampled and judged alike" in found["conclusion"]


def test_the_conclusion_says_what_is_shown_and_what_is_not(suite, compare):
    suite.run("high", suite.results(18, 2))
    suite.run("low", suite.results(3, 17))
    suite.run("lower", suite.results(2, 18))
    _, found = compare("high", "low", "lower")
    assert [test["shown"] for test in found["tests"]] == [True, True, False]
    assert found["conclusion"].startswith("high beats low by 0.750, high beats lower by 0.800 (5 %")
    assert "; low and lower do not differ significantly (" in found["conclusion"]


def test_a_baseline_is_in_every_test(suite, compare):
    for name in ("a", "b", "c"):
        suite.run(name, suite.results(9, 3))
    _, found = compare("a", "b", "c", "--baseline", "b")
    assert [(test["first"], test["second"]) for test in found["tests"]] == [("a", "b"), ("c", "b")]
    assert found["baseline"] == "b"


def test_more_than_five_are_tested_against_the_first(suite, compare, told):
    names = "abcdef"
    for name in names:
        suite.run(name, suite.results(9, 3))
    assert len(compare(*"abcde")[1]["tests"]) == 10
    assert {test["second"] for test in compare(*names)[1]["tests"]} == {"a"}
    note = " ".join(told(*names)[1].split())
    assert "All are tested against the first, a; choose with --baseline" in note


def test_judge_orders_rival_and_sampler_that_differ_are_named(two, suite, compare):
    record(suite, "good-1", judge={"model": "gpt-4", "template": "x"})
    record(
        suite,
        "bad-1",
        judge={"model": "gpt-4o", "template": "x"},
        sampler={"top_p": 0.5},
        orders="counterbalanced",
        against="sft",
    )
    _, found = compare("good", "bad")
    assert found["unlike"] == [
        "the judge differs: model: gpt-4 -> gpt-4o",
        "the choice of orders differs: both -> counterbalanced",
        "the rival differs: target -> sft",
        "the sampling differs: top_p: 0.95 -> 0.5",
    ]
    assert [row["judge"] for row in found["rows"]] == ["gpt-4", "gpt-4 (gpt-4o)"]
    assert [row["method"] for row in found["rows"]] == ["kto", "kto"]


def test_circumstances_are_found_by_roles_whatever_the_options_are_called(two, suite, compare):
    for run, foes in (("good-1", "target"), ("bad-1", "others")):
        record(suite, run)
        path = suite.workspace / "runs" / run / "run.json"
        trained, answers, win = json.loads(path.read_text())["stages"]
        answers |= {"models": {"speaker": "a"}, "roles": {"speaker": "start"}}
        win |= {"inputs": {"foes": "others", "texts": "answers"}}
        win |= {"roles": {"foes": "rival", "referee": "judge"}}
        path.write_text(json.dumps({"stages": [trained, answers, win]}))
        judge = {"referee": {"use": "acme/wise", "version": "1", "options": {}}}
        write_stage(suite.workspace / "stages" / f"{run}-win", {"foes": foes}, judge)
    _, found = compare("good", "bad")
    assert found["unlike"] == ["the rival differs: target -> others"]
    assert [(row["judge"], row["method"]) for row in found["rows"]] == [("acme/wise", "kto")] * 2


def test_the_same_circumstances_are_no_warning(two, suite, compare):
    for run in ("good-1", "bad-1"):
        record(suite, run)
    assert compare("good", "bad")[1]["unlike"] == []


def test_prompts_that_were_judged_against_other_texts_are_counted(suite, compare):
    for run, texts in (("a", "xyz"), ("b", "xyw")):
        suite.run(run, suite.results(2, 1))
        verdicts = [suite.verdict(i, "win", baseline=text) for i, text in enumerate(texts)]
        record(suite, run, verdicts=verdicts)
    _, found = compare("a", "b")
    assert found["unlike"] == ["the rival's texts differ: on 1 of 3 prompts"]


def test_two_judge_stages_of_one_run_are_two_rows(suite, compare):
    suite.run("both", suite.results(9, 3), judges=("before", "after"))
    _, found = compare("both:before", "both:after")
    assert [row["label"] for row in found["rows"]] == ["before", "after"]
    assert [row["stage"] for row in found["rows"]] == ["before", "after"]
    page = Path(found["files"][0]).read_text(encoding="utf-8")
    assert "2 judge stages of both compared" in page
    assert "Nothing: these are stages of one run. Its report has their options." in page
    baseline = compare("both:before", "both:after", "--baseline", "both:after")[1]["baseline"]
    assert baseline == "after"


def test_the_stage_option_is_for_runs_that_name_none(suite, compare):
    for name in ("a", "b"):
        suite.run(name, suite.results(9, 3), judges=("first", "last"))
    rows = compare("a", "b:last", "--stage", "first")[1]["rows"]
    assert [row["stage"] for row in rows] == ["first", "last"]


def test_a_suite_stands_for_its_cells_and_those_without_verdicts_are_told(suite, compare):
    sft = suite.run("toy-sft", suite.results(4, 12))
    kto = suite.run("toy-kto", suite.results(10, 6))
    cells = [
        (("sft",), sft, "computed", None),
        (("kto",), kto, "cached", None),
        (("dpo",), None, "failed", {"type": "ModelError", "message": "no room", "location": None}),
    ]
    suite.write("toy", {"method": ["sft", "kto", "dpo"]}, cells)
    _, found = compare("toy")
    assert [row["label"] for row in found["rows"]] == ["sft", "kto"]
    assert found["left_out"] == ["dpo: failed: no room"]


def test_many_cells_without_verdicts_are_counted_in_the_terminal(suite, told):
    runs = {name: suite.run(f"toy-{name}", suite.results(4, 12)) for name in ("sft", "kto")}
    cells = [((name,), run, "computed", None) for name, run in runs.items()]
    open_cells = [f"open{number}" for number in range(14)]
    cells += [((name,), None, "pending", None) for name in open_cells]
    suite.write("toy", {"method": [*runs, *open_cells]}, cells)
    _, text = told("toy")
    assert "open11: pending\n  ... and 2 more, on the page" in text
    assert "open12" not in text


def test_options_that_differ_are_listed(two, suite, compare):
    for run, beta in (("good-1", 0.1), ("bad-1", 0.2)):
        path = suite.workspace / "runs" / run / "spec.resolved.yaml"
        path.write_text(f"name: {run}\nstages: {{kto: {{loss: {{use: kto, beta: {beta}}}}}}}\n")
    values = {"good-1": "0.1", "bad-1": "0.2"}
    _, found = compare("good", "bad")
    assert found["differences"] == [{"path": "stages.kto.loss.beta", "values": values}]


@pytest.mark.usefixtures("drawn")
def test_people_get_tables_the_conclusion_and_where_the_files_are(two, suite, told):
    code, text = told("good", "bad")
    assert code == 0
    assert "Win rates with exact 90 % intervals" in text
    assert rate_text(proportion(14.5, 19)) in text
    assert "1 of 1 pairs differ at the 5 % level" in text
    assert "stages.a.loss: kto -> sft" in text
    assert "good-1 beats bad-1 by" in text
    assert "comparisons/good-1+bad-1/comparison.html" in text
    assert "no link to a tracker: none of the runs has a tracker in its spec" in text


def test_a_run_whose_record_is_gone_is_named(two, suite, told, compare):
    (suite.workspace / "runs" / "bad-1" / "run.json").write_text('{"name": "bad-1"}')
    _, text = told("good", "bad")
    assert "Not known\n  good-1: run.json is gone: the command" in text
    assert len(compare("good", "bad")[1]["unknown"]) == 1
    page = suite.workspace / "comparisons" / "good-1+bad-1" / "comparison.html"
    assert "Not known: good-1: run.json is gone" in page.read_text(encoding="utf-8")


def test_the_csv_files_hold_rows_and_tests(two, suite, compare, tmp_path):
    _, found = compare("good", "bad", "--csv", tmp_path / "out" / "mine.csv")
    assert found["files"][1:] == [str(tmp_path / f"out/{n}.csv") for n in ("mine", "mine-pairs")]
    runs, pairs = (list(csv.DictReader(open(path))) for path in found["files"][1:])
    assert [(row["label"], float(row["rate"])) for row in runs] == [
        (row["label"], row["rate"]) for row in found["rows"]
    ]
    assert runs[0]["cost"] == ""
    assert float(pairs[0]["p"]) == found["tests"][0]["p"]


@pytest.mark.usefixtures("drawn")
def test_the_page_escapes_what_runs_say_and_loads_nothing(suite, compare):
    suite.run("a", suite.results(9, 3), loss="'<b>'")
    suite.run("b", suite.results(9, 3))
    _, found = compare("a", "b", "--out", suite.workspace / "out")
    page = (suite.workspace / "out" / "comparison.html").read_text()
    assert found["files"][0] == str(suite.workspace / "out" / "comparison.html")
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "<script" not in page
    assert found["conclusion"] in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["godo-1", "bad"],
            "no run or suite 'godo-1'. Did you mean 'good-1'? Existing: run bad-1, run",
        ),
        (["good"], "one run is nothing to compare: good-1; expected two or more. Name another"),
        (["good", "good-1"], "one run is nothing to compare: good-1; expected two or more."),
        (["good:wni", "bad"], "unknown judge stage 'wni'. Did you mean 'win'? Known: win"),
        (["good", "bad", "--baseline", "other"], "no run or suite 'other'."),
        (["good", "bad", "--confidence", "1"], "1.0 is not in the range 0<x<1"),
    ],
)
def test_mistakes_are_answered_with_one_message(two, compare, arguments, message):
    code, found = compare(*arguments)
    assert code == 2
    assert message in found["error"]["message"]


def test_a_baseline_that_is_not_compared_is_a_mistake(two, suite, compare):
    suite.run("third", suite.results(3, 3))
    code, found = compare("good", "bad", "--baseline", "third")
    assert code == 2
    assert found["error"]["location"] == "--baseline"
    assert found["error"]["message"] == "'third' is none of the runs: good-1, bad-1"


def test_one_run_with_two_judge_stages_is_told_how_to_compare_them(suite, compare):
    suite.run("both", suite.results(9, 3), judges=("before", "after"))
    _, found = compare("both")
    assert found["error"]["message"].endswith(
        "Name another, or its judge stages: both:before both:after"
    )


def test_a_run_without_verdicts_says_which_stages_it_has(two, suite, compare):
    suite.run("empty", [], judges=())
    code, found = compare("good", "empty")
    assert code == 2
    assert found["error"]["location"] == "empty"
    assert found["error"]["message"] == (
        "this run has no verdicts, so there is nothing to compare; its stages: kto (computed). "
        "Add a stage {use: judge} to its spec, or continue the run"
    )


def test_a_stage_of_a_suite_is_named_by_the_option(suite, compare):
    sft = suite.run("toy-sft", suite.results(4, 12))
    suite.write("toy", {"method": ["sft"]}, [(("sft",), sft, "computed", None)])
    code, found = compare("toy:win")
    assert code == 2
    assert found["error"]["message"] == (
        "'toy:win' names a stage of a suite; expected a suite alone, and with it --stage win"
    )


def test_runs_that_nothing_was_scored_of_are_not_tested(suite, compare):
    suite.run("a", ["unscored"] * 4)
    suite.run("b", suite.results(9, 3))
    code, found = compare("a", "b")
    assert (code, found["tests"]) == (0, [])
    assert found["conclusion"].startswith("Nothing can be concluded: no two of the runs")


def test_long_names_make_a_short_folder(suite, compare):
    names = [f"{'n' * 40}-{i}" for i in range(3)]
    for name in names:
        suite.run(name, suite.results(9, 3))
    _, found = compare(*names)
    folder = found["files"][0].split("/")[-2]
    assert folder.startswith("n" * 40 + "+2-more-")
    assert len(folder) <= 80


def track(workspace, run):
    (workspace / "tracker.py").write_text(TRACKER)
    tree = {"tracking": [{"use": f"file:{workspace / 'tracker.py'}:Shows"}]}
    (workspace / "runs" / run / "run.json").write_text(json.dumps(tree))


def test_the_tracker_links_to_the_same_runs(two, suite, compare, told):
    track(suite.workspace, "good-1")
    _, found = compare("good", "bad")
    ((name, said),) = found["trackers"].items()
    assert name.endswith(":Shows")
    assert (said["label"], said["url"]) == ("Board", "http://host/?good-1&bad-1")
    assert found["notes"] == []
    page = suite.workspace / "comparisons" / "good-1+bad-1" / "comparison.html"
    assert '<a href="http://host/?good-1&amp;bad-1">Board</a>' in page.read_text()
    text = told("good", "bad")[1]
    assert "  Board   start it\n          then http://host/?good-1&bad-1\n" in text


def test_a_run_of_another_workspace_is_compared_and_said_to_be_missing_on_the_page(
    two, suite, make_run, tmp_path, compare
):
    track(suite.workspace, "good-1")
    elsewhere = make_run(tmp_path / "elsewhere")
    code, found = compare("good", elsewhere)
    assert code == 0
    assert [row["run"] for row in found["rows"]] == ["good-1", "toy-1234"]
    (note,) = found["notes"]
    assert note.endswith("toy-1234 is not there; halo sync RUN sends a run to its own tracker")


def test_a_broken_tracker_costs_its_link_and_shows_no_password(tmp_path, make_run, capsys):
    workspace = tmp_path / "broken"
    make_run(workspace)
    other = make_run(tmp_path / "other")
    track_file = workspace / "runs" / "toy-1234" / "run.json"
    stages = json.loads(track_file.read_text())
    track(workspace, "toy-1234")
    track_file.write_text(json.dumps({**stages, **json.loads(track_file.read_text())}))
    arguments = ["compare", "toy-1234", str(other), "--workspace", str(workspace), "--json"]
    assert call(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    (note,) = found["notes"]
    assert note.endswith(
        "Shows.compare_runs() raised ConnectionError: no answer from http://***@host"
    )
    assert found["trackers"] == {}


def test_runs_of_one_name_in_two_workspaces_are_told_apart(make_run, tmp_path, capsys):
    first, second = (make_run(tmp_path / name) for name in ("one", "two"))
    assert call(["compare", str(first), str(second), "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in found["rows"]] == [str(first), str(second)]
    assert len(found["tests"]) == 1


def test_cells_of_two_suites_with_one_name_are_called_by_their_runs(suite, compare):
    for number in ("1", "2"):
        run = suite.run(f"toy{number}-kto", suite.results(9, 3))
        suite.write(f"toy{number}", {"method": ["kto"]}, [(("kto",), run, "computed", None)])
    _, found = compare("toy1-1234", "toy2-1234")
    assert [row["label"] for row in found["rows"]] == ["toy1-kto", "toy2-kto"]
