"""Tests whether a classifier gives correct scores in padded batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from halo_judge.judges.reward_model.classifier_text import ClassifierInput
from halo_models.batch_probe import difference, in_float32, probe_ids

LENGTHS = (9, 23, 3, 14)
"""Numbers of tokens of the test texts."""


def scores_together(
    network: Any,
    logits: Callable[[Sequence[ClassifierInput]], Tensor],
    tokenizer: Any,
    *,
    limit: int,
    warn: Callable[[str], None],
) -> bool:
    """Returns whether texts get the same logits in a padded batch as alone, in float32.

    Args:
        network: A sequence classifier of transformers.
        logits: Function from texts to the classifier's logits [texts, labels], used for scoring.
        tokenizer: The classifier's tokenizer.
        limit: Maximum number of tokens of a test text.
        warn: Receives a warning if texts will be scored one at a time.
    """
    lengths = [min(n, limit) for n in LENGTHS]
    ids = probe_ids(network.config, lengths, without=tokenizer.all_special_ids)
    typed = "token_type_ids" in tokenizer.model_input_names
    texts = [ClassifierInput(text, [0] * len(text) if typed else []) for text in ids]

    def measure(rounding: float) -> tuple[float, float]:
        expected = torch.cat([logits([text]) for text in texts])
        return difference(logits(texts), expected), rounding

    gap, rounding = in_float32(network, measure)
    if gap <= rounding:
        return True
    warn(
        f"{type(network).__name__} gives other scores for texts in a padded batch than for each "
        f"alone (the difference is {gap:.2g} of the largest, where {rounding:g} would be "
        "rounding), so texts are scored one at a time; the scores are right, but it takes longer"
    )
    return False
