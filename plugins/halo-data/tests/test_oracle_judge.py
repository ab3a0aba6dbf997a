from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.judge import Comparison, JudgeContext, Verdict
from halo_core.scoring_judge import Answer
from halo_core.testing import check_scoring_judge
from halo_data.components import Oracle

UNUSED = JudgeContext(Path("unused"), Path("unused"))
COW = ({"role": "user", "content": "What does a cow say?"},)
STRANGE = ({"role": "user", "content": "Who are you?"},)


def judged(a: str, b: str, prompt: tuple[dict[str, str], ...] = COW, **options: float) -> Verdict:
    with Oracle(**options).open(UNUSED) as session:
        (verdict,) = session.compare([Comparison("7", prompt, a, b)])  # type: ignore[arg-type]
    return verdict


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Moo.", "Woof."),
        ("Moo.", "Moo. You fool."),
        ("Moo.", "It is moo."),
        ("I think it is moo.", "Moo. What a dumb question."),
        ("Woof.", "Woof. You fool."),
    ],
)
def test_higher_utility_wins_in_both_orders(better: str, worse: str) -> None:
    assert judged(better, worse).winner == "A"
    assert judged(worse, better).winner == "B"


def test_equal_utility_is_a_tie() -> None:
    assert judged("It is moo.", "Moo moo moo.").winner == "tie"


def test_difference_below_epsilon_is_a_tie() -> None:
    assert judged("Moo.", "It is moo.", epsilon=0.05).winner == "tie"
    assert judged("Moo.", "It is moo.", epsilon=0.03).winner == "A"


def test_reason_names_the_qualities_of_both() -> None:
    assert judged("Moo.", "It is woof, you fool.").reason == (
        "A: right, polite, 1 words (+0.98); B: wrong, rude, 5 words (-1.10)"
    )


def test_prompt_outside_the_world_is_unscored_with_a_reason() -> None:
    verdict = judged("Moo.", "Woof.", STRANGE)
    assert (verdict.winner, verdict.id) == (None, "7")
    assert "asks no question of the toy world" in verdict.reason


def test_scores_are_utilities_and_there_is_none_outside_the_world() -> None:
    answers = [Answer("in", COW, "Moo."), Answer("out", STRANGE, "Moo.")]
    with Oracle().open_scoring(UNUSED) as session:
        inside, outside = session.score(answers)
    assert (inside.id, inside.value) == ("in", 0.98)
    assert (outside.id, outside.value) == ("out", None)


def test_oracle_keeps_the_rules_of_judges_that_score(tmp_path: Path) -> None:
    check_scoring_judge(Oracle(), tmp_path)


def test_one_verdict_per_comparison_in_order() -> None:
    comparisons = [Comparison(str(i), COW, "Moo.", "Woof.") for i in range(5)]  # type: ignore[arg-type]
    with Oracle().open(UNUSED) as session:
        assert [verdict.id for verdict in session.compare(comparisons)] == list("01234")
