"""The first sentence of a page, and the answers to the five questions."""

import pytest

from halo_report.pages.run_questions import run_questions, run_verdict
from halo_report.pages.verdict import length_answer, verdict_sentence
from halo_report.read.judged_stages import before_and_after, judged_stages
from halo_report.read.run_data import RunData, StageData
from halo_statistics.intervals import Proportion

BETTER = Proportion(70, 100, 0.7, 0.62, 0.77)
OPEN = Proportion(52, 100, 0.52, 0.44, 0.6)
WORSE = Proportion(30, 100, 0.3, 0.23, 0.38)


@pytest.mark.parametrize(
    ("share", "controlled", "sentence"),
    [
        (BETTER, None, "kto beats the target with a win rate of 0.700 [0.620, 0.770]."),
        (WORSE, None, "kto loses to the target with a win rate of 0.300 [0.230, 0.380]."),
        (
            OPEN,
            None,
            "kto and the target do not differ clearly: the win rate is 0.520 [0.440, 0.600].",
        ),
        (
            BETTER,
            BETTER,
            "kto beats the target with a win rate of 0.700 [0.620, 0.770], and 0.700 [0.620, "
            "0.770] at equal lengths.",
        ),
        (
            BETTER,
            OPEN,
            "kto beats the target with a win rate of 0.700 [0.620, 0.770], but length may explain "
            "this: 0.520 [0.440, 0.600] at equal lengths.",
        ),
        (
            OPEN,
            WORSE,
            "kto and the target do not differ clearly: the win rate is 0.520 [0.440, 0.600], but "
            "at equal lengths it is worse: 0.300 [0.230, 0.380].",
        ),
        (None, None, "No comparison of kto with the target was scored."),
    ],
)
def test_the_sentence_has_both_readings_of_the_win_rate(share, controlled, sentence):
    assert verdict_sentence("kto", "the target", share, controlled) == sentence


def test_length_explains_a_difference_that_is_gone_at_equal_lengths():
    assert length_answer(BETTER, OPEN, {"kto": 6, "target": 16.5}, -0.35) == (
        "It may be: at equal lengths the win rate is 0.520 [0.440, 0.600]. "
        "Median tokens: kto 6, target 16.5. Points go with length by -0.35 (rank correlation)."
    )
    assert length_answer(BETTER, BETTER, {}).startswith("No: at equal lengths")
    assert length_answer(OPEN, BETTER, {}).startswith("It hides the difference: at equal")
    assert length_answer(BETTER, None, {"kto": 6}).startswith("Not known: ")


def verdicts(results):
    return [
        {"prompt_id": f"p{i}", "completion": "moo", "result": result, "flip": False}
        for i, result in enumerate(results)
    ]


def stages(**last):
    trained = {"learning_rate": 1e-3, "loss": {"use": "sft"}, "from": "model"}
    return [
        StageData("sft", "train", "computed", "model", options=trained),
        StageData(
            *("kto", "train", "computed", "model"),
            start="sft",
            options={"learning_rate": 2e-4, "loss": {"use": "kto"}, "from": "sft"},
        ),
        StageData("s", "sample", "computed", start="sft"),
        StageData("k", "sample", "computed", start="kto"),
        StageData(
            *("win-s", "judge", "computed"),
            judged="s",
            rival="target",
            verdicts=verdicts(["loss"] * 30 + ["win"] * 10),
        ),
        StageData(
            *("win-k", last.pop("use", "judge"), "computed"),
            judged="k",
            rival=last.pop("rival", "target"),
            verdicts=verdicts(["win"] * 30 + ["loss"] * 10),
            **last,
        ),
    ]


def run_of(stages, status="done", live=False):
    return RunData(
        *(None, "toy", status, "", "", "", None, None),
        *(stages, [], "", "", [], {}),
        live=live,
    )


def questions_of(stages):
    return run_questions(run_of(stages), judged_stages(stages), None, None, {})


def test_the_questions_compare_the_model_with_the_one_that_it_started_from():
    answers = questions_of(stages())
    assert answers["Which model won?"] == "In the order of their win rates: kto 0.750, sft 0.250"
    assert answers["By how much?"].startswith("kto - sft: +0.500 [")
    assert answers["By how much?"].endswith("on 40 prompts, p = 0.002 (McNemar).")
    assert answers["What differs in the specs?"] == (
        "sft → kto: loss sft → kto; learning_rate 0.001 → 0.0002."
    )


def test_models_with_different_rivals_are_not_put_in_an_order():
    answers = questions_of(stages(rival="s"))
    assert "have no order" in answers["Which model won?"]
    assert answers["By how much?"] == "sft and kto were judged against different rivals."


def test_the_model_before_is_the_nearest_judged_ancestor():
    listed = [StageData("base", "train", product="model"), *stages()]
    other = StageData("o", "sample", start="base")
    listed[5:5] = [other, StageData("win-o", "judge", judged="o", verdicts=verdicts(["win"]))]
    before, after = before_and_after(judged_stages(listed), listed)
    assert (before.name, after.name) == ("sft", "kto")


def test_two_judges_of_one_model_are_called_by_their_stages():
    listed = stages()
    listed.append(StageData("again", "judge", judged="k", verdicts=verdicts(["win"])))
    assert [one.name for one in judged_stages(listed)] == ["sft", "win-k", "again"]


@pytest.mark.parametrize(
    ("status", "live", "begins"),
    [
        ("running", True, "The run is in progress: 5 of 6 stages are done, now win-k. So far, kto"),
        ("running", False, "The run was killed in win-k: 5 of 6 stages are done. So far, kto"),
        ("failed", False, "The run failed in win-k: 5 of 6 stages are done. So far, kto"),
        ("interrupted", False, "The run was stopped in win-k: 5 of 6 stages are done. So far"),
    ],
)
def test_an_unfinished_run_says_so_first(status, live, begins):
    listed = stages()
    listed[-1] = StageData(
        *("win-k", "judge", status),
        judged="k",
        rival="target",
        verdicts=listed[-1].verdicts,
    )
    run = run_of(listed, status, live)
    assert run_verdict(run, judged_stages(listed)[-1]).startswith(begins)


def test_a_run_without_verdicts_says_so():
    run = run_of(stages()[:2])
    assert run_verdict(run, None) == "No stage of this run has judged the answers."
