"""The judge that prefers the longer text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from halo_core.judge import Comparison, Verdict, Winner


def longer(a: str, b: str) -> Winner:
    """Returns which text has more characters, or a tie.

    >>> longer("Moo.", "A cow says moo.")
    'B'
    """
    if len(a) == len(b):
        return "tie"
    return "A" if len(a) > len(b) else "B"


class LongestSession:
    """Answers at once."""

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        """Yields one verdict per comparison, with both lengths as the reason."""
        for comparison in comparisons:
            a, b = comparison.a, comparison.b
            yield Verdict(comparison.id, longer(a, b), f"{len(a)} against {len(b)} characters")
