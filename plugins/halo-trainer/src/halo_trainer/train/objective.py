"""What is minimised: policy, reference and loss as one function of a micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from halo_core.guarded.loss_calls import (
    changed_logratios,
    heads_of,
    output_of,
    statistics_of,
    with_changed_logratios,
)
from halo_core.loss import Loss, LossBatch, LossOutput
from halo_trainer.batch.micro_batch import (
    Computed,
    GlobalBatch,
    MicroBatch,
    Scores,
    chosen_with_points,
    collate,
    make_loss_batch,
)
from halo_trainer.batch.packing import PackedRow
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.model.scorer import Scorer, without_dropout
from halo_trainer.train.ranks import Ranks


@dataclass(frozen=True)
class Objective:
    """The models and the loss, and how much is computed at a time.

    Attributes:
        loss: What an example costs.
        policy: The scorer that is trained, as the ranks wrap it.
        reference: The frozen scorer; None where nothing needs it.
        ranks: The processes.
        micro_batch_tokens: Most tokens of a micro-batch.
        max_length: Most tokens of a sequence.
        dropout: Whether the policy drops anything out while it is trained.
        router_weight: Factor of the loss on the load of experts; 0 where there is none.
    """

    loss: Loss
    policy: nn.Module
    reference: Scorer | None
    ranks: Ranks
    micro_batch_tokens: int
    max_length: int
    dropout: bool = False
    router_weight: float = 0.0

    @property
    def gives_own_logratios(self) -> bool:
        """Whether the pass of a gradient gives the log-ratios of the batch's own completions."""
        scores_both = {"policy_logps", "reference_logps"} <= set(self.loss.needed())
        return scores_both and not (self.dropout and self.policy.training)

    def statistics(self, batch: GlobalBatch) -> dict[str, Tensor]:
        """Returns the loss's sums over a global batch, the same on every process, no dropout."""
        sums: dict[str, Tensor] = {}
        with torch.no_grad(), without_dropout(self.policy):
            for index, positions in enumerate(batch.micro_batches):
                micro = self.micro_batch(batch, index)
                seen = self._seen(micro, batch, batch.computed.get(index))
                for name, value in statistics_of(self.loss, seen).items():
                    # An empty micro-batch is computed, for the other processes, and not counted.
                    share = value.double() * bool(positions)
                    sums[name] = sums[name] + share if name in sums else share
        # By name: all processes must sum the same one at the same time.
        return {name: self.ranks.sum(sums[name]) for name in sorted(sums)}

    def synchronised(self, batch: GlobalBatch, index: int) -> AbstractContextManager[None]:
        """Returns a context in which only the last micro-batch's gradient meets the others'."""
        last = index == len(batch.micro_batches) - 1
        return nullcontext() if last else self.ranks.no_sync(self.policy)

    def micro_batch(self, batch: GlobalBatch, index: int) -> MicroBatch:
        """Returns a micro-batch of this process; for an empty one, some example."""
        examples = [batch.examples[i] for i in batch.micro_batches[index]]
        return self.collate(examples or batch.examples[:1])

    def collate(self, examples: Sequence[EncodedExample]) -> MicroBatch:
        """Returns examples as a micro-batch on this process's device."""
        ends = any(head.at == "end" for head in heads_of(self.loss))
        return collate(examples, ends=ends).to(self.ranks.device)

    def scores(self, micro: MicroBatch, computed: Computed | None) -> Scores:
        """Returns what the policy gives for a micro-batch, unless it is known already."""
        if computed is not None and computed.scores is not None:
            return computed.scores
        scores: Scores = self.policy(micro.row)
        return scores

    def output(
        self,
        micro: MicroBatch,
        batch: GlobalBatch,
        computed: Computed | None = None,
        scores: Scores | None = None,
    ) -> tuple[LossBatch, LossOutput]:
        """Returns what the loss saw of a micro-batch and what it gave back.

        Args:
            micro: Examples of the global batch.
            batch: The global batch.
            computed: What is known of the micro-batch already.
            scores: What the policy gave; computed when left out.

        Raises:
            PluginError: When the loss gives back anything but one loss per example.
        """
        seen = self._seen(micro, batch, computed, scores)
        return seen, output_of(self.loss, seen)

    def _seen(
        self,
        micro: MicroBatch,
        batch: GlobalBatch,
        computed: Computed | None,
        scores: Scores | None = None,
    ) -> LossBatch:
        scores = self.scores(micro, computed) if scores is None else scores
        reference_logps = None if computed is None else computed.reference_logps
        needs_reference = "reference_logps" in self.loss.needed()
        if reference_logps is None and self.reference is not None and needs_reference:
            with torch.no_grad():
                reference_logps = self.reference(micro.row).token_logps
        seen = make_loss_batch(micro, scores, reference_logps, batch.estimate, batch.statistics)
        seen = with_changed_logratios(self.loss, seen)
        # Last: points of pairs are made of the log-ratios as the loss changes them.
        return chosen_with_points(seen, batch.point_of_pair) if batch.point_of_pair else seen

    def logratios(self, row: PackedRow) -> Tensor:
        """Returns the log-ratio of each sequence as the loss changes it, no gradient [B]."""
        assert self.reference is not None
        with torch.no_grad(), without_dropout(self.policy):
            policy: Tensor = self.policy(row).token_logps
            token_logratios = policy - self.reference(row).token_logps
        return row.summed(changed_logratios(self.loss, token_logratios))
