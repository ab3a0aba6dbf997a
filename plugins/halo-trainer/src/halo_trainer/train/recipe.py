"""What a training is asked to do, as plain values: each part goes to the one that needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from halo_core.feedback import Feedback
from halo_core.loss import Loss
from halo_core.reference_point import RefPointEstimator
from halo_core.reference_update import ReferenceUpdate
from halo_models.conversation import ChatOptions
from halo_trainer.encode.chat_rows import Unfinished
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.train.learning_rate import LearningRate


@dataclass(frozen=True)
class Task:
    """What is learned.

    Attributes:
        loss: As the spec gives it, before its options are settled by the data.
        feedback: The kind of feedback of all sets.
        estimator: Gives the reference points; None where the loss needs none.
        reference_update: When the reference takes in the policy's weights; None for never.
        router_weight: Factor of the loss on the load of experts; 0 for none.
    """

    loss: Loss
    feedback: Feedback
    estimator: RefPointEstimator | None
    reference_update: ReferenceUpdate | None
    router_weight: float = 0.0


@dataclass(frozen=True)
class ModelRecipe:
    """How the models are loaded, and what of the policy is trained.

    Attributes:
        template: Chat template; None for the tokenizer's own.
        chat: How rows become text.
        unfinished: What becomes of completions that were cut off when they were sampled.
        precision: What is computed in.
        lora: The low-rank factors; None where all weights are trained.
        dropout: Rate of the policy, in all places that have one.
        gradient_checkpointing: Whether activations are computed twice.
        with_reference: Whether a reference is compared with.
    """

    template: str | None
    chat: ChatOptions
    unfinished: Unfinished
    precision: Literal["auto", "float32", "bfloat16"]
    lora: LoraOptions | None
    dropout: float
    gradient_checkpointing: bool
    with_reference: bool

    @property
    def drops_out(self) -> bool:
        """Whether something is dropped out of the policy while it is trained."""
        return self.dropout > 0 or (self.lora is not None and self.lora.dropout > 0)


@dataclass(frozen=True)
class TokenLimits:
    """How long things may be, in tokens.

    Attributes:
        sequence: Prompt and completion together; None for the default.
        prompt: The prompt; None for half of the sequence.
        micro_batch: What a process computes at a time.
    """

    sequence: int | None
    prompt: int | None
    micro_batch: int


@dataclass(frozen=True)
class Duration:
    """How much is learned from, and in what steps.

    Attributes:
        batch_size: Examples per step, over all processes.
        epochs: Passes over the data, where `steps` is None; None for one.
        steps: Optimiser steps; None where the data decide.
    """

    batch_size: int
    epochs: int | None
    steps: int | None


@dataclass(frozen=True)
class OptimizerRecipe:
    """How the weights follow the gradients.

    Attributes:
        name: What the optimiser is called in `torch.optim`.
        options: Its further options.
        weight_decay: For matrices; nothing else is decayed.
        max_grad_norm: Longer gradients are shortened to this; None for never.
    """

    name: str
    options: Mapping[str, float | bool | list[float]]
    weight_decay: float
    max_grad_norm: float | None


@dataclass(frozen=True)
class Intervals:
    """What happens every so many steps.

    Attributes:
        log: Metrics are logged.
        evaluate: The evaluation sets are measured; None for only at the end.
        checkpoint: A checkpoint is written.
        checkpoint_minutes: One is written, too, when the last was so long ago; None for never.
    """

    log: int
    evaluate: int | None
    checkpoint: int
    checkpoint_minutes: float | None = None


@dataclass(frozen=True)
class KeptCheckpoints:
    """How many checkpoints are kept, and which becomes the model.

    Attributes:
        last: The latest.
        best: Those with the lowest loss on the first evaluation set.
        exported: Whether the model is that of the last step or of the best one.
    """

    last: int
    best: int
    exported: Literal["last", "best"] = "last"


@dataclass(frozen=True)
class Recipe:
    """All that the options of a training ask for.

    Attributes:
        task: What is learned.
        models: How the models are held.
        lengths: How long sequences and micro-batches may be.
        duration: How much is learned from.
        optimizer: How the weights follow the gradients.
        learning_rate: How fast.
        intervals: What happens every so many steps.
        kept: How many checkpoints are kept.
        device: Where to compute.
        deterministic: Whether only kernels are used that repeat bit for bit.
    """

    task: Task
    models: ModelRecipe
    lengths: TokenLimits
    duration: Duration
    optimizer: OptimizerRecipe
    learning_rate: LearningRate
    intervals: Intervals
    kept: KeptCheckpoints
    device: Literal["auto", "cpu", "cuda"]
    deterministic: bool
