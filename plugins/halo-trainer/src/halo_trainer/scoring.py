"""What becomes of a global batch before any gradient: reference point, micro-batches, losses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from halo_core.errors import PluginError
from halo_core.loss import Loss, LossBatch, LossOutput, Statistical
from halo_core.reference_point import Estimate, RefPointEstimator, WithinPair
from halo_trainer.batch_plan import GlobalBatch
from halo_trainer.dealing import deal
from halo_trainer.distributed import Ranks
from halo_trainer.encoded import EncodedExample
from halo_trainer.fixed_partners import fixed_partner
from halo_trainer.loss_batch import MicroBatch, collate, loss_batch, tokens_of
from halo_trainer.mismatched import Logratios, estimate_reference_point
from halo_trainer.packing import PackedRow
from halo_trainer.scorer import Scorer
from halo_trainer.within_pair import chosen_against_pair


@dataclass(frozen=True)
class Prepared:
    """A global batch, ready to be computed.

    Attributes:
        examples: Of the whole batch, in global order.
        mine: The micro-batches of this process, as examples; an empty one has to be computed as
            well, so that all processes make the same calls.
        estimate: The reference point; None where the loss needs none for the whole batch.
        statistics: The loss's sums over the whole batch; empty where it needs none.
        tokens: What a model computes once for the whole batch.
    """

    examples: Sequence[EncodedExample]
    mine: Sequence[Sequence[EncodedExample]]
    estimate: Estimate | None
    statistics: Mapping[str, Tensor]
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
        seed: The run's.
    """

    loss: Loss
    estimator: RefPointEstimator | None
    policy: nn.Module
    reference: Scorer | None
    ranks: Ranks
    micro_batch_tokens: int
    max_length: int
    seed: int = 0

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
        estimate = self._estimate(data, batch, rng, state)
        sizes = [tokens_of(example) for example in examples]
        dealt = deal(sizes, budget=self.micro_batch_tokens, ranks=self.ranks.world)
        mine = [[examples[i] for i in items] for items in dealt[self.ranks.rank]]
        prepared = Prepared(examples, mine, estimate, {}, sum(sizes))
        if "statistics" in self.loss.needed():
            return replace(prepared, statistics=self._statistics(prepared))
        return prepared

    def _estimate(
        self,
        data: Sequence[EncodedExample],
        batch: GlobalBatch,
        rng: random.Random,
        state: Mapping[str, float],
    ) -> Estimate | None:
        if self.estimator is None or isinstance(self.estimator, WithinPair):
            return None
        wants_fixed = self.estimator.wants_fixed
        partners = [fixed_partner(data, i, self.seed) for i in batch.indices] if wants_fixed else []
        return estimate_reference_point(
            self.estimator,
            [data[i] for i in batch.indices],
            (data[i] for i in batch.following),
            (data[i] for i in partners),
            rng,
            state,
            Logratios(self.logratios, self.ranks, self.micro_batch_tokens),
            self.max_length,
        )

    def _statistics(self, prepared: Prepared) -> dict[str, Tensor]:
        """The loss's sums over the global batch, the same on every process, without dropout."""
        assert isinstance(self.loss, Statistical)
        sums: dict[str, Tensor] = {}
        with torch.no_grad(), _evaluating(self.policy):
            for examples in prepared.mine:
                batch = self._batch(self.collate(examples or prepared.examples[:1]), prepared)
                for name, value in self.loss.statistics(batch).items():
                    # An empty micro-batch is computed, for the other processes, and not counted.
                    share = value.double() * bool(examples)
                    sums[name] = sums[name] + share if name in sums else share
        return {name: self.ranks.sum(sums[name]) for name in sorted(sums)}

    def collate(self, examples: Sequence[EncodedExample]) -> MicroBatch:
        """Returns examples as a micro-batch on this process's device."""
        ends = any(head.at == "end" for head in self.loss.heads())
        return collate(examples, ends=ends).to(self.ranks.device)

    def output(self, micro: MicroBatch, prepared: Prepared) -> tuple[LossBatch, LossOutput]:
        """Returns what the loss saw of a micro-batch and what it gave back.

        Args:
            micro: Examples of the global batch.
            prepared: The global batch.

        Raises:
            PluginError: When the loss gives back other shapes than one value per example.
        """
        batch = self._batch(micro, prepared)
        if isinstance(self.estimator, WithinPair):
            batch = chosen_against_pair(batch, self.estimator)
        output = self.loss(batch)
        _check(self.loss, output, len(micro.examples))
        return batch, output

    def _batch(self, micro: MicroBatch, prepared: Prepared) -> LossBatch:
        scores = self.policy(micro.row)
        reference_logps = None
        if self.reference is not None and "reference_logps" in self.loss.needed():
            with torch.no_grad():
                reference_logps = self.reference(micro.row).token_logps
        point = None if prepared.estimate is None else prepared.estimate.value
        return loss_batch(micro, scores, reference_logps, point, prepared.statistics)

    def logratios(self, row: PackedRow) -> Tensor:
        """Returns policy minus reference log-probability of each completion, no gradient [B]."""
        assert self.reference is not None
        with torch.no_grad(), _evaluating(self.policy):
            policy: Tensor = self.policy(row).token_logps
            differences: Tensor = policy - self.reference(row).token_logps
        sums: Tensor = differences.new_zeros(row.sequences)
        return sums.index_add(0, row.sequence_index, differences)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def _check(loss: Loss, output: LossOutput, examples: int) -> None:
    for name in ("losses", "weights"):
        shape = tuple(getattr(output, name).shape)
        if shape != (examples,):
            raise PluginError(
                f"{type(loss).__name__} gave {name} of the shape {shape} for {examples} examples; "
                f"expected ({examples},), one value per example",
                location=f"{type(loss).__module__}.{type(loss).__qualname__}",
            )
