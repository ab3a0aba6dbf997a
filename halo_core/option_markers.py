"""The markers in the type of an option, which tell the core what to do with the option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

Role = Literal["start", "learn", "test", "rival"]
"""The role of an option's target in a stage, if the core acts on it.

``start``: the model that the stage starts from or samples from. ``learn``: rows that it learns
    from.
``test``: rows that it is tested on, which nothing may learn from. ``rival``: samples that other
samples are compared with.
"""


@dataclass(frozen=True)
class Refers:
    """Marks an option that refers to something in the spec: a model, samples, a data set.

    Attributes:
        product: The kind of thing it refers to: ``"model"``, ``"samples"``, ``"verdicts"``,
            ``"feedback"`` or ``"data"``.
        role: Its role in the stage; None if the core does not act on it.
        also: Words that may be written instead of the id of a stage.
    """

    product: str
    role: Role | None = None
    also: tuple[str, ...] = ()


PREVIOUS = "previous"


@dataclass(frozen=True)
class Default:
    """Marks a stage's option whose default is something else in the spec.

    The default of ``Annotated[StartRef | None, Default("previous")]`` is the model of the nearest
    earlier stage that makes one, or else the spec's model. The default of ``Annotated[ModelRef |
    None, Default("start")]`` is the model that the option `start` names. The default of
    ``Annotated[RefPointEstimator | None, Default("objective")]`` is the reference point that the
    loss in the option `objective` chooses.

    Attributes:
        of: The word ``"previous"``, or the name that specs use for another option.
        when: An attribute of the stage. If it is false, the option stays empty.
    """

    of: str
    when: str | None = None


class Location:
    """Marks an option that is a path. It is made absolute, checked, and left out of the identity.

    A path may also be written as ``file:PATH:NAME``, for something in a Python file.
    """


@dataclass(frozen=True)
class Execution:
    """Marks an option that changes only how fast or where a stage runs, and never its results.

    It is left out of the identity.

    Attributes:
        unless: An attribute of the component. If it is true, the option does change results and is
            in the identity: ``Execution(unless="exports_best")``.
    """

    unless: str | None = None


class RoundNumber:
    """Marks an option that can be the number of a round, written as the word ``round``.

    In a stage of the spec's `rounds`, the word is replaced by the number, from 1. Elsewhere the
    component itself refuses the word. Its type is ``int | Literal["round"]``.
    """


ROUND = "round"
"""The word that means the number of the round."""


class Added:
    """Marks an option that a component got after results of it were first stored.

    It is left out of the identity if it has its default, so that earlier results are found again.
    So the default must mean the behaviour without the option, and it can never change.
    """


@dataclass(frozen=True, eq=False)
class OtherNames:
    """Marks an option whose own options are called differently in another library.

    If a user writes such a name, the message about the unknown option says what to write.

    Attributes:
        library: The library: ``peft``.
        renamed: Maps a name of the library to the name of the option.
        advice: Maps a name without such an option to what to do instead: ``leave it out``.
    """

    library: str
    renamed: Mapping[str, str]
    advice: Mapping[str, str]

    def advise(self, name: str) -> str:
        """Returns advice for a name, as a sentence after a blank; empty if it is not known.

        >>> OtherNames("peft", {"r": "rank"}, {"task_type": "leave it out"}).advise("r")
        " peft's 'r' is called 'rank' here."
        """
        if name in self.renamed:
            return f" {self.library}'s {name!r} is called {self.renamed[name]!r} here."
        if name in self.advice:
            return f" It is an option of {self.library}: {self.advice[name]}."
        return ""


ModelRef = Annotated[str, Refers("model")]
"""The id of an earlier stage that makes a model, or `model` for the spec's model."""
StartRef = Annotated[str, Refers("model", role="start")]
"""A `ModelRef`: the model that the stage starts or samples from. A stage has at most one."""
SamplesRef = Annotated[str, Refers("samples")]
"""The id of an earlier stage that samples."""
RivalRef = Annotated[str, Refers("samples", role="rival", also=("target",))]
"""The opponent of samples in a comparison: the id of a stage that samples, or `target` for the
completion in the data."""
DataRef = Annotated[str | list[Any] | dict[str, Any], Refers("data")]
"""The name of a set under ``data:``, the id of an earlier stage that makes feedback, or sources
that are written in place."""
LearnRef = Annotated[str | list[Any] | dict[str, Any], Refers("data", role="learn")]
"""A `DataRef` whose rows the stage learns from."""
TestRef = Annotated[str | list[Any] | dict[str, Any], Refers("data", role="test")]
"""A `DataRef` whose rows the stage is tested on: prompts for samples, or sets for evaluation."""
