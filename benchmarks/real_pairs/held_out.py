"""Rewards of held-out pairs, computed by transformers alone, their accuracy and margin.

As a process of its own, it writes the log-probabilities of a model as JSON::

    python -m real_pairs.held_out MODEL PAIRS FILE THREADS
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from halo_statistics import Proportion, proportion
from halo_statistics.bootstrap import bootstrap_ends
from real_pairs.rows import SIDES, tokens

CONFIDENCE = 0.9


def main() -> None:
    model, pairs, file, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    rows = [json.loads(line) for line in Path(pairs).open(encoding="utf-8")]
    sums = sums_of(Path(model), rows)
    Path(file).write_text(json.dumps(sums))


@dataclass(frozen=True)
class Verdict:
    """Accuracy and margin of the rewards of held-out pairs.

    Attributes:
        accuracy: Share of pairs whose chosen reply has the larger reward, with Wilson's interval.
        margin: Mean margin: reward of the chosen reply minus that of the rejected one.
        low: Lower end of the margin's bootstrap interval (bias-corrected and accelerated).
        high: Upper end.
        chosen: Mean reward of chosen replies.
        rejected: Mean reward of rejected replies.
    """

    accuracy: Proportion
    margin: float
    low: float
    high: float
    chosen: float
    rejected: float


def sums_of(folder: Path, pairs: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Returns the log-probabilities of the chosen and the rejected reply of each pair, in nats.

    It uses nothing of halo: the model's own logits, one pair at a time, padded on the right.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return [_sums(model, tokenizer, pair) for pair in pairs]


def _sums(model: Any, tokenizer: Any, pair: Mapping[str, Any]) -> tuple[float, float]:
    parts = [tokens(tokenizer, pair["prompt"], pair[side]) for side in SIDES]
    width = max(len(before) + len(after) for before, after in parts)
    ids = torch.zeros(2, width, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, (before, after) in enumerate(parts):
        size = len(before) + len(after)
        ids[row, :size] = torch.tensor([*before, *after])
        mask[row, :size] = 1
    first = len(parts[0][0]) - 1  # of the prompt, whose last position predicts the first token
    wanted = torch.arange(first, width - 1)
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=wanted).logits.double()
    logps = logits.log_softmax(-1).gather(-1, ids[:, first + 1 :, None])[..., 0]
    chosen, rejected = (logps * mask[:, first + 1 :]).sum(1).tolist()
    return chosen, rejected


def verdict_of(
    policy: Sequence[tuple[float, float]], reference: Sequence[tuple[float, float]], beta: float
) -> Verdict:
    """Returns accuracy and margin of the rewards ``beta * (policy - reference)``.

    Args:
        policy: Log-probabilities of each pair under the trained model.
        reference: The same under the model that training started from.
        beta: The loss's scale of rewards.
    """
    rewards = [
        tuple(beta * (ours - theirs) for ours, theirs in zip(*both, strict=True))
        for both in zip(policy, reference, strict=True)
    ]
    margins = [chosen - rejected for chosen, rejected in rewards]
    points = sum((margin > 0) + (margin == 0) / 2 for margin in margins)
    low, high = bootstrap_ends(
        [[margin] for margin in margins],
        (min(margins), max(margins)),
        confidence=CONFIDENCE,
        resamples=9999,
        seed=0,
    )
    return Verdict(
        proportion(points, len(margins), confidence=CONFIDENCE, method="wilson"),
        fmean(margins),
        low,
        high,
        *(fmean(side) for side in zip(*rewards, strict=True)),
    )


if __name__ == "__main__":
    main()
