"""Builds batches for losses from lists, one list of token log-probabilities per completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from halo_core.loss import LossBatch

Tokens = Sequence[Sequence[float]]
"""Log-probabilities in nats, one sequence of tokens per completion."""


def loss_batch(
    policy: Tokens,
    *,
    reference: Tokens | None = None,
    desirable: Sequence[bool] | None = None,
    examples: Sequence[int] | None = None,
    reference_point: float | Sequence[float] | None = None,
    sampled: Sequence[bool] | None = None,
    scores: Sequence[float] | None = None,
    sampler: Tokens | None = None,
    heads: Mapping[str, Sequence[float]] | None = None,
    statistics: Mapping[str, float] | None = None,
    dtype: Literal["float32", "float64"] = "float64",
) -> LossBatch:
    """Returns the batch that a loss would see for some completions.

    Args:
        policy: Log-probability of each token under the policy.
        reference: Log-probability of each token under the reference.
        desirable: Whether each completion is desirable; all by default.
        examples: The example of each completion, from 0. By default each is its own example.
        reference_point: One point, or one per completion, in nats of log-ratio.
        sampled: Whether each completion is a sample of the reference; None if none is.
        scores: The score of each completion.
        sampler: Log-probability of each token under the model that sampled it.
        heads: The output of each of the loss's heads, one number per token or per completion.
        statistics: The sums of the loss's `statistics` over the whole global batch.
        dtype: Dtype of the log-probabilities.

    Raises:
        ValueError: When two of the arguments disagree about the number of completions or tokens.

    >>> batch = loss_batch([[-1.0, -2.0], [-4.0]], reference=[[-1.0, -1.0], [-5.0]])
    >>> batch.policy_logps.tolist(), batch.logratios.tolist(), batch.lengths.tolist()
    ([-3.0, -4.0], [-1.0, 1.0], [2.0, 1.0])
    """
    import torch

    count = len(policy)
    desirable = [True] * count if desirable is None else desirable
    examples = range(count) if examples is None else examples
    for name, values in {"sampled": sampled, "scores": scores}.items():
        if values is not None and len(values) != count:
            raise ValueError(f"policy has {count} completions, {name} {len(values)}")
    if len(desirable) != count or len(examples) != count:
        raise ValueError(
            f"policy has {count} completions, desirable {len(desirable)}, examples {len(examples)}"
        )
    lengths = [len(tokens) for tokens in policy]
    for name, other in {"reference": reference, "sampler": sampler}.items():
        if other is not None and [len(tokens) for tokens in other] != lengths:
            raise ValueError(
                f"policy has completions of {lengths} tokens, {name} of "
                f"{[len(tokens) for tokens in other]}"
            )

    def tensor(values: float | Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=getattr(torch, dtype))

    def flat(completions: Tokens) -> torch.Tensor:
        return tensor([value for tokens in completions for value in tokens])

    return LossBatch(
        policy_token_logps=flat(policy),
        sequence_index=torch.arange(count).repeat_interleave(torch.tensor(lengths)),
        example_index=torch.tensor(list(examples)),
        desirable=torch.tensor(list(desirable), dtype=torch.bool),
        reference_token_logps=None if reference is None else flat(reference),
        reference_point=None if reference_point is None else tensor(reference_point),
        sampled=None if sampled is None else torch.tensor(list(sampled), dtype=torch.bool),
        scores=None if scores is None else torch.tensor(list(scores), dtype=torch.float64),
        sampler_token_logps=None if sampler is None else flat(sampler),
        heads={name: tensor(values) for name, values in (heads or {}).items()},
        statistics={name: tensor(value) for name, value in (statistics or {}).items()},
    )


def paired_batch(
    chosen: Tokens,
    rejected: Tokens,
    *,
    ref_chosen: Tokens | None = None,
    ref_rejected: Tokens | None = None,
    samples: Tokens | None = None,
    dtype: Literal["float32", "float64"] = "float64",
) -> LossBatch:
    """Returns the batch that a loss would see for some pairs.

    Args:
        chosen: Log-probability of each token of each chosen completion under the policy.
        rejected: Log-probability of each token of each rejected completion under the policy.
        ref_chosen: Log-probability of each token of each chosen completion under the reference.
        ref_rejected: Log-probability of each token of each rejected completion under the reference.
        samples: Log-probabilities under the policy of a sample of the reference for each pair. It
            cannot be combined with `ref_chosen`.
        dtype: Dtype of the log-probabilities.

    Raises:
        ValueError: When the arguments disagree about the number of pairs or tokens.

    >>> batch = paired_batch([[-1.0, -2.0]], [[-4.0]])
    >>> batch.chosen.policy_logps.tolist(), batch.rejected.policy_logps.tolist()
    ([-3.0], [-4.0])
    """
    if (ref_chosen is None) != (ref_rejected is None):
        raise ValueError("give both ref_chosen and ref_rejected, or neither")
    if samples is not None and ref_chosen is not None:
        raise ValueError("give samples or ref_chosen and ref_rejected; with both use loss_batch")
    reference = None
    if ref_chosen is not None and ref_rejected is not None:
        reference = _interleaved(ref_chosen, ref_rejected)
    third = [] if samples is None else [samples]
    width = 2 + len(third)
    return loss_batch(
        _interleaved(chosen, rejected, *third),
        reference=reference,
        desirable=[side == 0 for _ in chosen for side in range(width)],
        examples=[pair for pair in range(len(chosen)) for _ in range(width)],
        sampled=None if samples is None else [side == 2 for _ in chosen for side in range(width)],
        dtype=dtype,
    )


def _interleaved(*sides: Tokens) -> list[Sequence[float]]:
    return [completion for group in zip(*sides, strict=True) for completion in group]
