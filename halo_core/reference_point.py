"""The interface of a reference-point estimator: what rewards are compared with."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from halo_core.component import Component

if TYPE_CHECKING:
    from torch import Tensor


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
            completion itself where the data have no other prompt. Empty unless the estimator
            `wants_fixed`.
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
        logratios: Policy minus reference log-probability of each pair asked for, nats [pairs].
        lengths: Completion tokens of each of these pairs [pairs].
        pairs: The pairs asked for [pairs].
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
    """Estimates, once per global batch, the point that separates gains from losses."""

    kind: ClassVar[str] = "reference_point"

    @property
    def wants_fixed(self) -> bool:
        """Whether `pairs` is to be given `PairingPlan.fixed`."""
        return False

    @abstractmethod
    def pairs(self, plan: PairingPlan, rng: random.Random) -> Sequence[Pair]:
        """Returns the extra sequences to score, as positions; none for a constant."""

    @abstractmethod
    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the reference point of this global batch and the state for the next."""


@runtime_checkable
class WithinPair(Protocol):
    """An estimator that takes the point of each chosen completion from its own pair.

    With it a loss on binary feedback learns from pairs: it sees the chosen completions, and points
    through which a gradient flows. `pairs` and `estimate` are not called.
    """

    def within_pair(self, chosen_logratios: Tensor, rejected_logratios: Tensor) -> Tensor:
        """Returns the reference point of each chosen completion, in nats of log-ratio [P].

        Args:
            chosen_logratios: Policy minus reference log-probability, nats [P].
            rejected_logratios: The same of the rejected completions [P].
        """
        ...


@runtime_checkable
class Lagging(Protocol):
    """An estimator whose point comes from earlier steps alone.

    Where its `pairs` are the completions of the batch itself, they need no pass of their own: the
    trainer asks for the point first, and calls `estimate` with the log-ratios that the gradient
    pass gave.
    """

    def point_from(self, state: Mapping[str, float]) -> float:
        """Returns the value that `estimate` has with this state, whatever is observed."""
        ...
