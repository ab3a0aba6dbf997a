"""TRL's side of a comparison: its own trainers, collated batches and losses."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agreement.halo_side import Ours, Text, of_masks, token_logps
from agreement.tiny_world import (
    ROWS,
    binary_rows,
    demonstration_rows,
    make_tokenizer,
    paired_rows,
)

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Theirs:
    """A trainer of TRL.

    Attributes:
        trainer: The trainer whose `compute_loss` is called.
        batch: The first batch of its data loader.
    """

    trainer: Any
    batch: Batch

    @property
    def model(self) -> torch.nn.Module:
        """The policy; its weights are equal to ours."""
        return self.trainer.model

    def loss(self, batch: Batch | None = None) -> Tensor:
        """Returns TRL's loss of a batch, with its gradient graph []."""
        return self.trainer.compute_loss(self.model, dict(batch or self.batch))

    def rows(self, which: Sequence[int]) -> Batch:
        """Returns some rows of the batch."""
        index = torch.tensor(which)
        return {name: values[index] for name, values in self.batch.items()}


def dpo(models: Ours, loss_type: str, *, beta: float = 0.1, **options: Any) -> Theirs:
    """Returns TRL's DPO. Its batches have the chosen completions first, then the rejected ones."""
    from trl import DPOConfig, DPOTrainer

    return _with_batch(
        DPOTrainer(
            model=copy.deepcopy(models.policy),
            ref_model=copy.deepcopy(models.reference),
            args=DPOConfig(loss_type=[loss_type], beta=beta, **options, **_common()),
            train_dataset=paired_rows(),
            processing_class=make_tokenizer(),
        )
    )


def kto(models: Ours, **options: Any) -> Theirs:
    """Returns TRL's KTO. Its batches also have the mismatched pairs, as ``KL_...``."""
    from trl import KTOConfig, KTOTrainer

    return _with_batch(
        KTOTrainer(
            model=copy.deepcopy(models.policy),
            ref_model=copy.deepcopy(models.reference),
            args=KTOConfig(**options, **_common()),
            train_dataset=binary_rows(),
            processing_class=make_tokenizer(),
        )
    )


def sft(policy: torch.nn.Module) -> Theirs:
    """Returns TRL's supervised fine-tuning on the tokens of completions."""
    from trl import SFTConfig, SFTTrainer

    return _with_batch(
        SFTTrainer(
            model=copy.deepcopy(policy),
            args=SFTConfig(**_common()),
            train_dataset=demonstration_rows(),
            processing_class=make_tokenizer(),
        )
    )


def cpo(policy: torch.nn.Module, **options: Any) -> Theirs:
    """Returns TRL's CPO, whose `loss_type` may be ``simpo`` or ``hinge``."""
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    return _reference_free(CPOTrainer, CPOConfig, policy, options)


def orpo(policy: torch.nn.Module, **options: Any) -> Theirs:
    """Returns TRL's ORPO."""
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    return _reference_free(ORPOTrainer, ORPOConfig, policy, options)


def _reference_free(
    trainer: Any, config: Any, policy: torch.nn.Module, options: Mapping[str, Any]
) -> Theirs:
    return _with_batch(
        trainer(
            model=copy.deepcopy(policy),
            args=config(**options, **_common()),
            train_dataset=paired_rows(),
            processing_class=make_tokenizer(),
        )
    )


def reward(model: torch.nn.Module) -> Theirs:
    """Returns TRL's reward modelling."""
    from trl import RewardConfig, RewardTrainer

    return _with_batch(
        RewardTrainer(
            model=copy.deepcopy(model),
            args=RewardConfig(**_common()),
            train_dataset=paired_rows(),
            processing_class=make_tokenizer(),
        )
    )


def grpo(
    models: Ours,
    texts: Sequence[Text],
    advantages: Tensor,
    *,
    beta: float = 0.0,
    sampler: torch.nn.Module | None = None,
    **options: Any,
) -> Theirs:
    """Returns TRL's GRPO on given completions and advantages.

    TRL 1.16 has no PPO. GRPO has PPO's clipped loss. If each completion's advantage is its label,
    and its ratios are relative to the reference, it is offline PPO.

    Args:
        models: Policy and reference.
        texts: The completions with their prompts.
        advantages: The advantage of each completion [B].
        beta: Factor of the divergence from the reference.
        sampler: The model that the ratios are relative to. Default: the reference.
        **options: Options of TRL's `GRPOConfig`.
    """
    from trl import GRPOConfig, GRPOTrainer

    trainer = GRPOTrainer(
        model=copy.deepcopy(models.policy),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(num_generations=2, beta=0.0, **options, **_common()),
        train_dataset=demonstration_rows(),
        processing_class=make_tokenizer(),
    )
    trainer.current_gradient_accumulation_steps = 1  # set by its training loop, which is not run
    trainer.beta = beta  # as an option, it would load another reference from a path
    prompts = [text.ids[~text.completion] for text in texts]
    completions = [text.ids[text.completion] for text in texts]
    with torch.no_grad():
        old = [token_logps(sampler or models.reference, text) for text in texts]
        reference = [token_logps(models.reference, text) for text in texts]
    batch = {
        "prompt_ids": _padded(prompts, left=True),
        "prompt_mask": _padded([torch.ones_like(p) for p in prompts], left=True),
        "completion_ids": _padded(completions, left=False),
        "completion_mask": _padded([torch.ones_like(c) for c in completions], left=False),
        "advantages": advantages.double(),
        "old_per_token_logps": _padded(old, left=False),
        "ref_per_token_logps": _padded(reference, left=False),
        "num_items_in_batch": torch.tensor(float(sum(map(len, completions)))),
    }
    return Theirs(trainer, batch)


def group_advantages(scores: Tensor, size: int, *, scaled: bool) -> Tensor:
    """Returns advantages within groups, from TRL's own standard deviation [B].

    Args:
        scores: The score of each completion. Those of a group are adjacent [B].
        size: Number of completions of each group.
        scaled: Whether distances from the mean are divided by the standard deviation.
    """
    from trl.trainer.utils import nanstd

    groups = scores.view(-1, size)
    distances = groups - groups.mean(1, keepdim=True)
    return (distances / (nanstd(groups, dim=1, keepdim=True) + 1e-4 if scaled else 1)).flatten()


def sequences_of(batch: Batch, prefix: str = "") -> list[Text]:
    """Returns the sequences of a batch of any of these trainers, without padding."""
    ids, seen = batch[f"{prefix}input_ids"], batch[f"{prefix}attention_mask"]
    if f"{prefix}completion_mask" in batch:
        return of_masks(ids, seen, batch[f"{prefix}completion_mask"])
    if f"{prefix}labels" in batch:
        return of_masks(ids, seen, batch[f"{prefix}labels"] != -100)
    return of_masks(ids, seen, seen)


def pairs_of(batch: Batch) -> list[Text]:
    """Returns chosen and rejected sequences in turn."""
    if "chosen_input_ids" in batch:
        chosen, rejected = (sequences_of(batch, f"{side}_") for side in ("chosen", "rejected"))
    else:
        both = sequences_of(batch)
        chosen, rejected = both[: len(both) // 2], both[len(both) // 2 :]
    return [sequence for pair in zip(chosen, rejected, strict=True) for sequence in pair]


def _with_batch(trainer: Any) -> Theirs:
    batch = next(iter(trainer.get_train_dataloader()))
    return Theirs(trainer, {name: v for name, v in batch.items() if isinstance(v, Tensor)})


def _padded(rows: Sequence[Tensor], *, left: bool) -> Tensor:
    side = "left" if left else "right"
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_side=side)


def _common() -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": ROWS,
        "bf16": False,
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
    }
