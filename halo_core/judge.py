"""The interface of a judge: which of two completions of one prompt is better."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from halo_core.component import Component
from halo_core.feedback import Prompt

Winner = Literal["A", "B", "tie"]


@dataclass(frozen=True)
class Comparison:
    """Two completions of one prompt, in the order in which they are shown.

    Attributes:
        id: Names the comparison within its stage.
        prompt: The messages before the completion.
        a: The text shown first.
        b: The text shown second.
    """

    id: str
    prompt: Prompt
    a: str
    b: str


@dataclass(frozen=True)
class Verdict:
    """What a judge said of a comparison.

    Attributes:
        id: That of the comparison.
        winner: ``"A"``, ``"B"`` or ``"tie"``; None when it could not be scored.
        reason: The judge's words, or why it could not be scored.
    """

    id: str
    winner: Winner | None
    reason: str = ""


class JudgeSession(Protocol):
    """An opened judge; it holds connections, stores and models."""

    def compare(self, comparisons: Sequence[Comparison]) -> Iterable[Verdict]:
        """Yields one verdict per comparison, in any order; it never raises for a single one."""
        ...


class Judge(Component):
    """Compares completions. Orders are swapped by the stage, not by the judge."""

    kind: ClassVar[str] = "judge"

    @abstractmethod
    def open(self, folder: Path) -> AbstractContextManager[JudgeSession]:
        """Returns a session; what it wants to keep between runs goes into `folder`."""
