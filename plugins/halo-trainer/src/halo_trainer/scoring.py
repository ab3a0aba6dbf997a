"""What becomes of a global batch before any gradient: reference point, micro-batches, losses."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from halo_core.errors import PluginError
from halo_core.loss import Loss, LossBatch, LossOutput
from halo_core.reference_point import Estimate, RefPointEstimator
from halo_trainer.batch_plan import GlobalBatch
from halo_trainer.dealing import deal
from halo_trainer.distributed import Ranks
from halo_trainer.encoded import EncodedExample
from halo_trainer.loss_batch import MicroBatch, collate, loss_batch, tokens_of
from halo_trainer.mismatched import Logratios, estimate_reference_point
from halo_trainer.packing import PackedRow
from halo_trainer.scorer import Scorer


@dataclass(frozen=True)
class Prepared:
    """A global batch, ready to be computed.

    Attributes:
        examples: Of the whole batch, in global order.
        mine: The micro-batches of this process, as examples; an empty one has to be computed as
            well, so that all processes make the same calls.
        estimate: The reference point; None where the loss needs none.
        tokens: What a model computes once for the whole batch.
    """

    examples: Sequence[EncodedExample]
    mine: Sequence[Sequence[EncodedExample]]
    estimate: Estimate | None
    tokens: int


@dataclass(frozen=True)
class Scoring:
    """The models and the loss, and how much is computed at a time.

    Attributes:
        loss: What an example costs.
        estimator: Of the reference point; None where the loss needs none.
        policy: The scorer that is trained, as the ranks wrap it.
        reference: The frozen scorer; None where nothing needs it.
        ranks: The processes.
        micro_batch_tokens: Budget of a micro-batch.
        max_length: Longest sequence.
    """

    loss: Loss
    estimator: RefPointEstimator | None
    policy: nn.Module
    reference: Scorer | None
    ranks: Ranks
    micro_batch_tokens: int
    max_length: int

    def prepare(
        self,
        data: Sequence[EncodedExample],
        batch: GlobalBatch,
        rng: random.Random,
        state: Mapping[str, float],
    ) -> Prepared:
        """Returns a global batch with its reference point, cut and dealt.

        Args:
            data: What the batch's positions point to.
            batch: The global batch.
            rng: The chance of its pairs.
            state: The estimator's, from the step before.

        Raises:
            NotFiniteError: When the reference point is not a number.
        """
        examples = [data[i] for i in batch.indices]
        following = (data[i] for i in batch.following)
        estimate = None
        if self.estimator is not None:
            logratios = Logratios(self.logratios, self.ranks, self.micro_batch_tokens)
            estimate = estimate_reference_point(
                self.estimator, examples, following, rng, state, logratios, self.max_length
            )
        sizes = [tokens_of(example) for example in examples]
        dealt = deal(sizes, budget=self.micro_batch_tokens, ranks=self.ranks.world)
        mine = [[examples[i] for i in items] for items in dealt[self.ranks.rank]]
        return Prepared(examples, mine, estimate, sum(sizes))

    def collate(self, examples: Sequence[EncodedExample]) -> MicroBatch:
        """Returns examples as a micro-batch on this process's device."""
        return collate(examples).to(self.ranks.device)

    def output(self, micro: MicroBatch, estimate: Estimate | None) -> tuple[LossBatch, LossOutput]:
        """Returns what the loss saw of a micro-batch and what it gave back.

        Raises:
            PluginError: When the loss gives back other shapes than one value per example.
        """
        policy_logps = self.policy(micro.row)
        reference_logps = None
        if self.reference is not None and "reference_logps" in self.loss.needs:
            with torch.no_grad():
                reference_logps = self.reference(micro.row)
        point = None if estimate is None else estimate.value
        batch = loss_batch(micro, policy_logps, reference_logps, point)
        output = self.loss(batch)
        _check(self.loss, output, len(micro.examples))
        return batch, output

    def logratios(self, row: PackedRow) -> Tensor:
        """Returns policy minus reference log-probability of each completion, no gradient [B]."""
        assert self.reference is not None
        was_training = self.policy.training
        self.policy.eval()
        with torch.no_grad():
            differences: Tensor = self.policy(row) - self.reference(row)
        self.policy.train(was_training)
        sums = differences.new_zeros(int(row.sequence_index[-1]) + 1)
        return sums.index_add(0, row.sequence_index, differences)


def _check(loss: Loss, output: LossOutput, examples: int) -> None:
    for name in ("losses", "weights"):
        shape = tuple(getattr(output, name).shape)
        if shape != (examples,):
            raise PluginError(
                f"{type(loss).__name__} gave {name} of the shape {shape} for {examples} examples; "
                f"expected ({examples},), one value per example",
                location=f"{type(loss).__module__}.{type(loss).__qualname__}",
            )
