"""Sets up a training: models, data, optimiser and checkpoints, from a stage's options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from halo_core.chat_text import completion_end_id
from halo_core.errors import DataError, ModelError, UserError
from halo_core.loss import ClassCounts, Counted, Loss
from halo_core.stage import ModelInput, StageContext
from halo_trainer.batch_plan import BatchPlan
from halo_trainer.checkpoint import Checkpoints
from halo_trainer.control_tokens import suffixes, with_control_tokens
from halo_trainer.device import pick_dtype
from halo_trainer.distributed import Ranks
from halo_trainer.dropout import set_dropout
from halo_trainer.encoded import EncodedExample
from halo_trainer.encoding import EncodingOptions, encode
from halo_trainer.heads import make_heads
from halo_trainer.lora import apply_lora
from halo_trainer.model_notes import ModelNotes, read_notes
from halo_trainer.models import (
    grow_vocabulary,
    load_model,
    load_tokenizer,
)
from halo_trainer.optimizers import Named, make_optimizer, trainable
from halo_trainer.probe import make_scorer
from halo_trainer.reference_samples import WithSamples, read_samples
from halo_trainer.scorer import Scorer
from halo_trainer.scoring import Scoring

if TYPE_CHECKING:
    from halo_trainer.train_stage import Train

LONGEST = 2048
"""The default of `max_length`, as in the report."""

EVALUATE = "evaluate."


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
    source = context.models["from"]
    tokenizer = load_tokenizer(source, stage.template)
    model = load_model(source, dtype=torch.float32, device=ranks.device)
    notes = with_control_tokens(tokenizer, stage.loss, read_notes(source))
    grow_vocabulary(model, len(tokenizer))
    options = replace(
        encoding_options(stage.max_length, stage.max_prompt_length, model.config),
        suffixes=suffixes(tokenizer, stage.loss, notes),
    )
    data, evaluation = _encoded(context, tokenizer, options)
    loss, remark = counted(stage, data, context.warn)
    attention: str = model.config._attn_implementation
    policy = _policy(stage, context, model, ranks, options.max_length)
    parameters = trainable(policy.model) + [(f"heads.{n}", p) for n, p in trainable(policy.heads)]
    scoring = Scoring(
        loss=loss,
        estimator=stage.reference_point,
        policy=ranks.wrap(policy).train(),
        reference=_reference(stage, context, tokenizer, notes, ranks, options.max_length),
        ranks=ranks,
        micro_batch_tokens=stage.micro_batch_tokens,
        max_length=options.max_length,
        seed=context.seed,
    )
    plan = BatchPlan(len(data), stage.batch_size, context.seed)
    steps = stage.steps or (stage.epochs or 1) * plan.steps_per_epoch
    if stage.warmup_steps > steps:
        context.warn(
            f"warmup_steps {stage.warmup_steps} is more than the {steps} steps there are, so the "
            "learning rate never reaches learning_rate"
        )
    return Training(
        scoring=scoring,
        model=policy.model,
        adapted=stage.lora is not None,
        attention=attention,
        tokenizer=tokenizer,
        heads=policy.heads,
        notes=notes,
        remark=remark,
        parameters=parameters,
        optimizer=make_optimizer(
            parameters,
            stage.optimizer,
            weight_decay=stage.weight_decay,
            options=stage.optimizer_options,
        ),
        data=data,
        evaluation=evaluation,
        plan=plan,
        steps=steps,
        checkpoints=Checkpoints(context.folder / "checkpoints", stage.keep_last, stage.keep_best),
    )


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


def _encoded(
    context: StageContext, tokenizer: Any, options: EncodingOptions
) -> tuple[Sequence[EncodedExample], dict[str, Sequence[EncodedExample]]]:
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


def counted(
    stage: Train, data: Sequence[EncodedExample], warn: Callable[[str], None]
) -> tuple[Loss, str]:
    """Returns the loss with the options settled that depend on the data, and what it says of them.

    It says nothing where nothing was left open and nothing is wrong.

    Args:
        stage: The options.
        data: The examples to learn from. A pair has one completion of each class.
        warn: Told what the loss warns of.
    """
    loss = stage.loss
    if not isinstance(loss, Counted):
        return loss, ""
    desirable = sum(c.desirable for example in data for c in example.completions)
    undesirable = sum(not c.desirable for example in data for c in example.completions)
    counts = ClassCounts(desirable, undesirable)
    settled, caution = loss.counted(counts), loss.caution(counts)
    if caution:
        warn(caution)
    return settled, loss.remark(counts) if caution or settled != loss else ""


def _tell_cuts(warn: Callable[[str], None], name: str, prompts: int, completions: int) -> None:
    if prompts or completions:
        warn(
            f"{name}: {prompts} prompts and {completions} completions were cut to fit "
            "max_prompt_length and max_length"
        )


def _policy(
    stage: Train, context: StageContext, model: Any, ranks: Ranks, max_length: int
) -> Scorer:
    """Probed as it was loaded, then made trainable."""
    compute = pick_dtype(stage.precision, ranks.device)
    scorer = make_scorer(model, compute_dtype=compute, max_length=max_length, warn=context.warn)
    wanted = stage.loss.heads()
    scorer.add_heads(
        wanted,
        make_heads(wanted, model, seed=context.seed),
        tokens="policy_logps" in stage.loss.needed(),
    )
    set_dropout(model, stage.dropout)
    if stage.lora is not None:
        scorer.model = apply_lora(model, stage.lora, seed=context.seed)
    _hold_frozen(scorer, compute)
    if stage.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return scorer


def _reference(
    stage: Train,
    context: StageContext,
    tokenizer: Any,
    notes: ModelNotes,
    ranks: Ranks,
    max_length: int,
) -> Scorer | None:
    """Probed in float32, then frozen."""
    if not stage.needs_reference:
        return None
    _check_vocabulary(tokenizer, notes, context.models["reference"])
    model = load_model(context.models["reference"], dtype=torch.float32, device=ranks.device)
    grow_vocabulary(model, len(tokenizer))
    compute = pick_dtype(stage.precision, ranks.device)
    scorer = make_scorer(model, compute_dtype=compute, max_length=max_length, warn=context.warn)
    scorer.eval().requires_grad_(False)
    _hold_frozen(scorer, compute)
    return scorer


def _check_vocabulary(tokenizer: Any, notes: ModelNotes, reference: ModelInput) -> None:
    """Policy and reference are compared token by token, so their ids must mean the same.

    Control tokens end prompts and are not compared, so the reference need not know them.
    """
    theirs = load_tokenizer(reference, None).get_vocab()
    ours = tokenizer.get_vocab()
    if {token: ours.get(token) for token in theirs} != theirs or not set(ours) <= {
        *theirs,
        *notes.control_tokens,
    }:
        raise ModelError(
            f"the reference has another vocabulary ({len(theirs)} tokens) than the model that is "
            f"trained ({len(tokenizer.get_vocab())}). Their log-probabilities are compared token "
            "by token; give a reference with the same tokenizer",
            location=reference.path,
        )


def _hold_frozen(scorer: Scorer, compute: torch.dtype) -> None:
    """Holds frozen weights in the dtype computed in; buffers not: positions need precision."""
    for parameter in scorer.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(compute)
