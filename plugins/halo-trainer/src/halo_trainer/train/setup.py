"""Sets up a training: models, data, optimiser and checkpoints, from a stage's options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from halo_core.errors import DataError, UserError
from halo_core.feedback import Feedback
from halo_core.guarded.loss_calls import settled
from halo_core.loss import ClassCounts, Loss
from halo_core.reference_point import RefPointEstimator
from halo_core.stage import StageContext
from halo_models.control_tokens import suffixes
from halo_models.notes import ModelNotes
from halo_models.tokenizers import completion_end_id
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.encode.examples import EncodedData, EncodedExample
from halo_trainer.encode.reference_samples import WithSamples, read_samples
from halo_trainer.encode.rows_to_tokens import EncodingOptions, encode
from halo_trainer.model.scorer import Scorer
from halo_trainer.train.checkpoint import Checkpoints
from halo_trainer.train.load_models import LoadedModel, frozen_scorer, load_start, trained_scorer
from halo_trainer.train.objective import Objective
from halo_trainer.train.optimizers import Named, make_optimizer, trainable
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.reference_refresh import RefreshedReference
from halo_trainer.train.reference_shares import UNMIXABLE, mixes_weights, shares_of

if TYPE_CHECKING:
    from halo_trainer.train.options import Train


@dataclass(frozen=True)
class Training:
    """All that a training works with; where it stands is a `TrainState`.

    Attributes:
        objective: The models and the loss.
        estimator: Gives the reference points; None where the loss needs none.
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

    objective: Objective
    estimator: RefPointEstimator | None
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
    objective = Objective(
        loss=loss,
        policy=ranks.wrap(policy).train(),
        reference=reference,
        ranks=ranks,
        micro_batch_tokens=stage.micro_batch_tokens,
        max_length=options.max_length,
        dropout=stage.dropout > 0 or (stage.lora is not None and stage.lora.dropout > 0),
    )
    return Training(
        objective=objective,
        estimator=stage.reference_point,
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


LONGEST = 2048
"""The default of `max_length`, as in the report."""

EVALUATE = "evaluate."


def encoding_options(
    max_length: int | None, max_prompt_length: int | None, config: Any
) -> EncodingOptions:
    """Returns the lengths that the options and the model's context give.

    Raises:
        UserError: When the model cannot take sequences of this length.
    """
    text = config.get_text_config()
    room = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    if max_length is not None and room is not None and max_length > room:
        raise UserError(
            f"max_length {max_length} is more than the {room} tokens that the model can take; "
            f"set max_length to at most {room}",
            location="max_length",
        )
    longest = max_length or min(LONGEST, room or LONGEST)
    return EncodingOptions(longest, max_prompt_length or longest // 2)


def encoded_sets(
    context: StageContext, tokenizer: Any, options: EncodingOptions
) -> tuple[Sequence[EncodedExample], dict[str, Sequence[EncodedExample]]]:
    """Returns the examples to learn from, and those of further sets by name.

    Args:
        context: What the stage reads.
        tokenizer: The policy's.
        options: How rows become tokens.

    Raises:
        DataError: When there are no rows, or a prompt has no sample where samples are wanted.
    """
    folder = context.inputs.get("samples")
    samples = None if folder is None else read_samples(folder, completion_end_id(tokenizer))
    sets: dict[str, Sequence[EncodedExample]] = {}
    for option, rows in context.data.items():
        encoded = encode(rows, tokenizer, options=options, cache=context.cache)
        if len(encoded) == 0:
            raise DataError("there are no rows; expected at least one", location=rows.name)
        _tell_cuts(
            context.warn, rows.name, encoded.truncated_prompts, encoded.truncated_completions
        )
        sets[option] = encoded
        if samples is not None:
            sets[option] = WithSamples(
                encoded, samples, max_length=options.max_length, name=rows.name
            )
    data = sets.pop("data")
    return data, {option.removeprefix(EVALUATE): rows for option, rows in sets.items()}


def _tell_cuts(warn: Callable[[str], None], name: str, prompts: int, completions: int) -> None:
    if prompts or completions:
        warn(
            f"{name}: {prompts} prompts and {completions} completions were cut to fit "
            "max_prompt_length and max_length"
        )


def settled_loss(
    loss: Loss, feedback: Feedback, data: Sequence[EncodedExample]
) -> tuple[Loss, str]:
    """Returns the loss with the options settled that depend on the data, and what it says of them.

    It says nothing where nothing was left open and nothing is wrong. The runner warned of what is
    wrong before the first stage.

    Args:
        loss: As the spec gives it.
        feedback: The kind of the examples; only pairs and labelled completions have classes.
        data: The examples to learn from.
    """
    if feedback not in ("binary", "paired"):
        return loss, ""
    made = settled(loss, _class_counts(feedback, data))
    return made.loss, made.remark if made.caution or made.loss != loss else ""


def _class_counts(feedback: Feedback, data: Sequence[EncodedExample]) -> ClassCounts:
    """How many completions of each class there are; a pair has one of each."""
    if feedback == "paired":
        return ClassCounts(len(data), len(data))
    if isinstance(data, EncodedData):
        desirable = data.counts.desirable  # counted when it was encoded
    else:
        desirable = sum(example.completions[0].desirable for example in data)
    return ClassCounts(desirable, len(data) - desirable)
