"""Pages about several runs: the verdict, the five answers, forest plot, answers and curves."""

from dataclasses import replace

import pytest

from halo_core.overview.spec_difference import Difference, differences
from halo_report.figures.plot import svg_element
from halo_report.pages.contenders import contest_of, named_cells
from halo_report.pages.contest_blocks import answers_block, curves_block, forest_block
from halo_report.pages.contest_questions import (
    contest_questions,
    contest_verdict,
    distinct_differences,
)
from halo_report.read.cell_matrix import CellMatrix, JudgedCell, Lengths
from halo_report.read.pairwise import pairwise_tests
from halo_report.read.run_data import StageData
from halo_statistics.win_rate import win_rate


def verdict(number, name, result):
    # Half of the answers of all models are the same.
    text = f"{name} says {number}" if number % 2 else f"all say {number}"
    return {
        "prompt_id": f"p{number}",
        "prompt": [{"role": "user", "content": f"prompt {number}"}],
        "completion": text,
        "baseline": f"target {number}",
        "result": result,
        "flip": False,
        "tokens": 5 + number % 3,
        "baseline_tokens": 9,
    }


def cell(name, wins, losses, *, loss="kto", longer=0, metrics=None):
    results = ["win"] * wins + ["loss"] * losses
    verdicts = [verdict(number, name, result) for number, result in enumerate(results)]
    for line in verdicts:
        line["completion"] += " indeed" * longer if line["result"] == "win" else ""
    curves = {
        "train/loss": {1: 0.5, 2: 0.4},
        "rewards/desirable": {1: 0.1, 2: 0.2},
        "policy/kl": {1: -1.0, 2: 0.5},
        "policy/reference_point": {1: 0.0, 2: 0.5},
    }
    return JudgedCell(
        name,
        "",
        run=f"{name}-1234",
        rate=win_rate(results),
        results={line["prompt_id"]: line["result"] for line in verdicts},
        lengths=Lengths(6.2, 6.0),
        trained=StageData("train", "train", loss=loss, curves=curves),
        judge=StageData("win", "judge", "computed", verdicts=verdicts, metrics=metrics or {}),
    )


def matrix_of(*cells):
    placed = {(one.x, ""): one for one in cells}
    return CellMatrix("runs", "run", "", [c.x for c in cells], [""], placed, "left out")


def contest(*cells, base=None):
    matrix = matrix_of(*cells)
    return contest_of(named_cells(matrix), "left out", pairwise_tests(matrix), base)


SFT, KTO, DPO = cell("sft", 12, 38), cell("kto", 36, 14), cell("dpo", 35, 15, loss="dpo")


def test_the_first_sentence_names_the_winner_whom_it_beats_and_whom_not():
    assert contest_verdict(contest(SFT, KTO, DPO)) == (
        "kto has the highest win rate, 0.720 [0.597, 0.822], and beats sft; a difference from dpo "
        "is not shown."
    )
    assert contest_verdict(contest(KTO, DPO)) == (
        "kto has the highest win rate, 0.720 [0.597, 0.822], but a difference from dpo is not "
        "shown."
    )


def test_many_runs_are_counted_in_the_sentence():
    cells = [KTO, *(replace(SFT, x=f"sft{i}", run=f"sft{i}") for i in range(5))]
    assert "and beats 5 others." in contest_verdict(contest(*cells))


def test_the_five_questions_are_answered():
    answers = contest_questions(contest(SFT, KTO, DPO), [Difference("seed", {"a": "1", "b": "2"})])
    assert list(answers) == [
        "Which run won?",
        "By how much?",
        "Is it length?",
        "What changed in the answers?",
        "What differs in the specs?",
    ]
    won, much, length, changed, specs = answers.values()
    assert won == "By win rate: kto 0.720, dpo 0.700, sft 0.240."
    assert much.startswith("kto - dpo: +0.020 [")
    assert "kto - sft: +0.480 [" in much
    assert "p < 0.001 after Holm." in much
    assert length.startswith("Not known: not every run has a length-controlled win rate.")
    assert changed == (
        "sft → kto: 25 of 50 differ; median tokens 6 → 6; 24 lost before and win now, 0 the other "
        "way."
    )
    assert specs == "seed: 1 -> 2."


def test_the_comparison_begins_with_the_baseline_and_never_with_itself():
    chosen = contest(SFT, KTO, DPO, base="kto")
    assert (chosen.base.name, chosen.best.name) == ("kto", "dpo")


def test_a_winner_that_is_only_longer_is_said_to_be_so():
    controlled = {"win_lc": 0.5}
    long = cell("long", 36, 14, longer=8, metrics=controlled)
    short = cell("short", 35, 15, metrics=controlled)
    found = contest(long, short)
    assert found.all[0].controlled.rate < found.all[1].controlled.rate
    assert "At equal lengths short has the highest." in contest_verdict(found)
    answer = contest_questions(found, [])["Is it length?"]
    assert answer.startswith("It may be: at equal lengths short has 0.")


def test_options_that_differ_between_the_same_runs_are_named_once():
    trees = {
        "a": {"stages": {"kto": {"data": "x", "loss": "kto", "lr": 1}}},
        "b": {"stages": {"kto": {"data": "y", "loss": "dpo", "lr": 1}}},
        "c": {"stages": {"kto": {"data": "y", "loss": "dpo", "lr": 2}}},
    }
    assert [one.path for one in distinct_differences(differences(trees))] == ["kto.data", "kto.lr"]
    answer = contest_questions(contest(SFT, KTO), differences(trees))["What differs in the specs?"]
    assert answer == "kto.data: x (a), y (b, c); kto.lr: 1 (a, b), 2 (c); 1 more below."


def test_the_forest_plot_has_a_row_for_each_run_on_one_scale():
    ranges = forest_block(contest(SFT, KTO, DPO)).ranges
    assert [(row.label, row.text) for row in ranges.rows] == [
        ("sft", "0.240 [0.145, 0.360]"),
        ("kto", "0.720 [0.597, 0.822]"),
        ("dpo", "0.700 [0.576, 0.805]"),
    ]
    assert (ranges.line, ranges.end) == (0.5, 1.0)
    assert len({row.colour for row in ranges.rows}) == 3


@pytest.mark.parametrize(("value", "place"), [(-1, "0.00%"), (0.25, "25.00%"), (3, "100.00%")])
def test_a_number_outside_of_the_scale_is_at_its_end(value, place):
    assert forest_block(contest(SFT, KTO)).ranges.at(value) == place


def test_the_answers_of_all_runs_stand_side_by_side_with_filters():
    samples = answers_block(contest(SFT, KTO, DPO), 3).samples
    assert [column.title for column in samples.cards[0].columns] == ["sft", "kto", "dpo"]
    assert [column.title for column in samples.cards[0].further] == ["target"]
    assert [one.label for one in samples.filters] == [
        "all prompts: first 3 of 50",
        "sft lost, kto won: first 3 of 24",
        "the same answer: first 3 of 25",
    ]
    won = [card for card in samples.cards if "won" in card.kinds]
    assert [[badge.result for badge in c.badges] for c in won[0].columns] == [
        ["loss"],
        ["win"],
        ["win"],
    ]


def test_further_runs_are_folded_and_those_left_out_are_counted():
    cells = [SFT, KTO, *(replace(DPO, x=f"d{i}", run=f"d{i}") for i in range(12))]
    block = answers_block(contest(*cells))
    assert len(block.samples.cards[0].columns) == 4
    assert len(block.samples.cards[0].further) == 9
    assert block.note == "2 more runs are left out of the answers."


def test_rivals_that_differ_are_not_shown_as_one_target():
    other = cell("other", 20, 30)
    for line in other.judge.verdicts:
        line["baseline"] = "something else"
    samples = answers_block(contest(SFT, other)).samples
    assert samples.cards[0].further == []


def test_curves_of_all_runs_are_on_one_scale_and_losses_of_one_kind_together():
    block = curves_block(contest(SFT, KTO, DPO))
    assert block.title == "Length against win rate, and curves"
    assert [plot.caption for plot in block.plots] == [
        "Length of the answers against the win rate",
        "kto loss",
        "dpo loss (nats)",
        "reward, desirable or chosen",
        "KL estimate (nats)",
    ]
    estimate = svg_element(block.plots[-1])
    assert all(f">{name}</text>" in estimate for name in ("sft", "kto", "dpo"))
    # The estimate before clipping is drawn, which is below 0 here.
    assert ">\N{MINUS SIGN}" in estimate


def test_runs_with_one_title_are_called_by_their_folders():
    twins = [replace(SFT, x="a", title="kto-s1", run="one"), replace(KTO, x="b", title="kto-s1")]
    assert [name for name, _ in named_cells(matrix_of(*twins))] == ["one", "kto-1234"]


def test_one_judged_run_is_no_contest():
    assert contest(SFT) is None
    assert contest(SFT, JudgedCell("x", "", status="failed")) is None


def test_runs_that_were_not_tested_against_the_winner_are_counted():
    found = contest(SFT, KTO, DPO)
    half = replace(found, tests=[test for test in found.tests if test.b.x != "dpo"])
    assert contest_verdict(half).endswith("and beats sft; 1 other was not tested against it.")
