"""Builds batches of losses from lists, one list of token log-probabilities per completion."""

from __future__ import annotations

from collections.abc import Sequence
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
    reference_point: float | None = None,
    dtype: Literal["float32", "float64"] = "float64",
) -> LossBatch:
    """Returns the batch that a loss would see of some completions.

    Args:
        policy: Log-probability of each token under the policy.
        reference: The same under the reference.
        desirable: One per completion; all true when left out.
        examples: The example of each completion; each its own when left out.
        reference_point: In nats of log-ratio.
        dtype: Of the log-probabilities.

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
    if len(desirable) != count or len(examples) != count:
        raise ValueError(
            f"policy has {count} completions, desirable {len(desirable)}, examples {len(examples)}"
        )
    lengths = [len(tokens) for tokens in policy]
    if reference is not None and [len(tokens) for tokens in reference] != lengths:
        raise ValueError(
            f"policy has completions of {lengths} tokens, reference of "
            f"{[len(tokens) for tokens in reference]}"
        )

    def flat(completions: Tokens) -> torch.Tensor:
        values = [value for tokens in completions for value in tokens]
        return torch.tensor(values, dtype=getattr(torch, dtype))

    return LossBatch(
        policy_token_logps=flat(policy),
        sequence_index=torch.arange(count).repeat_interleave(torch.tensor(lengths)),
        example_index=torch.tensor(list(examples)),
        desirable=torch.tensor(list(desirable), dtype=torch.bool),
        reference_token_logps=None if reference is None else flat(reference),
        reference_point=None if reference_point is None else flat([[reference_point]])[0],
    )


def paired_batch(
    chosen: Tokens,
    rejected: Tokens,
    *,
    ref_chosen: Tokens | None = None,
    ref_rejected: Tokens | None = None,
    dtype: Literal["float32", "float64"] = "float64",
) -> LossBatch:
    """Returns the batch that a loss would see of some pairs.

    Args:
        chosen: Log-probability under the policy of each token of each chosen completion.
        rejected: The same of each rejected completion.
        ref_chosen: As `chosen` under the reference.
        ref_rejected: As `rejected` under the reference.
        dtype: Of the log-probabilities.

    Raises:
        ValueError: When the arguments disagree about the number of pairs or tokens.

    >>> batch = paired_batch([[-1.0, -2.0]], [[-4.0]])
    >>> batch.chosen.policy_logps.tolist(), batch.rejected.policy_logps.tolist()
    ([-3.0], [-4.0])
    """
    if (ref_chosen is None) != (ref_rejected is None):
        raise ValueError("give both ref_chosen and ref_rejected, or neither")
    reference = None
    if ref_chosen is not None and ref_rejected is not None:
        reference = _interleaved(ref_chosen, ref_rejected)
    return loss_batch(
        _interleaved(chosen, rejected),
        reference=reference,
        desirable=[True, False] * len(chosen),
        examples=[pair for pair in range(len(chosen)) for _ in "wl"],
        dtype=dtype,
    )


def _interleaved(chosen: Tokens, rejected: Tokens) -> list[Sequence[float]]:
    pairs = zip(chosen, rejected, strict=True)
    return [completion for pair in pairs for completion in pair]
