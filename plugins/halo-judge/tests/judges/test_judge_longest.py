import pytest

from halo_core.judge import Comparison, JudgeContext
from halo_core.testing import check_scoring_judge
from halo_judge.judges.longest import Longest


@pytest.mark.parametrize(
    ("a", "b", "winner"), [("long", "no", "A"), ("no", "long", "B"), ("yes", "not", "tie")]
)
def test_the_longer_text_wins_and_equal_lengths_tie(tmp_path, a, b, winner):
    with Longest().open(JudgeContext(tmp_path, tmp_path)) as session:
        (verdict,) = session.compare([Comparison("1", [], a, b)])
    assert (verdict.id, verdict.winner) == ("1", winner)
    assert verdict.reason == f"A: {len(a)} characters; B: {len(b)} characters"


def test_longest_keeps_the_rules_of_judges(tmp_path):
    check_scoring_judge(Longest(), tmp_path)
