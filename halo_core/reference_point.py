"""The interface of an estimator of the reference point, which log-ratios are compared with."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from halo_core.component import Component
from halo_core.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor

Observes = Literal["nothing", "own", "mismatched", "pair"]
"""Kinds of log-ratios that a reference point is made from; see `RefPointEstimator`."""


@dataclass(frozen=True)
class Candidate:
    """A completion for making pairs.

    Attributes:
        prompt_id: Id of its prompt. Candidates with the same prompt share it.
        completion_id: Id of its text. Equal texts share it.
    """

    prompt_id: str
    completion_id: str


@dataclass(frozen=True)
class PairingPlan:
    """The completions of a global batch, and others that its prompts may be paired with.

    Attributes:
        batch: The completions of the global batch, in global order.
        following: The completions of the next examples in the epoch, nearest first; empty at the
            end of an epoch.
        fixed: One completion of another prompt for each completion of the batch, the same in every
            epoch. If the data have no other prompt, it is the completion itself. It is empty unless
            the estimator's `partners` are fixed.
    """

    batch: Sequence[Candidate]
    following: Sequence[Candidate]
    fixed: Sequence[Candidate] = ()


@dataclass(frozen=True)
class Pair:
    """A sequence to score: the prompt of one candidate with the completion of another.

    Both are positions in ``[*plan.batch, *plan.following, *plan.fixed]``.
    """

    prompt: int
    completion: int


@dataclass(frozen=True)
class Observed:
    """The values computed for the whole global batch, in global order, the same on every rank.

    Attributes:
        logratios: Policy minus reference log-probability of each pair, nats [pairs].
        lengths: Number of completion tokens of each pair [pairs].
        pairs: The pairs that the estimator observes: the pairs that it made, or each prompt of the
            batch with its own completion, or none [pairs].
        batch_size: Number of completions in the global batch. They have the first positions.
    """

    logratios: Sequence[float]
    lengths: Sequence[int]
    pairs: Sequence[Pair]
    batch_size: int


@dataclass(frozen=True)
class Estimate:
    """A reference point.

    Attributes:
        value: The point in nats of log-ratio. The loss multiplies it by its own beta.
        state: Numbers that the estimator gets back at the next step. Checkpoints save them.
        metrics: Pairs (sum, count) by names of the form ``section/name``. The log shows
            sum / count.
    """

    value: float
    state: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class RefPointEstimator(Component):
    """Estimates the point that separates gains from losses, once per global batch.

    Class variables:
        observes: The log-ratios that the point is made from. They decide which methods are called:

            * ``"nothing"``: no log-ratios, as for a constant or a schedule over steps; `estimate`;
            * ``"own"``: the log-ratios of the batch's own completions; `estimate`;
            * ``"mismatched"``: the log-ratios of prompts with completions of other prompts; `pairs`
              and `estimate`;
            * ``"pair"``: those of each pair, which give each chosen completion its own point;
              `within_pair`. A loss on binary feedback then learns from pairs: it sees the chosen
              completions, and points through which a gradient flows.
        lagged: Whether the point comes only from earlier steps. `point_from` then gives the point,
            and own log-ratios need no extra pass before the gradient's: `estimate` gets those of
            the gradient's pass.

    A method that is not written returns 0, so that every reward above that of the reference model
    is a gain.

    Raises:
        PluginError: At class definition, when it does not say what it observes, lacks a method that
            this requires, or has a method that is never called.
    """

    kind: ClassVar[str] = "reference_point"

    observes: ClassVar[Observes]
    lagged: ClassVar[bool] = False

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if wrong := _wrong_class(cls):
            raise PluginError(wrong, location=f"{cls.__module__}.{cls.__qualname__}")

    def pairs(self, plan: PairingPlan, rng: random.Random) -> Sequence[Pair]:
        """Returns the mismatched pairs to score, as positions.

        Args:
            plan: The completions for making pairs.
            rng: The only source of randomness.
        """
        return ()

    def partners(self) -> Literal["batch", "fixed"]:
        """Returns ``"fixed"`` if `pairs` needs `PairingPlan.fixed`, otherwise ``"batch"``."""
        return "batch"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the reference point of this global batch, and the state for the next.

        Args:
            observed: The observed values.
            state: The state from the previous step; empty at first.
        """
        return Estimate(0.0)

    def point_from(self, state: Mapping[str, float]) -> float:
        """Returns the value of `estimate` with this state, which no observation changes."""
        return 0.0

    def within_pair(self, chosen_logratios: Tensor, rejected_logratios: Tensor) -> Tensor:
        """Returns the reference point of each chosen completion, in nats of log-ratio [P].

        Args:
            chosen_logratios: Policy minus reference log-probability, nats [P].
            rejected_logratios: Policy minus reference log-probability of each rejected completion,
                nats [P].
        """
        return chosen_logratios.new_zeros(chosen_logratios.shape)


_CALLED: Mapping[Observes, tuple[str, ...]] = {
    "nothing": ("estimate",),
    "own": ("estimate",),
    "mismatched": ("pairs", "partners", "estimate"),
    "pair": ("within_pair",),
}
_MAY_BE_LEFT_OUT = {("nothing", "estimate"), ("mismatched", "partners")}


def _wrong_class(cls: type[RefPointEstimator]) -> str | None:
    """Returns what is wrong with a class of estimators, besides the rules for all components."""
    observes = getattr(cls, "observes", None)
    if observes not in get_args(Observes):
        return (
            'a reference point must say what it observes: observes = "nothing", "own" (the '
            'batch\'s completions), "mismatched" (what pairs() makes) or "pair" '
            f"(within_pair()); got {observes!r}"
        )
    if "wants_fixed" in vars(cls):
        return (
            'wants_fixed of a reference point is no longer called: return "fixed" from partners()'
        )
    if not isinstance(cls.lagged, bool):
        return f"lagged is {cls.lagged!r}; expected True or False"
    if cls.lagged and observes not in ("own", "mismatched"):
        return f"lagged has no effect on a reference point that observes {observes!r}"
    return _wrong_methods(cls, cls.observes)


def _wrong_methods(cls: type[RefPointEstimator], observes: Observes) -> str | None:
    """Returns a required method that a class lacks, or a method that is never called."""
    called = _CALLED[observes] + (("point_from",) if cls.lagged else ())
    methods = dict.fromkeys(name for names in _CALLED.values() for name in names)
    what = f"a reference point that observes {observes!r}" + (" and is lagged" * cls.lagged)
    for name in (*methods, "point_from"):
        written = getattr(cls, name) is not getattr(RefPointEstimator, name)
        if name in called and not written and (observes, name) not in _MAY_BE_LEFT_OUT:
            return f"{what} needs a method {name}()"
        if written and name not in called:
            return f"{what} never has its {name}() called; leave it out"
    return None
