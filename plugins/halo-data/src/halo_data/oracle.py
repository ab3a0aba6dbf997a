"""The judge `oracle`: compares completions of the toy world by their known utility."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from halo_core.judge import Comparison, Judge, JudgeSession, Verdict
from halo_data.toy.scoring import Utility, utility


class Oracle(Judge):
    """Prefers the completion of higher utility; only for prompts of the toy world."""

    epsilon: float = Field(
        default=1e-6, gt=0, description="A difference of utility below this is a tie"
    )

    def open(self, folder: Path) -> AbstractContextManager[JudgeSession]:
        """Returns a session; nothing is kept in the folder."""
        return nullcontext(OracleSession(self.epsilon))


@dataclass(frozen=True)
class OracleSession:
    """Compares by utility.

    Attributes:
        epsilon: A difference of utility below this is a tie.
    """

    epsilon: float

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        """Yields one verdict per comparison, in order; unscored outside the toy world."""
        for comparison in comparisons:
            yield self._verdict(comparison)

    def _verdict(self, comparison: Comparison) -> Verdict:
        try:
            a = utility(comparison.prompt, comparison.a)
            b = utility(comparison.prompt, comparison.b)
        except ValueError as error:
            return Verdict(comparison.id, None, str(error))
        reason = f"A is {_described(a)}; B is {_described(b)}"
        if abs(a.value - b.value) < self.epsilon:
            return Verdict(comparison.id, "tie", reason)
        return Verdict(comparison.id, "A" if a.value > b.value else "B", reason)


def _described(found: Utility) -> str:
    right = "right" if found.right else "wrong"
    rude = "rude" if found.rude else "polite"
    return f"{right}, {rude}, {found.words} words ({found.value:+.2f})"
