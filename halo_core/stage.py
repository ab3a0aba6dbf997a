"""The interface of a stage, and the context in which it runs."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, Literal, get_args

from halo_core.component import Component, is_interface
from halo_core.errors import Interrupted, PluginError
from halo_core.events import EventLog
from halo_core.feedback import Feedback
from halo_core.loss import Loss
from halo_core.option_fields import values_by_alias
from halo_core.progress import Progress, SilentProgress
from halo_core.rows import DataSet
from halo_core.stage_options import check_options, roles_of
from halo_core.token_view import TokenView

Product = Literal["model", "samples", "verdicts", "feedback"]


@dataclass(frozen=True)
class ModelInput:
    """A model that a stage starts from, refers to or samples.

    Attributes:
        path: A transformers folder, or an id on the hub.
        revision: The hub revision; None for a folder.
        digest: Names the weights.
    """

    path: str
    revision: str | None
    digest: str


class StopFlag:
    """Tells a stage that Ctrl-C or SIGTERM came. Check it between steps."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal_number = 2

    def set(self, signal_number: int) -> None:
        """Asks the stage to stop at the next check."""
        self.signal_number = signal_number
        self._event.set()

    def is_set(self) -> bool:
        """Returns whether the stage should save its state and call `raise_interrupted`."""
        return self._event.is_set()

    def raise_interrupted(self, kept: str) -> None:
        """Raises `Interrupted`, saying what was kept.

        Raises:
            Interrupted: Always.
        """
        raise Interrupted(f"stopped; {kept}", signal_number=self.signal_number)


@dataclass(frozen=True)
class StageContext:
    """All that a stage reads and writes besides its own options.

    Attributes:
        id: The stage's id in the spec.
        folder: The stage's folder. A model goes to ``model/``, samples to ``samples.jsonl``,
            verdicts to ``verdicts.jsonl``, feedback to ``feedback.jsonl``; whatever a resume needs
            lies beside them.
        seed: The run's seed.
        models: Option name (``from``, ``reference``, and ``judge.from`` for that of a component
            within) to model.
        inputs: Option name (``of``, ``against``) to the folder of the stage it names.
        data: Option name (``data``, ``prompts``, ``evaluate.NAME``) to rows, already converted.
        cache: A folder shared by all stages, for what can be computed again (tokens).
        events: Where metrics go; silent on ranks other than 0.
        progress: Progress bars; silent on ranks other than 0.
        stop: Whether to stop.
        warn: Reports something the user should know, without stopping.
    """

    id: str
    folder: Path
    seed: int
    models: Mapping[str, ModelInput]
    inputs: Mapping[str, Path]
    data: Mapping[str, DataSet]
    cache: Path
    events: EventLog
    progress: Progress
    stop: StopFlag
    warn: Callable[[str], None]

    @classmethod
    def for_folder(
        cls,
        folder: Path,
        *,
        id_: str = "stage",
        seed: int = 0,
        models: Mapping[str, ModelInput] | None = None,
        inputs: Mapping[str, Path] | None = None,
        data: Mapping[str, DataSet] | None = None,
        cache: Path | None = None,
        events: EventLog | None = None,
        progress: Progress | None = None,
        stop: StopFlag | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> StageContext:
        """Returns a context outside of a run: without inputs, silent, never asked to stop.

        Args:
            folder: The stage's folder.
            id_: The stage's id.
            seed: The seed.
            models: Option name to model.
            inputs: Option name to the folder of the stage it names.
            data: Option name to rows.
            cache: The folder of what can be computed again; ``cache`` within `folder` when left
                out.
            events: Where metrics go; they are dropped when left out.
            progress: Where bars are shown.
            stop: Set it to ask the stage to stop.
            warn: Takes warnings; `progress` shows them when left out.
        """
        shown = progress or SilentProgress()
        return cls(
            id=id_,
            folder=folder,
            seed=seed,
            models=models or {},
            inputs=inputs or {},
            data=data or {},
            cache=cache or folder / "cache",
            events=events or EventLog(),
            progress=shown,
            stop=stop or StopFlag(),
            warn=warn or shown.warn,
        )


@dataclass(frozen=True)
class StageResult:
    """What a stage reports when it is done.

    Attributes:
        metrics: Final numbers, finite, by short names (``win``, ``loss``).
        headline: One plain sentence for the summary.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    headline: str = ""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a stage before it runs.

    Attributes:
        weights: Those of the model it starts from; None if unknown, or it starts from none.
        learned: About the rows that it learns from; None if unknown, or it learns from none.
        rows: Option name (``data``, ``evaluate.NAME``) to about the rows; None if unknown.
        inputs: Option name to folder, of the stages it takes from that are done.
        cache: The folder shared by all stages.
        done: Whether it is done itself, so that no work is ahead.
    """

    weights: int | None = None
    learned: int | None = None
    rows: Mapping[str, int | None] = field(default_factory=dict)
    inputs: Mapping[str, Path] = field(default_factory=dict)
    cache: Path
    done: bool = False


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a stage says of itself before it runs.

    Attributes:
        weights: Those of the model it makes; None if unknown, or it makes none.
        size: How large the work is, as label to text, one line each: memory, hours.
        ahead: What is still to do, as label to text: requests, cost. Not shown of a done stage.
    """

    weights: int | None = None
    size: Mapping[str, str] = field(default_factory=dict)
    ahead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What can be looked at of what a stage will be given, before anything is computed.

    Attributes:
        models: Model option (``from``, ``judge.from``) to the model where it is there; else the
            nearest one that it descends from, or the sketch of it. Options of which nothing is
            there yet are left out.
        there: The options of `models` whose model is there itself, with its weights.
        data: Data option to some of its rows, already converted, where they are there: the first
            ones, and the first of each further sequence of roles.
        sketch: A folder that is not there yet. A stage that makes a model from nothing may write
            its configuration and its tokenizer there; later stages are then given that as model.
        begins: Whether the run begins now and here. Else it is only planned, perhaps for another
            machine, and nothing may be fetched.
    """

    models: Mapping[str, ModelInput] = field(default_factory=dict)
    there: Collection[str] = ()
    data: Mapping[str, DataSet] = field(default_factory=dict)
    sketch: Path
    begins: bool = False


_FORECAST = "return it from forecast(known), as Forecast({}=...)"
_MOVED = {
    "parameters": _FORECAST.format("weights"),
    "size": _FORECAST.format("size"),
    "outlook": _FORECAST.format("ahead"),
    "model_defaults": "mark the option, as in Annotated[StartRef | None, Default('previous')]",
    "defaults": "mark the option, as in Annotated[RefPointEstimator | None, Default('loss')]",
}
"""Methods that stages once had, and what to do instead."""


class Stage(Component):
    """A step of a run. It can be killed at any moment and run again in the same folder.

    Options that name something are marked with what the stage does with it (`StartRef`, `LearnRef`,
    `TestRef`, `RivalRef`): by that, and never by the option's name, the core counts rows, looks for
    what is both learned from and tested on, and connects stages.

    Class variables:
        produces: What other stages find in its folder. A stage that makes ``"feedback"`` overrides
            `feedback_given` too.
    """

    kind: ClassVar[str] = "stage"
    required: ClassVar[tuple[str, ...]] = ("produces",)
    produces: ClassVar[Product]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if is_interface(cls):
            return
        where = f"{cls.__module__}.{cls.__qualname__}"
        for name, instead in _MOVED.items():
            if isinstance(cls.__dict__.get(name), FunctionType):
                raise PluginError(
                    f"nothing calls the method {name}() of a stage any more: {instead}",
                    location=where,
                )
        if cls.produces not in get_args(Product):
            raise PluginError(
                f"produces is {cls.produces!r}; expected one of {', '.join(get_args(Product))}",
                location=where,
            )
        check_options(cls, cls.produces)

    def feedback_given(self) -> Feedback | None:
        """Returns the kind of the rows in its ``feedback.jsonl``; None where it makes none."""
        return None

    def feedback_wanted(self) -> Mapping[str, Feedback]:
        """Returns option to the feedback that it needs; options not named take any kind.

        Left alone, all that it learns from or is tested on (`LearnRef`, `TestRef`) is of the kind
        of its loss, where it has one.
        """
        loss = next((v for v in values_by_alias(self).values() if isinstance(v, Loss)), None)
        if loss is None:
            return {}
        feedback, roles = loss.resolved_feedback(), roles_of(type(self)).items()
        return {option: feedback for option, role in roles if role in ("learn", "test")}

    def mistakes(self) -> Sequence[tuple[str, str]]:
        """Returns (option, message) for options that contradict each other; no torch here."""
        return ()

    def forecast(self, known: Known) -> Forecast:
        """Returns what `halo plan` says of the stage before it runs; no torch here, asks nothing.

        Left alone, the model it makes has the weights of the one that it starts from.

        Raises:
            UserError: When what an input holds cannot be used; the plan says so and goes on.
        """
        return Forecast(weights=known.weights)

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns (option, message) for options that do not suit the models and the rows.

        `halo plan` and `halo run` ask every stage to do before anything is computed, and report
        all mistakes of all stages together. An option within another is dotted: ``lora.targets``.
        It may load heavy libraries, and should take a second, not more: a model is built without
        its weights.

        Args:
            inputs: What is there.

        Raises:
            UserError: In place of a pair; the location names an option.
        """
        return ()

    def view_rows(self, option: str, inputs: Inputs) -> Sequence[TokenView]:
        """Returns rows as the stage's model sees them; none where it sees no tokens.

        `halo data --tokens` shows them.

        Args:
            option: The option for data whose rows are shown.
            inputs: What is there; of the option's rows those that are shown.

        Raises:
            UserError: When the model or a row cannot be used.
        """
        return ()

    def preflight(self, models: Mapping[str, ModelInput]) -> None:
        """Checks what can be checked before anything is trained, so that no training is in vain.

        The runner calls it once per stage to do, as soon as its models are there: before the first
        stage, or right after the stage that makes the first model of the run.

        Args:
            models: Model option to the nearest model that its own descends from, which is often
                the one that the spec starts from.

        Raises:
            UserError: When the stage could not work; the location names an option.
        """

    def command(self, folder: Path) -> Sequence[str] | None:
        """Returns the command that runs this stage in workers; None to run it in place."""
        return None

    @abstractmethod
    def run(self, context: StageContext) -> StageResult:
        """Does the work, or goes on with it where an earlier call stopped.

        Raises:
            UserError: When the data or the model cannot be used.
            Interrupted: When `context.stop` was set; the state is saved.
        """
