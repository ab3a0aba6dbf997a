"""Lengths of the completions of each sampling stage and of the targets, in tokens."""

from __future__ import annotations

from collections.abc import Sequence

from halo_report.read.judged_stages import TARGET
from halo_report.read.run_data import StageData


def completion_lengths(stages: Sequence[StageData]) -> dict[str, list[int]]:
    """Returns the number of tokens of each completion, by stage id or ``"target"``.

    The target of a prompt that several stages sampled is counted once.
    """
    lengths: dict[str, list[int]] = {}
    targets: dict[str, int] = {}
    for stage in stages:
        if stage.samples:
            lengths[stage.id] = [sample["tokens"] for sample in stage.samples]
        for sample in stage.samples:
            tokens = sample.get("target_tokens")
            if tokens is not None:
                targets.setdefault(sample["prompt_id"], tokens)
    return {**lengths, TARGET: list(targets.values())} if targets else lengths
