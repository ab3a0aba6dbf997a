"""The interface of a reference-point estimator: what rewards are compared with."""

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
"""What a reference point is made from; see `RefPointEstimator`."""


@dataclass(frozen=True)
class Candidate:
    """A completion that pairs may be made of.

    Attributes:
        prompt_id: Names its prompt; two candidates of one prompt share it.
        completion_id: Names its text; equal texts share it.
    """

    prompt_id: str
    completion_id: str


@dataclass(frozen=True)
class PairingPlan:
    """The completions of one global batch, and others that its prompts may be joined with.

    Attributes:
        batch: The completions of the global batch, in global order.
        following: The completions of the next examples of the epoch, nearest first; empty at the
            end of an epoch.
        fixed: For each completion of the batch one of another prompt, the same in every epoch; the
            completion itself where the data have no other prompt. Empty unless the estimator's
            `partners` are fixed.
    """

    batch: Sequence[Candidate]
    following: Sequence[Candidate]
    fixed: Sequence[Candidate] = ()


@dataclass(frozen=True)
class Pair:
    """A sequence to be scored: the prompt of one candidate with the completion of another.

    Both are positions in ``[*plan.batch, *plan.following, *plan.fixed]``.
    """

    prompt: int
    completion: int


@dataclass(frozen=True)
class Observed:
    """What was computed for the whole global batch, in global order, the same on every rank.

    Attributes:
        logratios: Policy minus reference log-probability of each pair, nats [pairs].
        lengths: Completion tokens of each pair [pairs].
        pairs: What the estimator observes: the pairs it made; each prompt of the batch with its own
            completion; or nothing [pairs].
        batch_size: The completions of the global batch, which have the smaller positions.
    """

    logratios: Sequence[float]
    lengths: Sequence[int]
    pairs: Sequence[Pair]
    batch_size: int


@dataclass(frozen=True)
class Estimate:
    """A reference point.

    Attributes:
        value: In nats of log-ratio; the loss multiplies by its own beta.
        state: What the estimator wants back at the next step; saved in checkpoints.
        metrics: Name to (sum, count), logged as sum / count.
    """

    value: float
    state: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class RefPointEstimator(Component):
    """Estimates the point that separates gains from losses, once per global batch.

    Class variables:
        observes: What the point is made from, which decides the methods that are called:

            * ``"nothing"``: no log-ratio, as for a constant or a schedule over steps; `estimate`;
            * ``"own"``: the log-ratios of the batch's own completions; `estimate`;
            * ``"mismatched"``: those of prompts with completions of other prompts; `pairs` and
              `estimate`;
            * ``"pair"``: each chosen completion has a point of its own, from its pair;
              `within_pair`. A loss on binary feedback then learns from pairs: it sees the chosen
              completions, and points through which a gradient flows.
        lagged: Whether the point comes from earlier steps alone; `point_from` gives it. Own
            log-ratios then need no pass before the gradient's: `estimate` gets those it gave.

    What is not written gives 0: a gain is then what is above the reference model itself.

    Raises:
        PluginError: At class definition, when it does not say what it observes, lacks a method that
            goes with it, or has one that is never called.
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
            plan: What they can be made of.
            rng: The only source of chance.
        """
        return ()

    def partners(self) -> Literal["batch", "fixed"]:
        """Returns whether `pairs` is to be given `PairingPlan.fixed`."""
        return "batch"

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the reference point of this global batch, and the state for the next.

        Args:
            observed: What was asked for.
            state: What came back at the step before; empty at first.
        """
        return Estimate(0.0)

    def point_from(self, state: Mapping[str, float]) -> float:
        """Returns the value that `estimate` has with this state, whatever is observed."""
        return 0.0

    def within_pair(self, chosen_logratios: Tensor, rejected_logratios: Tensor) -> Tensor:
        """Returns the reference point of each chosen completion, in nats of log-ratio [P].

        Args:
            chosen_logratios: Policy minus reference log-probability, nats [P].
            rejected_logratios: The same of the rejected completions [P].
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
    """What is wrong with a class of estimators beyond the rules for all components."""
    observes = getattr(cls, "observes", None)
    if observes not in get_args(Observes):
        return (
            'a reference point says what it observes: observes = "nothing", "own" (the '
            'batch\'s completions), "mismatched" (what pairs() makes) or "pair" '
            f"(within_pair()); got {observes!r}"
        )
    if "wants_fixed" in vars(cls):
        return 'nothing asks a reference point wants_fixed any more: return "fixed" from partners()'
    if not isinstance(cls.lagged, bool):
        return f"lagged is {cls.lagged!r}; expected True or False"
    if cls.lagged and observes not in ("own", "mismatched"):
        return f"lagged has no effect on a reference point that observes {observes!r}"
    return _wrong_methods(cls, cls.observes)


def _wrong_methods(cls: type[RefPointEstimator], observes: Observes) -> str | None:
    """What a class lacks of the methods that are called, or has of those that never are."""
    called = _CALLED[observes] + (("point_from",) if cls.lagged else ())
    methods = dict.fromkeys(name for names in _CALLED.values() for name in names)
    what = f"a reference point that observes {observes!r}" + (" and is lagged" * cls.lagged)
    for name in (*methods, "point_from"):
        written = getattr(cls, name) is not getattr(RefPointEstimator, name)
        if name in called and not written and (observes, name) not in _MAY_BE_LEFT_OUT:
            return f"{what} needs a method {name}()"
        if written and name not in called:
            return f"{what} is never asked for {name}(); leave it out"
    return None
