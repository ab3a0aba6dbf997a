"""The options of a training as plain values. Each part is for the code that needs it."""

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
    """The learning task.

    Attributes:
        loss: The loss from the spec, before the data settle its options.
        feedback: Kind of feedback of all sets.
        estimator: Estimates the reference points; None if the loss needs none.
        reference_update: When the reference takes in the policy's weights; None for never.
        router_weight: Factor of the load-balancing loss of experts; 0 for none.
    """

    loss: Loss
    feedback: Feedback
    estimator: RefPointEstimator | None
    reference_update: ReferenceUpdate | None
    router_weight: float = 0.0


@dataclass(frozen=True)
class ModelRecipe:
    """How the models are loaded, and which part of the policy is trained.

    Attributes:
        template: Chat template; None for the tokenizer's own.
        chat: Options for converting rows to text.
        unfinished: The treatment of completions that were cut off when they were sampled.
        precision: Precision of the computation.
        lora: The low-rank factors; None if all weights are trained.
        dropout: Dropout rate of the policy, wherever it has dropout.
        gradient_checkpointing: Whether activations are computed twice.
        with_reference: Whether there is a reference to compare with.
        stores_reference: Whether its log-probabilities come from a store on disk.
    """

    template: str | None
    chat: ChatOptions
    unfinished: Unfinished
    precision: Literal["auto", "float32", "bfloat16"]
    lora: LoraOptions | None
    dropout: float
    gradient_checkpointing: bool
    with_reference: bool
    stores_reference: bool = False

    @property
    def drops_out(self) -> bool:
        """Whether the policy uses dropout in training."""
        return self.dropout > 0 or (self.lora is not None and self.lora.dropout > 0)


@dataclass(frozen=True)
class TokenLimits:
    """Length limits in tokens.

    Attributes:
        sequence: Limit for prompt and completion together; None for the default.
        prompt: Limit for the prompt; None for half of the sequence.
        micro_batch: Limit for what a process computes at one time; auto to find it.
    """

    sequence: int | None
    prompt: int | None
    micro_batch: int | Literal["auto"]


@dataclass(frozen=True)
class Duration:
    """The amount of training.

    Attributes:
        batch_size: Number of examples per step, over all processes.
        epochs: Number of passes over the data, if `steps` is None; None for one.
        steps: Number of optimiser steps; None if it depends on the data.
    """

    batch_size: int
    epochs: int | None
    steps: int | None


@dataclass(frozen=True)
class OptimizerRecipe:
    """The optimiser and its options.

    Attributes:
        name: Name of the optimiser in `torch.optim`.
        options: Further options of the optimiser.
        weight_decay: Weight decay of matrices. No other weights decay.
        max_grad_norm: Largest gradient norm; None for no limit.
    """

    name: str
    options: Mapping[str, float | bool | list[float]]
    weight_decay: float
    max_grad_norm: float | None


@dataclass(frozen=True)
class Intervals:
    """Numbers of steps between regular actions.

    Attributes:
        log: Steps between logged metrics.
        evaluate: Steps between evaluations; None for only at the end.
        checkpoint: Steps between checkpoints.
        checkpoint_minutes: Minutes after which a checkpoint is also written; None for never.
    """

    log: int
    evaluate: int | None
    checkpoint: int
    checkpoint_minutes: float | None = None


@dataclass(frozen=True)
class KeptCheckpoints:
    """The number of kept checkpoints, and the one that becomes the model.

    Attributes:
        last: Number of latest checkpoints to leave when the stage is done.
        best: Number of checkpoints with the lowest loss on the first evaluation set to leave then;
            None for none, though one is kept while the stage runs.
        exported: Whether the model is that of the last step or of the best one.
        in_background: Whether steps continue while a checkpoint is written.
    """

    last: int = 0
    best: int | None = None
    exported: Literal["last", "best"] = "last"
    in_background: bool = True

    @property
    def last_while_running(self) -> int:
        """Number of latest checkpoints to keep: at least 2, because one may be damaged."""
        return max(2, self.last)

    @property
    def best_while_running(self) -> int:
        """Number of best checkpoints to keep."""
        return 1 if self.best is None else self.best


@dataclass(frozen=True)
class Recipe:
    """All options of a training.

    Attributes:
        task: The learning task.
        models: How the models are loaded and trained.
        lengths: Limits of sequences and micro-batches.
        duration: The amount of training.
        optimizer: The optimiser and its options.
        learning_rate: The learning rate and its schedule.
        intervals: Numbers of steps between regular actions.
        kept: The number of kept checkpoints.
        device: The device to compute on.
        deterministic: Whether to use only kernels whose results repeat bit for bit.
        sharding: Whether each process holds a share of the weights or all of them.
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
    sharding: Literal["auto", "none", "full"] = "auto"
