"""Judges that rightly treat the beginning of a text in another way than its end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from halo_core import Answer, Comparison, Judge, JudgeContext, Score, ScoringJudge, Verdict
from halo_core.testing.judges import judge_long_texts
from halo_core.testing.judges.judge_long_texts import FAR, FEWEST, check_long_texts
from halo_core.testing.judges.judge_other_texts import check_other_texts
from halo_core.testing.options.option_refusals import NotTriedError


def scores(value: Callable[[str], float], cut: Callable[[str], bool] = bool) -> ScoringJudge:
    class Made(ScoringJudge):
        def open_scoring(self, context: JudgeContext) -> Any:
            return nullcontext(self)

        def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
            for each in answers:
                yield Score(
                    each.id, value(each.completion), cut=cut is not bool and cut(each.completion)
                )

    return Made()


class TooLong(Judge):
    """Does not compare long texts, with a reason."""

    def open(self, context: JudgeContext) -> Any:
        return nullcontext(self)

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        for each in comparisons:
            if max(len(each.a), len(each.b)) > FAR:
                yield Verdict(each.id, None, "a text is too long")
            else:
                yield Verdict(
                    each.id, "tie" if each.a == each.b else "A" if each.a < each.b else "B"
                )


@pytest.mark.parametrize(
    "judge",
    [
        scores(lambda text: min(len(text), 60)),
        scores(lambda text: len(text.split(".")[0])),
        scores(lambda text: ord(text[:1] or "-")),
        scores(lambda text: text[:900].count("o"), cut=lambda text: len(text) > 900),
        scores(lambda text: round(len({*text.split()}) / max(1, len(text.split())), 2)),
        TooLong(),
    ],
    ids=("saturates", "first sentence", "first letter", "says cut", "share", "too long"),
)
def test_a_judge_may_be_about_a_part_of_a_text(judge: Judge, tmp_path: Path) -> None:
    check_long_texts(judge, tmp_path / "long")
    check_other_texts(judge, tmp_path / "other")


def test_a_judge_that_is_slow_with_long_texts_is_not_asked_about_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(judge_long_texts, "LONG_S", 0.0)
    with pytest.raises(NotTriedError, match=r"for two texts of 8,000 characters, so it is asked"):
        check_long_texts(scores(lambda text: asked.append(text) or len(text)), tmp_path)
    assert sum(len(text) > FAR for text in asked) == 2 * FEWEST
