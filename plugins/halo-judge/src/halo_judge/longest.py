"""The judge that prefers the longer text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from halo_core.scoring_judge import Answer, Score


class LengthSession:
    """Scores at once."""

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        """Yields the length of each completion in characters."""
        for answer in answers:
            length = len(answer.completion)
            yield Score(answer.id, float(length), f"{length} characters")
