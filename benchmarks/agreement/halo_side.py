"""Our side of a comparison: halo's losses on sequences that are computed one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from halo_core.loss import Loss, LossBatch
from halo_core.reference_point import RefPointEstimator
from halo_trainer.batch.micro_batch import chosen_with_points


@dataclass(frozen=True)
class Text:
    """A prompt with a completion.

    Attributes:
        ids: Tokens, without padding [T].
        completion: Whether each token belongs to the completion [T] bool.
    """

    ids: Tensor
    completion: Tensor

    @property
    def whole(self) -> Text:
        """The same text with all predicted tokens as its completion."""
        return replace(self, completion=torch.arange(len(self.ids)) > 0)


def of_masks(ids: Tensor, seen: Tensor, completion: Tensor) -> list[Text]:
    """Returns the rows of a padded batch without their padding."""
    kept = seen.bool()
    return [Text(i[k], c.bool()[k]) for i, k, c in zip(ids, kept, completion, strict=True)]


def token_logps(model: torch.nn.Module, text: Text) -> Tensor:
    """Returns the log-probability of each completion token, nats [N]."""
    predictions = model(text.ids[None]).logits[0, :-1].log_softmax(-1)
    logps = predictions.gather(1, text.ids[1:, None])[:, 0]
    return logps[text.completion[1:]]


def scores(model: torch.nn.Module, texts: Sequence[Text]) -> Tensor:
    """Returns the score of a sequence classifier for each text [B]."""
    return torch.stack([model(text.ids[None]).logits[0, 0] for text in texts])


@dataclass(frozen=True)
class Ours:
    """Two models, with halo's losses on their log-probabilities.

    Attributes:
        policy: The model that gets gradients.
        reference: The frozen model.
    """

    policy: torch.nn.Module
    reference: torch.nn.Module

    def loss(
        self,
        loss: Loss,
        texts: Sequence[Text],
        desirable: Tensor | None = None,
        *,
        point: float | RefPointEstimator | None = None,
    ) -> Tensor:
        """Returns the trainer's objective, ``sum(losses * weights) / sum(weights)`` [].

        Args:
            loss: A loss of halo.
            texts: A global batch. For a loss on pairs, chosen and rejected texts alternate.
            desirable: Whether each text is desirable [B] bool. Default: all, or the chosen texts
                of pairs.
            point: The reference point, nats; or an estimator that observes each pair.
        """
        pairs = loss.resolved_feedback() == "paired" or isinstance(point, RefPointEstimator)
        batch = self._batch(texts, desirable, pairs=pairs)
        if isinstance(point, RefPointEstimator):
            batch = chosen_with_points(batch, point)
        elif point is not None:
            batch = replace(batch, reference_point=torch.tensor(point, dtype=torch.float64))
        output = loss(batch)
        return (output.losses * output.counts).sum() / output.counts.sum()

    def loss_of_groups(
        self,
        loss: Loss,
        texts: Sequence[Text],
        scores: Tensor,
        size: int,
        sampler: torch.nn.Module | None = None,
    ) -> Tensor:
        """Returns the trainer's objective of a loss on scored groups [].

        Args:
            loss: A loss of halo.
            texts: A global batch. The texts of a group are adjacent.
            scores: The score of each text [B].
            size: Number of texts of each group.
            sampler: The model that sampled the texts; None if the loss does not compare with it.
        """
        batch = self._batch(texts, None, pairs=False)
        logps = None
        if sampler is not None:
            with torch.no_grad():
                logps = torch.cat([token_logps(sampler, text) for text in texts])
        batch = replace(
            batch,
            example_index=torch.arange(len(texts)) // size,
            scores=scores.double(),
            sampler_token_logps=logps,
        )
        output = loss(batch)
        return (output.losses * output.counts).sum() / output.counts.sum()

    def logratios(self, texts: Sequence[Text]) -> list[float]:
        """Returns policy minus reference log-probability of each completion, nats."""
        with torch.no_grad():
            return self._batch(texts, None, pairs=False).logratios.tolist()

    def _batch(self, texts: Sequence[Text], desirable: Tensor | None, *, pairs: bool) -> LossBatch:
        policy = [token_logps(self.policy, text) for text in texts]
        with torch.no_grad():
            reference = [token_logps(self.reference, text) for text in texts]
        completions = torch.arange(len(texts))
        if desirable is None:
            desirable = completions % 2 == 0 if pairs else torch.ones_like(completions).bool()
        return LossBatch(
            policy_token_logps=torch.cat(policy),
            reference_token_logps=torch.cat(reference),
            sequence_index=completions.repeat_interleave(torch.tensor([len(p) for p in policy])),
            example_index=completions // 2 if pairs else completions,
            desirable=desirable,
        )
