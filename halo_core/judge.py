"""The interface of a judge: which of two completions of one prompt is better."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

from halo_core.component import Component
from halo_core.feedback import Prompt
from halo_core.stage import ModelInput

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
        preference: How sure it is that A is better, in [0, 1], a tie being one half; None where
            the judge does not say.
        calls: Paid requests behind the verdict, whichever run made them.
        cost: What they cost in dollars; None where that is not known.
    """

    id: str
    winner: Winner | None
    reason: str = ""
    preference: float | None = None
    calls: int = 0
    cost: float | None = None


@dataclass(frozen=True)
class Quote:
    """What asking a judge would take.

    Attributes:
        calls: Requests to be paid for; those whose reply is kept already are not among them.
        kept: Comparisons whose verdict is there already, or needs no request.
        tokens_in: Tokens sent, about.
        tokens_out: Tokens of the replies, at most.
        cost: Dollars, at most about; None where the price is not known.
        model: What is asked.
        prices: Whose prices these are, and of what date.
    """

    calls: int
    kept: int
    tokens_in: int
    tokens_out: int
    cost: float | None
    model: str
    prices: str = ""


class JudgeSession(Protocol):
    """An opened judge; it holds connections, stores and models."""

    def compare(self, comparisons: Sequence[Comparison]) -> Iterable[Verdict]:
        """Yields one verdict per comparison, in any order; it never raises for a single one."""
        ...


class Judge(Component):
    """Compares completions. Orders are swapped by the stage, not by the judge."""

    kind: ClassVar[str] = "judge"
    prompts_at_once: ClassVar[int] = 32
    """Prompts it gets in one call of `compare`; when it raises, so many verdicts are lost."""

    def check_ready(self) -> None:
        """Checks what it needs beside its options, such as a key; asks nothing.

        The stages call it before anything of the run is computed.

        Raises:
            UserError: When it could not judge.
        """

    @abstractmethod
    def open(self, folder: Path) -> AbstractContextManager[JudgeSession]:
        """Returns a session; what it wants to keep between runs goes into `folder`."""


@runtime_checkable
class ModelJudge(Protocol):
    """What a judge has that may be a model of the spec, by an option that is a `ModelRef`."""

    def with_models(self, models: Mapping[str, ModelInput]) -> Judge:
        """Returns a copy that knows where its models are; the stage calls it before it opens.

        Args:
            models: Option of the judge (``from``) to the model that it names.
        """
        ...


@runtime_checkable
class PaidJudge(Protocol):
    """What a judge does besides that is paid per request. The stage calls `open_shared`."""

    def open_shared(self, folder: Path, shared: Path) -> AbstractContextManager[JudgeSession]:
        """Returns a session that pays for nothing twice.

        Args:
            folder: The stage's; says on whose account a request goes.
            shared: Of the workspace: what was paid for in any run is found there.
        """
        ...

    def quote(self, comparisons: Sequence[Comparison], shared: Path) -> Quote:
        """Returns what asking would take; asks nothing, needs no key and writes nothing."""
        ...
