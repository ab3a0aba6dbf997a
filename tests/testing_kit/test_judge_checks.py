import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from halo_core import Comparison, Judge, JudgeContext, JudgeSession, Quote, Verdict
from halo_core.stage import ModelInput
from halo_core.testing.judges.rules import check_quote, check_verdicts


def judge(compare: Callable[[Sequence[Comparison]], Iterable[Any]]) -> Judge:
    class Made(Judge):
        @contextmanager
        def open(self, context: JudgeContext) -> Iterator[JudgeSession]:
            yield Session()

    class Session:
        def compare(self, comparisons: Sequence[Comparison]) -> Iterable[Any]:
            return compare(comparisons)

    return Made()


def longest(comparison: Comparison) -> Verdict:
    gap = len(comparison.a) - len(comparison.b)
    return Verdict(comparison.id, "A" if gap > 0 else "B" if gap < 0 else "tie")


def each(verdict: Callable[[Comparison], object]) -> Judge:
    return judge(lambda comparisons: [verdict(comparison) for comparison in comparisons])


def test_a_good_judge_passes(tmp_path: Path) -> None:
    check_verdicts(each(longest), tmp_path)


def test_verdicts_may_come_in_any_order(tmp_path: Path) -> None:
    check_verdicts(judge(lambda cs: (longest(c) for c in reversed(cs))), tmp_path)


def test_unscored_comparisons_with_a_reason_pass(tmp_path: Path) -> None:
    check_verdicts(each(lambda c: Verdict(c.id, None, "no opinion")), tmp_path)


def items(c: Comparison) -> Verdict:
    """Returns a verdict by the items of lists, with the preference for the other text."""
    a, b = (1 + text.count("\n- ") for text in (c.a, c.b))
    return Verdict(c.id, "A" if a > b else "B" if a < b else "tie", preference=b / (a + b))


def word(text: str) -> float:
    """Returns a score of the longest word, which is too large for very long ones."""
    return math.exp(max(map(len, text.split()), default=0))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (each(items), "the winner of 'structured' is A, and its preference is 0.33"),
        (each(lambda c: Verdict(c.id, None)), "is unscored without a reason; say why"),
        (each(lambda c: Verdict(c.id, "C")), "compare() gave the winner 'C'; expected one Verdict"),
        (each(lambda c: Verdict(c.id, "A", preference=2.0)), "compare() gave the preference 2.0"),
        (each(lambda c: Verdict(c.id, "A", cost=-1.0)), "compare() gave the cost -1.0; expected"),
        (each(lambda c: "A"), "compare() gave 'A'; expected one Verdict per comparison"),
        (each(lambda c: Verdict(c.id, "AB"[word(c.a) < word(c.b)])), "raised OverflowError"),
        (each(lambda c: Verdict("plain", "A")), "expected one for each of"),
        (judge(lambda cs: [longest(c) for c in cs if c.a]), "expected one for each of"),
        (judge(lambda cs: [longest(c) for c in cs] * 2), "expected one for each of"),
        (judge(lambda cs: [Verdict("x", "A")]), "no comparisons, but verdicts came back"),
        (
            each(lambda c: Verdict(c.id, "A" if len(c.a) / len(c.b) > 1 else "B")),
            "the first session raised ZeroDivisionError",
        ),
    ],
)
def test_a_broken_rule_is_named(made: Judge, message: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_verdicts(made, tmp_path)


def quoting(quote: Callable[[Sequence[Comparison], Path], Any]) -> Judge:
    class Quoting(Judge):
        def open(self, context: JudgeContext) -> AbstractContextManager[JudgeSession]:
            raise NotImplementedError

        def quote(self, comparisons: Sequence[Comparison], shared: Path) -> Quote | None:
            return quote(comparisons, shared)

    return Quoting()


def of(calls: int, kept: int = 0) -> Quote:
    return Quote(calls, kept, 0, 0, None, "m")


def test_a_quote_of_what_is_asked_passes_and_so_does_none(tmp_path: Path) -> None:
    check_quote(quoting(lambda cs, shared: of(len(cs))), tmp_path)
    check_quote(quoting(lambda cs, shared: None), tmp_path)


@pytest.mark.parametrize(
    ("quote", "message"),
    [
        (lambda cs, shared: of(len(cs)) if cs else None, "expected None for both, or for neither"),
        (lambda cs, shared: of(-1), "quote() returned the calls -1; expected None or a Quote"),
        (lambda cs, shared: 3.5, "quote() returned 3.5; expected None or a Quote, whose numbers"),
        (lambda cs, shared: shared.mkdir(exist_ok=True), "expected nothing"),
        (lambda cs, shared: of(1 // len(cs)), "quote() raised ZeroDivisionError"),
    ],
)
def test_a_quote_that_breaks_a_rule_is_named(
    quote: Callable[[Sequence[Comparison], Path], Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_quote(quoting(quote), tmp_path)


def test_the_check_hands_models_and_two_folders_to_the_judge(tmp_path: Path) -> None:
    opened: list[JudgeContext] = []

    class Looking(Judge):
        @contextmanager
        def open(self, context: JudgeContext) -> Iterator[JudgeSession]:
            opened.append(context)
            yield each(longest).open(context).__enter__()

    models = {"from": ModelInput("a/b", "main", "")}
    check_verdicts(Looking(), tmp_path, models=models)
    first, second = opened
    assert first == second
    assert first.models == models
    assert first.folder.is_dir()
    assert not first.shared.exists()
