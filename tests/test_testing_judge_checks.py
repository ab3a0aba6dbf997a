import re
from contextlib import contextmanager

import pytest

from halo_core import Judge, Verdict
from halo_core.testing.judge import check_verdicts


def judge(compare):
    class Made(Judge):
        @contextmanager
        def open(self, folder):
            yield Session()

    class Session:
        def compare(self, comparisons):
            return compare(comparisons)

    return Made()


def longest(comparison):
    gap = len(comparison.a) - len(comparison.b)
    return Verdict(comparison.id, "A" if gap > 0 else "B" if gap < 0 else "tie")


def each(verdict):
    return judge(lambda comparisons: [verdict(comparison) for comparison in comparisons])


def test_a_good_judge_passes(tmp_path):
    check_verdicts(each(longest), tmp_path)


def test_verdicts_may_come_in_any_order(tmp_path):
    check_verdicts(judge(lambda cs: (longest(c) for c in reversed(cs))), tmp_path)


def test_unscored_comparisons_with_a_reason_pass(tmp_path):
    check_verdicts(each(lambda c: Verdict(c.id, None, "no opinion")), tmp_path)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (each(lambda c: Verdict(c.id, None)), "is unscored without a reason; say why"),
        (each(lambda c: Verdict(c.id, "C")), "winner is 'C'; expected 'A', 'B', 'tie' or None"),
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
def test_a_broken_rule_is_named(made, message, tmp_path):
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_verdicts(made, tmp_path)
