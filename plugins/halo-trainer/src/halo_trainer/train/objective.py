"""What becomes of a global batch before any gradient: reference point, micro-batches, losses."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from halo_core.guarded.loss_calls import (
    changed_logratios,
    heads_of,
    output_of,
    statistics_of,
    with_changed_logratios,
)
from halo_core.guarded.reference_point_calls import known_point
from halo_core.loss import Loss, LossBatch, LossOutput
from halo_core.reference_point import Estimate, RefPointEstimator
from halo_trainer.batch.batch_plan import GlobalBatch
from halo_trainer.batch.deal import deal
from halo_trainer.batch.micro_batch import (
    Computed,
    MicroBatch,
    Prepared,
    collate,
    loss_batch,
    tokens_of,
)
from halo_trainer.batch.packing import PackedRow
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.model.scorer import Scorer, evaluating
from halo_trainer.train.fixed_partners import fixed_partner
from halo_trainer.train.own_logratios import first_pass
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.reference_point import (
    Asked,
    Logratios,
    chosen_against_pair,
    mismatched_pairs,
    nothing,
    own_completions,
)


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
        dropout: Whether the policy drops anything out while it is trained.
    """

    loss: Loss
    estimator: RefPointEstimator | None
    policy: nn.Module
    reference: Scorer | None
    ranks: Ranks
    micro_batch_tokens: int
    max_length: int
    seed: int = 0
    dropout: bool = False

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
        sizes = [tokens_of(example) for example in examples]
        dealt = deal(sizes, budget=self.micro_batch_tokens, ranks=self.ranks.world)
        prepared = Prepared(examples, dealt[self.ranks.rank], sum(sizes))
        if self.estimator is not None:
            prepared = self._with_point(self.estimator, prepared, data, batch, rng, state)
        if "statistics" in self.loss.needed():
            return replace(prepared, statistics=self._statistics(prepared))
        return prepared

    def _with_point(
        self,
        estimator: RefPointEstimator,
        prepared: Prepared,
        data: Sequence[EncodedExample],
        batch: GlobalBatch,
        rng: random.Random,
        state: Mapping[str, float],
    ) -> Prepared:
        if estimator.observes == "pair":
            return prepared  # each micro-batch has its points
        if estimator.observes == "own":
            asked = own_completions(estimator, prepared.examples)
            return self._with_own_point(estimator, prepared, asked, state)
        if estimator.observes == "nothing":
            asked = nothing(estimator, prepared.examples)
        else:
            fixed = batch.indices if estimator.partners() == "fixed" else ()
            asked = mismatched_pairs(
                estimator,
                prepared.examples,
                (data[i] for i in batch.following),
                (data[fixed_partner(data, i, self.seed)] for i in fixed),
                rng,
            )
        return replace(prepared, estimate=self._estimate(asked, state))

    def _estimate(self, asked: Asked, state: Mapping[str, float]) -> Estimate:
        """From a pass of its own."""
        sequences = asked.sequences(self.max_length)
        ratios = Logratios(self.logratios, self.ranks, self.micro_batch_tokens).of(sequences)
        lengths = [len(sequence.completion_ids) for sequence in sequences]
        return asked.estimate(ratios, lengths, state)

    def _with_own_point(
        self,
        estimator: RefPointEstimator,
        prepared: Prepared,
        asked: Asked,
        state: Mapping[str, float],
    ) -> Prepared:
        """Out of passes that are made anyway, where they give the log-ratios."""
        scored_anyway = {"policy_logps", "reference_logps"} <= set(self.loss.needed())
        undisturbed = not (self.dropout and self.policy.training)
        if not (scored_anyway and undisturbed):
            return replace(prepared, estimate=self._estimate(asked, state))
        settle = partial(asked.own_estimate, state=state)
        if estimator.lagged and torch.is_grad_enabled():
            return replace(prepared, estimate=known_point(estimator, state), settle=settle)
        assert self.reference is not None
        computed, ratios = first_pass(
            prepared,
            self.ranks,
            self.policy,
            self.reference,
            micro_batch=lambda call: self.micro_batch(prepared, call),
            synchronised=lambda call: self.synchronised(prepared, call),
            change=partial(changed_logratios, self.loss),
        )
        return replace(prepared, estimate=settle(ratios), computed=computed)

    def _statistics(self, prepared: Prepared) -> dict[str, Tensor]:
        """The loss's sums over the global batch, the same on every process, without dropout."""
        sums: dict[str, Tensor] = {}
        with torch.no_grad(), evaluating(self.policy):
            for call, places in enumerate(prepared.places):
                micro = self.micro_batch(prepared, call)
                batch = self._batch(micro, prepared, prepared.computed.get(call))
                for name, value in statistics_of(self.loss, batch).items():
                    # An empty micro-batch is computed, for the other processes, and not counted.
                    share = value.double() * bool(places)
                    sums[name] = sums[name] + share if name in sums else share
        return {name: self.ranks.sum(sums[name]) for name in sorted(sums)}

    def synchronised(self, prepared: Prepared, call: int) -> AbstractContextManager[None]:
        """Returns a context in which only the last micro-batch's gradient meets the others'."""
        last = call == len(prepared.places) - 1
        return nullcontext() if last else self.ranks.no_sync(self.policy)

    def micro_batch(self, prepared: Prepared, call: int) -> MicroBatch:
        """Returns a micro-batch of this process by its number; for an empty one, some example."""
        return self.collate(prepared.examples_of(call) or prepared.examples[:1])

    def collate(self, examples: Sequence[EncodedExample]) -> MicroBatch:
        """Returns examples as a micro-batch on this process's device."""
        ends = any(head.at == "end" for head in heads_of(self.loss))
        return collate(examples, ends=ends).to(self.ranks.device)

    def output(
        self, micro: MicroBatch, prepared: Prepared, computed: Computed | None = None
    ) -> tuple[LossBatch, LossOutput]:
        """Returns what the loss saw of a micro-batch and what it gave back.

        Args:
            micro: Examples of the global batch.
            prepared: The global batch.
            computed: What is known of the micro-batch already.

        Raises:
            PluginError: When the loss gives back anything but one loss per example.
        """
        batch = self._batch(micro, prepared, computed)
        return batch, output_of(self.loss, batch, examples=len(micro.examples))

    def _batch(self, micro: MicroBatch, prepared: Prepared, computed: Computed | None) -> LossBatch:
        scores = None if computed is None else computed.scores
        if scores is None:
            scores = self.policy(micro.row)
        reference_logps = None if computed is None else computed.reference_logps
        needs_reference = "reference_logps" in self.loss.needed()
        if reference_logps is None and self.reference is not None and needs_reference:
            with torch.no_grad():
                reference_logps = self.reference(micro.row).token_logps
        point = None if prepared.estimate is None else prepared.estimate.value
        batch = loss_batch(micro, scores, reference_logps, point, prepared.statistics)
        batch = with_changed_logratios(self.loss, batch)
        if self.estimator is not None and self.estimator.observes == "pair":
            return chosen_against_pair(batch, self.estimator)
        return batch

    def logratios(self, row: PackedRow) -> Tensor:
        """Returns the log-ratio of each completion as the loss changes it, no gradient [B]."""
        assert self.reference is not None
        with torch.no_grad(), evaluating(self.policy):
            policy: Tensor = self.policy(row).token_logps
            token_logratios = policy - self.reference(row).token_logps
        return row.summed(changed_logratios(self.loss, token_logratios))
