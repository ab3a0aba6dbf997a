"""Judges that leave out letters which are not in ASCII, and judges that may be about some."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from halo_core import Answer, Comparison, JudgeContext, Score, ScoringJudge, Verdict
from halo_core.judge import Judge
from halo_core.testing.judges.judge_other_scripts import check_other_scripts
from halo_core.testing.judges.judge_other_texts import check_other_texts
from halo_core.testing.judges.judge_reasons import check_reasons
from halo_core.testing.judges.judge_replies import judge_context

Value = Callable[[str], float]


def scores(value: Value, says: str = "Scores texts.") -> ScoringJudge:
    class Made(ScoringJudge):
        __doc__ = says

        def open_scoring(self, context: JudgeContext) -> Any:
            return nullcontext(self)

        def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
            return (Score(each.id, value(each.completion)) for each in answers)

    return Made()


class Overlap(Judge):
    """Prefers the text with more words of the question."""

    def open(self, context: JudgeContext) -> Any:
        return nullcontext(self)

    def words(self, text: str) -> set[str]:
        return {*text.lower().split()}

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        for each in comparisons:
            asked = self.words(str(each.prompt[-1]["content"]))
            lead = len(asked & self.words(each.a)) - len(asked & self.words(each.b))
            yield Verdict(each.id, "tie" if not lead else "A" if lead > 0 else "B")


class OverlapOfAscii(Overlap):
    def words(self, text: str) -> set[str]:
        return {*re.findall("[a-z]+", text.lower())}


class OverlapAsAscii(Overlap):
    def words(self, text: str) -> set[str]:
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
        return {*plain.split()}


class Reasons(Overlap):
    """Says how many words of the question each text has."""

    turned: bool = Field(default=False, description="Whether the numbers are exchanged.")

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        for each in comparisons:
            a, b = (len(text.split()) for text in (each.a, each.b))
            said = f"words: A {b}, B {a}" if self.turned else f"words: A {a}, B {b}"
            yield Verdict(each.id, "tie" if a == b else "A" if a > b else "B", said)


def test_numbers_of_a_reason_that_are_exchanged_are_found(tmp_path: Path) -> None:
    check_reasons(Reasons(), judge_context(tmp_path))
    check_reasons(Overlap(), judge_context(tmp_path))
    with pytest.raises(AssertionError, match="always the same one after 'A'"):
        check_reasons(Reasons(turned=True), judge_context(tmp_path))


def only_letters(text: str) -> float:
    return float(len(re.sub("[^A-Za-z]", "", text)))


BROKEN = (
    OverlapOfAscii(),
    OverlapAsAscii(),
    scores(only_letters),
    scores(lambda text: len({*re.findall(r"[a-zA-Z']+", text)})),
    scores(lambda text: len({*text.encode("ascii", "ignore").split()})),
)

RIGHT = (
    Overlap(),
    scores(len),
    scores(lambda text: len({*text.split()}) / max(1, len(text.split()))),
    scores(lambda text: len(re.findall("[aeiouy]+", text))),
    scores(lambda text: sum(map(text.lower().count, ("the", "which", "moo", "a")))),
    scores(lambda text: len(re.findall("[A-Z]", text))),
    scores(lambda text: text.count(".") + text.count(",")),
    scores(lambda text: sum(each.isalpha() for each in text)),
    scores(only_letters, "Counts the letters of the Latin alphabet."),
)


@pytest.mark.parametrize("judge", BROKEN)
def test_a_judge_that_leaves_out_other_letters_is_found(judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="none of them if the letters are Cyrillic"):
        check_other_scripts(judge, judge_context(tmp_path))


@pytest.mark.parametrize("judge", RIGHT)
def test_a_judge_may_be_about_all_or_some_letters(judge: Judge, tmp_path: Path) -> None:
    check_other_scripts(judge, judge_context(tmp_path))


def test_the_rule_other_texts_asks_in_other_letters(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="Cyrillic"):
        check_other_texts(OverlapOfAscii(), tmp_path / "judge")
