"""Sets up a training: models, data, optimiser and checkpoints, from a stage's options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from halo_core.errors import UserError
from halo_core.stage import StageContext
from halo_models.control_tokens import suffixes
from halo_models.notes import ModelNotes
from halo_trainer.batch_plan import BatchPlan
from halo_trainer.checkpoint import Checkpoints
from halo_trainer.distributed import Ranks
from halo_trainer.encoded import EncodedExample
from halo_trainer.encoding import EncodingOptions
from halo_trainer.optimizers import Named, make_optimizer, trainable
from halo_trainer.reference_refresh import RefreshedReference
from halo_trainer.reference_shares import UNMIXABLE, mixes_weights, shares_of
from halo_trainer.scorer import Scorer
from halo_trainer.scoring import Scoring
from halo_trainer.training_data import encoded_sets, encoding_options, settled_loss
from halo_trainer.training_models import LoadedModel, frozen_scorer, load_start, trained_scorer

if TYPE_CHECKING:
    from halo_trainer.train_stage import Train


@dataclass(frozen=True)
class Training:
    """All that a training works with; where it stands is a `TrainState`.

    Attributes:
        scoring: The models and the loss.
        model: The bare policy, which is exported; a peft model where it is adapted.
        adapted: Whether only low-rank factors are trained.
        attention: The attention that the model had when it was loaded.
        tokenizer: The policy's.
        heads: Beside the model's own, by name.
        notes: What the model will say of how it wants to be asked.
        remark: What the loss says of the data; empty where it says nothing.
        refresh: Brings the reference up to date; None where it stays as it is.
        parameters: What is trained, by name.
        optimizer: Of these.
        data: The examples to learn from.
        evaluation: Further sets by name.
        plan: Of the batches.
        steps: Optimiser steps in all.
        checkpoints: Where states are kept.
    """

    scoring: Scoring
    model: Any
    adapted: bool
    attention: str
    tokenizer: Any
    heads: nn.ModuleDict
    notes: ModelNotes
    remark: str
    refresh: RefreshedReference | None
    parameters: Named
    optimizer: torch.optim.Optimizer
    data: Sequence[EncodedExample]
    evaluation: Mapping[str, Sequence[EncodedExample]]
    plan: BatchPlan
    steps: int
    checkpoints: Checkpoints


def set_up(stage: Train, context: StageContext, ranks: Ranks) -> Training:
    """Returns a training that has not begun.

    Raises:
        UserError: When data are empty, or a model cannot be used with these options.
    """
    loaded = load_start(stage, context, ranks)
    options = _encoding(stage, loaded)
    data, evaluation = encoded_sets(context, loaded.tokenizer, options)
    loss, remark = settled_loss(stage.loss, stage.reads, data)
    policy = trained_scorer(stage, context, loaded, ranks, options.max_length)
    parameters = trainable(policy.model) + [(f"heads.{n}", p) for n, p in trainable(policy.heads)]
    reference = frozen_scorer(stage, context, loaded, ranks, options.max_length)
    plan = BatchPlan(len(data), stage.batch_size, context.seed)
    steps = _steps(stage, plan, context.warn)
    scoring = Scoring(
        loss=loss,
        estimator=stage.reference_point,
        policy=ranks.wrap(policy).train(),
        reference=reference,
        ranks=ranks,
        micro_batch_tokens=stage.micro_batch_tokens,
        max_length=options.max_length,
        seed=context.seed,
        dropout=stage.dropout > 0 or (stage.lora is not None and stage.lora.dropout > 0),
    )
    return Training(
        scoring=scoring,
        model=policy.model,
        adapted=stage.lora is not None,
        attention=loaded.attention,
        tokenizer=loaded.tokenizer,
        heads=policy.heads,
        notes=loaded.notes,
        remark=remark,
        refresh=_refresh(stage, context, policy, reference, steps),
        parameters=parameters,
        optimizer=_optimizer(stage, parameters),
        data=data,
        evaluation=evaluation,
        plan=plan,
        steps=steps,
        checkpoints=Checkpoints(context.folder / "checkpoints", stage.keep_last, stage.keep_best),
    )


def _encoding(stage: Train, loaded: LoadedModel) -> EncodingOptions:
    return replace(
        encoding_options(stage.max_length, stage.max_prompt_length, loaded.model.config),
        suffixes=suffixes(loaded.tokenizer, stage.loss, loaded.notes),
    )


def _refresh(
    stage: Train, context: StageContext, policy: Scorer, reference: Scorer | None, steps: int
) -> RefreshedReference | None:
    if stage.reference_update is None or reference is None:
        return None
    shares = shares_of(stage.reference_update, steps)
    if not any(shares):
        context.warn(
            f"reference_update leaves the reference as it is in all of the {steps} steps there are"
        )
    if stage.lora is not None and mixes_weights(shares):
        raise UserError(UNMIXABLE, location="reference_update")
    where = context.models["reference"].path
    return RefreshedReference(policy.model, reference.model, shares, location=where)


def _optimizer(stage: Train, parameters: Named) -> torch.optim.Optimizer:
    return make_optimizer(
        parameters,
        stage.optimizer,
        weight_decay=stage.weight_decay,
        options=stage.optimizer_options,
    )


def _steps(stage: Train, plan: BatchPlan, warn: Callable[[str], None]) -> int:
    steps = stage.steps or (stage.epochs or 1) * plan.steps_per_epoch
    if stage.warmup_steps > steps:
        warn(
            f"warmup_steps {stage.warmup_steps} is more than the {steps} steps there are, so the "
            "learning rate never reaches learning_rate"
        )
    return steps
