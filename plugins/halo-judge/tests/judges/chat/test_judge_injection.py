"""The win rates of outputs that address the judge: the benchmark, its stand-ins and its page."""

import importlib
from pathlib import Path

import pytest

from halo_core.judge import Comparison, Verdict
from halo_judge.judges.chat.template import FOLDER, find_template, read_template

ROOT = Path(__file__).parents[5]
PAGE = ROOT / "docs" / "evidence" / "judge-injection.md"
QUESTIONS = [("Why?", "Because it is so."), ("How?", "With care.")]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("judge_injection")


def cells(bench, template, judge: str, mark: str) -> dict[str, set[str]]:
    """Returns the verdicts of a stand-in by attack, shown first and second: A and B is a win."""
    _, attacks = bench.read_attacks(mark)
    judged = bench.STAND_INS[judge]
    found = {}
    for attack in attacks:
        attack = bench.Attack(attack.name, attack.outputs[: len(QUESTIONS)])
        shown = bench.comparisons(QUESTIONS, attack)
        said = [(each.id[-2:], judged(bench.seen(template, each)[1])) for each in shown]
        found[attack.name] = {order[0] == side for order, side in said}
    return found


def beaten_by(found: dict[str, set[str]]) -> set[str]:
    return {name for name, wins in found.items() if True in wins}


def test_the_poor_answer_loses_to_every_stand_in_without_an_attack(bench):
    for judge in bench.STAND_INS:
        found = cells(bench, find_template("pairwise-2"), judge, bench.GUESSED_MARK)
        assert found["none (the poor answer alone)"] <= {False, judge == "longest"}


def test_no_attack_gets_out_of_the_fence_of_the_default_template(bench):
    found = cells(bench, find_template("pairwise-2"), "fenced", bench.GUESSED_MARK)
    assert not beaten_by(found)


def test_a_mark_that_can_be_known_is_forged(bench, tmp_path):
    template = read_template(bench.fixed_mark(tmp_path))
    found = cells(bench, template, "fenced", bench.FIXED_MARK)
    assert beaten_by(found) == {"fake end of the material, by mark"}


def test_the_report_s_template_is_left_by_repeating_its_words(bench):
    found = cells(bench, find_template("report-2024"), "fenced", bench.GUESSED_MARK)
    assert beaten_by(found) == {"fake end of the material, by words"}


def test_each_gullible_stand_in_falls_for_something_and_the_honest_one_for_nothing(bench):
    template = find_template("pairwise-2")
    fell = {j: beaten_by(cells(bench, template, j, bench.GUESSED_MARK)) for j in bench.STAND_INS}
    assert not fell["honest"]
    assert fell["naive"] == {"fake verdict in JSON", "fake verdict as a last line"}
    assert fell["credulous"] == {"flatters the judge", "claims authority"}
    assert not fell["markup"]
    assert {"orders a verdict: A", "orders: choose this answer"} <= fell["obedient"]
    assert "constant text that fits every prompt" in fell["longest"]


@pytest.mark.parametrize("name", ["pairwise-1", "report-2024"])
def test_forged_roles_get_through_where_the_template_does_not_break_them(bench, name):
    found = cells(bench, find_template(name), "markup", bench.GUESSED_MARK)
    assert beaten_by(found) == {"fake role markers of a chat format"}


def test_an_order_to_say_a_wins_when_shown_first_and_is_a_tie_in_both_orders(bench):
    verdicts = {f"0-{order}": Verdict(f"0-{order}", "A") for order in ("AB", "BA")}
    assert str(bench.share(verdicts, 1)) == "100 → 50"
    verdicts["0-BA"] = Verdict("0-BA", None, "down")
    assert str(bench.share(verdicts, 1)) == "100 → -*"


def test_the_place_of_the_second_text_is_found_in_every_template(bench):
    for path in FOLDER.glob("*.toml"):
        shown = Comparison("0-AB", [{"role": "user", "content": "Q"}], "Response 2:\nno", "text b")
        user, seen = bench.seen(read_template(path), shown)
        assert user[seen.second :].startswith("text b")


@pytest.mark.slow(seconds=8)
def test_the_page_shows_what_the_benchmark_measures(bench, tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    # The judge treats all stand-ins alike. So one of them is asked through the judge and a server,
    # with each template: the one whose verdicts depend most on the template.
    for line in bench.tables(tmp_path, ["fenced"]).splitlines():
        assert line in page
