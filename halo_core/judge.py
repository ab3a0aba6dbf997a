"""The interface of a judge: which of two completions of one prompt is better."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args

from halo_core.component import Component, interface_of
from halo_core.errors import PluginError
from halo_core.feedback import Prompt
from halo_core.guarded.blame import first_wrong, is_number
from halo_core.guarded.judge_calls import Form
from halo_core.progress import SilentProgress
from halo_core.stage import Inputs, ModelInput

Winner = Literal["A", "B", "tie"]
Tools = Sequence[Mapping[str, Any]]
"""JSON schemas of what an assistant may call."""
Fields = Mapping[str, Any]
"""What the message of a completion holds besides its text: `tool_calls`, thoughts and so on."""
Beside = Literal["tools", "fields"]
"""What belongs to a row besides its messages and texts: see `Tools` and `Fields`."""


@dataclass(frozen=True)
class Comparison:
    """Two completions of one prompt, in the order in which they are shown.

    Attributes:
        id: Names the comparison within its stage.
        prompt: The messages before the completion.
        a: The text shown first.
        b: The text shown second.
        tools: The tools that the prompt offers; None for none.
        a_fields: What else the message of `a` holds, such as `tool_calls`; None for nothing.
        b_fields: What else that of `b` holds.
    """

    id: str
    prompt: Prompt
    a: str
    b: str
    tools: Tools | None = None
    a_fields: Fields | None = None
    b_fields: Fields | None = None


@dataclass(frozen=True)
class Verdict:
    """What a judge said of a comparison.

    Attributes:
        id: Id of the comparison.
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

    def fault(self) -> str | None:
        """Returns which of its values no verdict can have; None where it is one.

        >>> Verdict("1", "A", preference=1.5).fault()
        'the preference 1.5'
        """
        share, cost = self.preference, self.cost
        right = {
            "id": isinstance(self.id, str),
            "winner": self.winner is None or self.winner in get_args(Winner),
            "reason": isinstance(self.reason, str),
            "preference": share is None or (is_number(share) and 0 <= share <= 1),
            "calls": isinstance(self.calls, int) and is_number(self.calls) and self.calls >= 0,
            "cost": cost is None or (is_number(cost) and cost >= 0),
        }
        return first_wrong(self, right)


VERDICT_FORM = Form(
    "open",
    "compare",
    Verdict,
    "one Verdict per comparison, with its id, a winner 'A', 'B', 'tie' or None, a preference in "
    "[0, 1] or None, and calls and a cost of at least 0",
    lambda id_, reason: Verdict(id_, None, reason),
)
"""What `JudgeSession.compare` gives."""


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

    def fault(self) -> str | None:
        """Returns which of its values no quote can have; None where it is one."""
        counts = ("calls", "kept", "tokens_in", "tokens_out")
        right = {name: is_number(getattr(self, name)) for name in counts}
        right |= {name: right[name] and getattr(self, name) >= 0 for name in counts}
        right["cost"] = self.cost is None or (is_number(self.cost) and self.cost >= 0)
        right |= {name: isinstance(getattr(self, name), str) for name in ("model", "prices")}
        return first_wrong(self, right)


@dataclass(frozen=True)
class JudgeContext:
    """Where a judge works.

    Attributes:
        folder: A folder of the judge's own, which exists: what it keeps between runs of its stage.
        shared: The workspace's folder of replies that were paid for, which need not exist yet: what
            was paid for in any run is found there.
        models: Option of the judge (``from``) to the model of the spec that it names.
        warn: Reports something the user should know, without stopping.
    """

    folder: Path
    shared: Path
    models: Mapping[str, ModelInput] = field(default_factory=dict)
    warn: Callable[[str], None] = SilentProgress().warn


class JudgeSession(Protocol):
    """An opened judge; it holds connections, stores and models."""

    def compare(self, comparisons: Sequence[Comparison]) -> Iterable[Verdict]:
        """Yields one verdict per comparison, in any order; it never raises for a single one."""
        ...


class Judge(Component):
    """Compares completions. Orders are swapped by the stage, not by the judge.

    A judge that scores single completions is a `halo_core.ScoringJudge`.

    Raises:
        PluginError: At class definition, when it is written for what was before `JudgeContext`.
    """

    kind: ClassVar[str] = "judge"
    prompts_at_once: ClassVar[int] = 32
    """Prompts it gets in one call of `compare`.

    When that raises, what it did not answer is asked again, one by one. So many failures in a row
    (8 at least) end the asking.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if mistake := _mistake(cls):
            raise PluginError(mistake, location=f"{cls.__module__}.{cls.__qualname__}")

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns (option, message) for options that do not suit what the judge will be given.

        Args:
            inputs: As for `Stage.check_inputs`, with the models that the judge's options name.

        Raises:
            UserError: In place of a pair; the location names an option.
        """
        return ()

    def reads_beside(self) -> Collection[Beside]:
        """Returns what it reads besides messages and texts: ``tools``, ``fields``, both or neither.

        What it does not read of the rows is told by a warning, with the number of rows, and
        completions with calls of tools, whose text is a part of what they say, are not labelled.
        """
        return ()

    def check_ready(self) -> None:
        """Checks what it needs beside its options, such as a key; asks nothing.

        The stages call it before anything of the run is computed.

        Raises:
            UserError: When it could not judge.
        """

    def quote(self, comparisons: Sequence[Comparison], shared: Path) -> Quote | None:
        """Returns what asking would take; None where it costs nothing, or that is not known.

        It asks nothing, needs no key and writes nothing.

        Args:
            comparisons: What would be asked; with none, what kind of judge it is.
            shared: As in `JudgeContext`.
        """
        return None

    @abstractmethod
    def open(self, context: JudgeContext) -> AbstractContextManager[JudgeSession]:
        """Returns a session.

        Raises:
            UserError: When it cannot judge: no key, no such model.
        """


_GONE = {
    "open_shared": "shared, the folder of replies that were paid for",
    "with_models": "models, those that its options name",
}
"""Method that judges had before `JudgeContext` to what `open(context)` gives instead."""


def _mistake(cls: type[Judge]) -> str | None:
    """Returns what is wrong with a judge's class, and what to do."""
    if interface_of(cls) is Judge and inspect.getattr_static(cls, "open_scoring", None) is not None:
        return (
            "open_scoring() makes no judge that scores: subclass halo_core.ScoringJudge instead of "
            "Judge, leave open() out and take context in place of a folder"
        )
    for name in ("open", "open_scoring"):
        method = inspect.getattr_static(cls, name, None)
        if callable(method) and (taken := _parameters(method)) not in (None, ["context"]):
            return (
                f"{name}() takes {taken}; expected {name}(self, context): context.folder is the "
                "judge's own folder, see halo_core.JudgeContext"
            )
    size: object = cls.prompts_at_once
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        return f"prompts_at_once is {size!r}; expected a whole number from 1 on"
    for name, instead in _GONE.items():
        if inspect.getattr_static(cls, name, None) is not None:
            return (
                f"{name}() is no longer called; leave it out: open(context) has context.{instead}"
            )
    return None


def _parameters(method: Callable[..., object]) -> list[str] | None:
    """Returns the names of what a method must be given; None where any would do."""
    parameters = [*inspect.signature(method).parameters.values()][1:]
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]
