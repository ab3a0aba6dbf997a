"""The objective: policy, reference and loss as one function of a micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from halo_core.guarded.loss_calls import (
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
from halo_trainer.batch.packing import pack
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.model.scorer import without_dropout
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.reference.scores import Reference


@dataclass(frozen=True)
class Objective:
    """The models and the loss, and how much is computed at one time.

    Attributes:
        loss: The loss.
        policy: The scorer that is trained, as the ranks wrap it.
        reference: Gives the reference's log-probabilities; None if they are not needed.
        ranks: The processes.
        micro_batch_tokens: Largest number of tokens of a micro-batch.
        max_length: Largest number of tokens of a sequence.
        dropout: Whether the policy uses dropout in training.
        router_weight: Factor of the load-balancing loss of experts; 0 if there is none.
        shares: Whether both models can compute a prompt once for several completions.
        recomputes: Whether the policy computes its activations again in the backward pass.
        accumulates: Whether gradients of micro-batches are added up before they are exchanged.
    """

    loss: Loss
    policy: nn.Module
    reference: Reference | None
    ranks: Ranks
    micro_batch_tokens: int
    max_length: int
    dropout: bool = False
    router_weight: float = 0.0
    shares: bool = True
    recomputes: bool = False
    accumulates: bool = True

    @property
    def drops_out_now(self) -> bool:
        """Whether the policy's next pass drops something out."""
        return self.dropout and self.policy.training

    @property
    def shares_prompts_now(self) -> bool:
        """Whether the policy's next pass computes a prompt once for several completions.

        With dropout, each sequence gets a mask of its own.
        """
        return self.shares and not self.drops_out_now

    def keeps_prompts(self, batch: GlobalBatch) -> bool:
        """Returns whether other completions can continue the prompts of the gradient pass.

        They can if this pass is one micro-batch, whose activations wait for the reference point.
        Activations that are computed again would come too late.
        """
        waits = len(batch.micro_batches) == 1
        return waits and self.shares_prompts_now and not self.recomputes

    @property
    def gives_own_logratios(self) -> bool:
        """Whether the gradient pass gives the log-ratios of the batch's own completions."""
        scores_both = {"policy_logps", "reference_logps"} <= set(self.loss.needed())
        return scores_both and not self.drops_out_now

    def statistics(self, batch: GlobalBatch) -> dict[str, Tensor]:
        """Returns the loss's sums over a global batch, without dropout, alike on each process."""
        sums: dict[str, Tensor] = {}
        with torch.no_grad(), without_dropout(self.policy):
            for index, positions in enumerate(batch.micro_batches):
                micro, known = self.micro_batch(batch, index), batch.computed.get(index)
                # The gradient pass may have been computed already.
                scores = self.scores(micro, known).detached()
                seen = self._seen(micro, batch, known, scores)
                for name, value in statistics_of(self.loss, seen).items():
                    # Other processes need an empty micro-batch to be computed; it does not count.
                    share = value.to(self.ranks.device).double() * bool(positions)
                    sums[name] = sums[name] + share if name in sums else share
        if not sums:
            return {}
        # Sorted by name: all processes must sum the same values in the same order.
        names = sorted(sums)
        total = self.ranks.sum(torch.stack([sums[name] for name in names]))
        return dict(zip(names, total.unbind(), strict=True))

    def synchronised(self, batch: GlobalBatch, index: int) -> AbstractContextManager[None]:
        """Returns a context in which gradients are exchanged only for the last micro-batch.

        If gradients do not accumulate, they are exchanged for each of them.
        """
        last = index == len(batch.micro_batches) - 1
        if last or not self.accumulates:
            return nullcontext()
        return self.ranks.no_sync(self.policy)

    def micro_batch(self, batch: GlobalBatch, index: int) -> MicroBatch:
        """Returns a micro-batch of this process; if it is empty, one with any example."""
        examples = [batch.examples[i] for i in batch.micro_batches[index]]
        return self.collate(examples or batch.examples[:1])

    def collate(self, examples: Sequence[EncodedExample]) -> MicroBatch:
        """Returns examples as a micro-batch on this process's device."""
        ends = any(head.at == "end" for head in heads_of(self.loss))
        return collate(examples, ends=ends, share=self.shares_prompts_now).to(self.ranks.device)

    def scores(self, micro: MicroBatch, computed: Computed | None) -> Scores:
        """Returns the policy's scores for a micro-batch, unless they are already known."""
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
        """Returns the input and the output of the loss for a micro-batch.

        Args:
            micro: Examples of the global batch.
            batch: The global batch.
            computed: Results of the micro-batch that are already known.
            scores: The policy's scores; computed if left out.

        Raises:
            PluginError: When the loss does not return one loss per example.
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
            row = micro.row
            if self.shares and not self.shares_prompts_now:
                row = pack(row.sequences).to(self.ranks.device)
            reference_logps = self.reference.token_logps(row)
        seen = make_loss_batch(
            micro,
            scores,
            reference_logps,
            batch.estimate,
            batch.statistics,
            self.loss.needed(),
        )
        seen = with_changed_logratios(self.loss, seen)
        # This is last: points of pairs need the log-ratios as changed by the loss.
        return chosen_with_points(seen, batch.point_of_pair) if batch.point_of_pair else seen
