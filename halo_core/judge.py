"""The interface of a judge, which says which of two completions of a prompt is better."""

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
"""JSON schemas of the tools that an assistant may call."""
Fields = Mapping[str, Any]
"""Fields of a completion's message besides its text: `tool_calls`, thoughts and so on."""
Beside = Literal["tools", "fields"]
"""Parts of a row besides its messages and texts; see `Tools` and `Fields`."""


@dataclass(frozen=True)
class Comparison:
    """Two completions of a prompt, in the order in which they are shown.

    Attributes:
        id: The comparison's id in its stage.
        prompt: The messages before the completion.
        a: The text shown first.
        b: The text shown second.
        tools: The tools that the prompt offers, if any.
        a_fields: Further fields of the message of `a`, such as `tool_calls`, if any.
        b_fields: Further fields of the message of `b`, if any.
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
    """A judge's verdict on a comparison.

    Attributes:
        id: Id of the comparison.
        winner: The winner ``"A"``, ``"B"`` or ``"tie"``; None if it could not be scored.
        reason: The judge's words, or why it could not be scored.
        preference: The probability that A is better, in [0, 1], with one half for a tie; None if
            the judge does not give one.
        calls: Number of paid requests for the verdict, in this or an earlier run.
        cost: Cost of these requests in dollars; None if unknown.
    """

    id: str
    winner: Winner | None
    reason: str = ""
    preference: float | None = None
    calls: int = 0
    cost: float | None = None

    def fault(self) -> str | None:
        """Returns the first invalid value; None if all are valid.

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
"""Description of what `JudgeSession.compare` yields, for messages."""


@dataclass(frozen=True)
class Quote:
    """The effort and cost of asking a judge.

    Attributes:
        calls: Number of requests that must be paid for, without those whose reply is already kept.
        kept: Number of comparisons whose verdict is already kept or needs no request.
        tokens_in: Approximate number of tokens sent.
        tokens_out: Maximum number of tokens in the replies.
        cost: Approximate maximum cost in dollars; None if the price is unknown.
        model: The model that is asked.
        prices: The source and date of the prices.
    """

    calls: int
    kept: int
    tokens_in: int
    tokens_out: int
    cost: float | None
    model: str
    prices: str = ""

    def fault(self) -> str | None:
        """Returns the first invalid value; None if all are valid."""
        counts = ("calls", "kept", "tokens_in", "tokens_out")
        right = {name: is_number(getattr(self, name)) for name in counts}
        right |= {name: right[name] and getattr(self, name) >= 0 for name in counts}
        right["cost"] = self.cost is None or (is_number(self.cost) and self.cost >= 0)
        right |= {name: isinstance(getattr(self, name), str) for name in ("model", "prices")}
        return first_wrong(self, right)


@dataclass(frozen=True)
class JudgeContext:
    """The folders and models that a judge works with.

    Attributes:
        folder: The judge's own folder, which exists. It keeps files between runs of its stage.
        shared: The workspace's folder of paid replies of all runs. It may not exist yet.
        models: Models of the spec by the judge's option (``from``) that names them.
        warn: Shows a warning to the user.
    """

    folder: Path
    shared: Path
    models: Mapping[str, ModelInput] = field(default_factory=dict)
    warn: Callable[[str], None] = SilentProgress().warn


class JudgeSession(Protocol):
    """An open judge with its connections, stores and models."""

    def compare(self, comparisons: Sequence[Comparison]) -> Iterable[Verdict]:
        """Yields one verdict per comparison, in any order. Never raises for a single comparison."""
        ...


class Judge(Component):
    """Compares completions. The stage swaps the orders, not the judge.

    A judge that scores single completions is a `halo_core.ScoringJudge`.

    Raises:
        PluginError: At class definition, when it uses the interface from before `JudgeContext`.
    """

    kind: ClassVar[str] = "judge"
    prompts_at_once: ClassVar[int] = 32
    """Number of prompts in one call of `compare`.

    If the call raises, the comparisons without an answer are asked again, one by one. This stops
    after as many failures in a row as this number, but at least 8.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if mistake := _mistake(cls):
            raise PluginError(mistake, location=f"{cls.__module__}.{cls.__qualname__}")

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns (option, message) for options that do not suit the judge's inputs.

        Args:
            inputs: The inputs as for `Stage.check_inputs`, with the models of the judge's options.

        Raises:
            UserError: Instead of a pair. The location names an option.
        """
        return ()

    def reads_beside(self) -> Collection[Beside]:
        """Returns what it reads besides messages and texts: ``tools``, ``fields``, both or neither.

        If the rows have parts that it does not read, a warning says so with the number of rows, and
        completions with tool calls, whose text is only a part of them, are not labelled.
        """
        return ()

    def check_ready(self) -> None:
        """Checks what it needs besides its options, such as a key. Sends no request.

        The stages call it before anything of the run is computed.

        Raises:
            UserError: When it would be unable to judge.
        """

    def quote(self, comparisons: Sequence[Comparison], shared: Path) -> Quote | None:
        """Returns the effort and cost of asking; None if it costs nothing or is unknown.

        It sends no request, needs no key and writes nothing.

        Args:
            comparisons: The comparisons to ask about. If empty, the quote shows the kind of judge.
            shared: The folder as in `JudgeContext`.
        """
        return None

    @abstractmethod
    def open(self, context: JudgeContext) -> AbstractContextManager[JudgeSession]:
        """Returns a session.

        Raises:
            UserError: When it cannot judge, for example without a key or for an unknown model.
        """


_GONE = {
    "open_shared": "shared, the folder of replies that were paid for",
    "with_models": "models, those that its options name",
}
"""The replacement in `open(context)` for each method from before `JudgeContext`."""


def _mistake(cls: type[Judge]) -> str | None:
    """Returns what is wrong with a judge's class and what to do."""
    if interface_of(cls) is Judge and inspect.getattr_static(cls, "open_scoring", None) is not None:
        return (
            "open_scoring() alone does not make a scoring judge: subclass halo_core.ScoringJudge "
            "instead of Judge, leave open() out and take context in place of a folder"
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
        return f"prompts_at_once is {size!r}; expected a whole number of at least 1"
    for name, instead in _GONE.items():
        if inspect.getattr_static(cls, name, None) is not None:
            return (
                f"{name}() is no longer called; leave it out: open(context) has context.{instead}"
            )
    return None


def _parameters(method: Callable[..., object]) -> list[str] | None:
    """Returns the names of a method's required arguments; None if it takes any."""
    parameters = [*inspect.signature(method).parameters.values()][1:]
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]
