from pathlib import Path

from halo_core.testing import check_judge

from halo_acorn.oak_judge import OakJudge, better, repeated


def test_the_judge_keeps_the_rules(tmp_path: Path) -> None:
    check_judge(OakJudge(), tmp_path)


def test_repeated_words_are_counted() -> None:
    assert repeated("No no no yes") == 0.5
    assert repeated("All words differ") == 0.0
    assert repeated(" ") == 1.0


def test_the_smaller_share_wins_beyond_the_margin() -> None:
    assert better(0.1, 0.5, 0.05) == "A"
    assert better(0.5, 0.1, 0.05) == "B"
    assert better(0.5, 0.5, 0.0) == better(0.5, 0.46, 0.05) == "tie"
