"""The interface of a stage, and the context in which it runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, Literal, get_args

from halo_core.component import Component, is_interface
from halo_core.devices import EXAMPLE_DEVICES, Devices
from halo_core.errors import PluginError
from halo_core.events import EventLog
from halo_core.feedback import Feedback
from halo_core.fit import Fit
from halo_core.loss import Loss
from halo_core.option_fields import values_by_alias
from halo_core.progress import Progress, SilentProgress
from halo_core.rows import DataSet
from halo_core.sampling import Sampling
from halo_core.stage_options import check_options, roles_of
from halo_core.stop_flag import StopFlag as StopFlag  # whoever makes a context needs one
from halo_core.token_view import TokenView

Product = Literal["model", "samples", "verdicts", "feedback"]


@dataclass(frozen=True)
class ModelInput:
    """A model that a stage starts from, refers to or samples.

    Attributes:
        path: A folder saved by transformers, or an id on the hub.
        revision: The revision on the hub; None for a folder.
        digest: A name of the weights.
    """

    path: str
    revision: str | None
    digest: str


@dataclass(frozen=True)
class StageContext:
    """All that a stage reads and writes besides its own options.

    Attributes:
        id: The stage's id in the spec.
        folder: The stage's folder. A model goes to ``model/``, samples to ``samples.jsonl``,
            verdicts to ``verdicts.jsonl``, feedback to ``feedback.jsonl``. Files that a resume
            needs are next to them.
        seed: The run's seed.
        models: Models by option name: ``from``, ``reference``, or ``judge.from`` for an option of
            an inner component.
        inputs: Folders of stages by the option name (``of``, ``against``) that refers to them.
        data: Converted rows by option name (``data``, ``prompts``, ``evaluate.NAME``).
        cache: A folder that all stages share, for files that can be computed again (tokens).
        events: The event log, which takes metrics; silent on ranks other than 0.
        progress: Shows progress bars; silent on ranks other than 0.
        stop: A flag that asks the stage to stop.
        warn: Shows a warning to the user.
        note: Shows a fact to the user, and writes it to the event log.
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
    note: Callable[[str], None]

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
        """Returns a context outside of a run. It is silent and has no inputs or request to stop.

        Args:
            folder: The stage's folder.
            id_: The stage's id.
            seed: The seed.
            models: Models by option name.
            inputs: Folders of stages by the option name that refers to them.
            data: Rows by option name.
            cache: The folder of files that can be computed again. Default: ``cache`` in `folder`.
            events: The event log, which takes metrics. By default they are dropped.
            progress: Shows progress bars.
            stop: A flag. Set it to ask the stage to stop.
            warn: Receives warnings. By default `progress` shows them.
        """
        shown, log = progress or SilentProgress(), events or EventLog()

        def note(message: str) -> None:
            log.append("note", stage=id_, message=message)
            shown.note(f"{id_}: {message}")

        return cls(
            id=id_,
            folder=folder,
            seed=seed,
            models=models or {},
            inputs=inputs or {},
            data=data or {},
            cache=cache or folder / "cache",
            events=log,
            progress=shown,
            stop=stop or StopFlag(),
            warn=warn or shown.warn,
            note=note,
        )


@dataclass(frozen=True)
class StageResult:
    """The result of a stage.

    Attributes:
        metrics: Finite final numbers by short names (``win``, ``loss``).
        headline: One plain sentence for the summary.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    headline: str = ""


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """Known facts about a model that may not exist yet.

    Attributes:
        weights: Number of weights; None if unknown.
        config: Its configuration, as in ``config.json`` of transformers; None if unknown.
        hub: The id of the model on the hub that it descends from; None if there is none.
        revision: The revision on the hub.
    """

    weights: int | None = None
    config: Mapping[str, Any] | None = None
    hub: str | None = None
    revision: str | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """Known facts about a stage before it runs.

    Attributes:
        weights: Number of weights of the model it starts from; None if unknown or without a model.
        learned: Approximate number of rows that it learns from; None if unknown or without rows.
        rows: Approximate number of rows by option name (``data``, ``evaluate.NAME``); None if
            unknown.
        row_bytes: Approximate number of bytes of a row on disk by option name; None if unknown.
        inputs: Folders of finished stages by the option name that refers to them.
        cache: The folder that all stages share.
        done: Whether the stage is already done, so that no work is ahead.
        models: Models by option name (``from``, ``reference``).
        devices: The devices that the plan is made for.
    """

    weights: int | None = None
    learned: int | None = None
    rows: Mapping[str, int | None] = field(default_factory=dict)
    row_bytes: Mapping[str, float | None] = field(default_factory=dict)
    inputs: Mapping[str, Path] = field(default_factory=dict)
    cache: Path
    done: bool = False
    models: Mapping[str, KnownModel] = field(default_factory=dict)
    devices: Devices = EXAMPLE_DEVICES


@dataclass(frozen=True)
class Work:
    """The amount of a stage's work, to tell its time from that of another stage of a run.

    Attributes:
        kind: Stages of one kind need the same time for the same amount.
        amount: The amount, in any unit that stages of the kind share; at least 0.
    """

    kind: str
    amount: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A stage's forecast before it runs.

    Attributes:
        weights: Number of weights of the model it makes; None if unknown or without a model.
        size: The size of the work as label to text, one line each: memory, hours.
        ahead: The remaining work as label to text: requests, cost. It is not shown for a finished
            stage.
        disk: Approximate maximum of bytes that it has on disk at a time; None if unknown.
        left: Approximate number of bytes that are on disk when it is done; None if as many as
            `disk`.
        config: The configuration of the model it makes, as in ``config.json`` of transformers; None
            if it is unknown or that of the model it starts from.
        fit: Its needs on each device of the plan; None if unknown, or if it needs no device.
    """

    weights: int | None = None
    size: Mapping[str, str] = field(default_factory=dict)
    ahead: Mapping[str, str] = field(default_factory=dict)
    disk: int | None = None
    left: int | None = None
    config: Mapping[str, Any] | None = None
    fit: Fit | None = None


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Those inputs of a stage that can be checked before anything is computed.

    Attributes:
        models: Models by option (``from``, ``judge.from``). If a model does not exist yet, it is
            the nearest model that it descends from, or its sketch. Options without any of these
            are left out.
        there: The options of `models` whose own model exists, with its weights.
        data: Some converted rows by data option, if they exist: the first ones, and the first of
            each further sequence of roles.
        sketch: A folder that does not exist yet. A stage that makes a new model may write its
            configuration and its tokenizer there, and later stages then get this as their model.
        begins: Whether the run starts here and now. Otherwise it is only planned, perhaps for
            another machine, and nothing may be fetched.
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
"""Methods of stages in earlier versions, with advice on what to do instead."""


class Stage(Component):
    """A step of a run. It can be killed at any moment and run again in the same folder.

    Options that refer to something are marked with its role (`StartRef`, `LearnRef`, `TestRef`,
    `RivalRef`). By the role, and never by the option's name, the core counts rows, finds rows that
    are both training and test data, and connects stages.

    Class variables:
        produces: The kind of output that other stages find in its folder. A stage that makes
            ``"feedback"`` also overrides `feedback_given`.
        seeded: Whether the output depends on the seed of the run. If it does not, the identity has
            no seed, so runs with other seeds use the same output.
    """

    kind: ClassVar[str] = "stage"
    required: ClassVar[tuple[str, ...]] = ("produces",)
    produces: ClassVar[Product]
    seeded: ClassVar[bool] = True

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if is_interface(cls):
            return
        where = f"{cls.__module__}.{cls.__qualname__}"
        for name, instead in _MOVED.items():
            if isinstance(cls.__dict__.get(name), FunctionType):
                raise PluginError(
                    f"the method {name}() of a stage is no longer called: {instead}",
                    location=where,
                )
        if cls.produces not in get_args(Product):
            raise PluginError(
                f"produces is {cls.produces!r}; expected one of {', '.join(get_args(Product))}",
                location=where,
            )
        check_options(cls, cls.produces)

    def feedback_given(self) -> Feedback | None:
        """Returns the kind of feedback in its ``feedback.jsonl``; None if it makes none."""
        return None

    def feedback_wanted(self) -> Mapping[str, Feedback]:
        """Returns the kind of feedback that each option needs. Options without one take any kind.

        By default, if the stage has a loss, all data that it learns from or is tested on
        (`LearnRef`, `TestRef`) must have the loss's kind of feedback.
        """
        loss = next((v for v in values_by_alias(self).values() if isinstance(v, Loss)), None)
        if loss is None:
            return {}
        feedback, roles = loss.resolved_feedback(), roles_of(type(self)).items()
        return {option: feedback for option, role in roles if role in ("learn", "test")}

    def draws_with(self) -> Sampling | None:
        """Returns how it draws its samples from the model's distribution; None if it is unknown.

        A stage that produces ``"samples"`` overrides it, if it also writes log-probabilities. They
        are those of the model itself, so halo can warn before anything is sampled if a loss takes
        them for those of the distribution that the tokens are drawn from.
        """
        return None

    def mistakes(self) -> Sequence[tuple[str, str]]:
        """Returns (option, message) for options that contradict each other. Must not use torch."""
        return ()

    def forecast(self, known: Known) -> Forecast:
        """Returns the forecast for `halo plan`. Must not use torch or send a request.

        By default, the model that it makes has as many weights as the one that it starts from.

        Raises:
            UserError: When the content of an input cannot be used. The plan shows this and does not
                stop.
        """
        return Forecast(weights=known.weights)

    def work(self, known: Known) -> Work | None:
        """Returns the amount of work, for the time left that a run shows; None if it is unknown.

        Must not use torch or send a request. It is called when each stage begins, so it should
        take a few milliseconds.

        Args:
            known: Known facts, without the number of weights.
        """
        return None

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns (option, message) for options that do not suit the models and the rows.

        `halo plan` and `halo run` call this for every stage that will be computed, before anything
        is computed, and report the mistakes of all stages together. An option inside another one
        is dotted: ``lora.targets``. This method may load heavy libraries, but should take at most a
        second. For example, build a model without its weights.

        Args:
            inputs: The inputs that already exist.

        Raises:
            UserError: Instead of a pair. The location names an option.
        """
        return ()

    def view_rows(self, option: str, inputs: Inputs) -> Sequence[TokenView]:
        """Returns rows as the stage's model sees them; none if it sees no tokens.

        `halo data --tokens` shows them.

        Args:
            option: The data option whose rows are shown.
            inputs: The inputs that already exist, with only those rows of the option that are
                shown.

        Raises:
            UserError: When the model or a row cannot be used.
        """
        return ()

    def preflight(self, models: Mapping[str, ModelInput]) -> None:
        """Checks all that can be checked before training, so that no training is wasted.

        The runner calls it once for each stage that will be computed, as soon as its models exist:
        before the first stage, or right after the stage that makes the first model of the run.

        Args:
            models: The nearest existing model that each option's model descends from, often the one
                that the spec starts from.

        Raises:
            UserError: When the stage would be unable to work. The location names an option.
        """

    def command(self, folder: Path) -> Sequence[str] | None:
        """Returns the command that runs this stage in workers; None to run it in place."""
        return None

    def machines_needed(self) -> int:
        """Returns the number of machines that run `command`, each with a part of the processes.

        With several, the runner waits until the others have joined. On each, the command gets the
        variables ``HALO_MAIN``, ``HALO_MACHINE`` and ``HALO_MACHINES``.
        """
        return 1

    @abstractmethod
    def run(self, context: StageContext) -> StageResult:
        """Does the work, or continues it where an earlier call stopped.

        Raises:
            UserError: When the data or the model cannot be used.
            Interrupted: When `context.stop` was set. The state is saved.
        """

    def tidy(self, folder: Path) -> None:
        """Removes files that only an interrupted stage needs, such as checkpoints.

        It is called once, when the stage is done and its output is on the disk. If the process is
        killed before it ends, the files stay. By default it removes nothing.

        Args:
            folder: The stage's folder.
        """
