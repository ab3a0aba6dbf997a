"""Sets up a training from its options: models, data, optimiser and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from halo_core.errors import UserError
from halo_core.loss import Loss
from halo_core.reference_point import RefPointEstimator
from halo_core.stage import StageContext
from halo_core.workspace.check_values import CHECKPOINTS
from halo_models.control_tokens import suffixes
from halo_models.templates import asks_for_date
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.encode.encode_sets import encode_sets, encoding_options
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.encode.rows_to_tokens import EncodingOptions
from halo_trainer.model.new_tokens import tokens_to_train
from halo_trainer.model.router import experts_per_token
from halo_trainer.model.scorer import Scorer
from halo_trainer.reference_store.stored_reference import StoredReference
from halo_trainer.train.checkpoints.checkpoint import Checkpoints
from halo_trainer.train.load_models import LoadedModel, load_reference, load_start, make_policy
from halo_trainer.train.memory_and_time import NOT_SHARED
from halo_trainer.train.objective import Objective
from halo_trainer.train.optimizers import Named, make_optimizer, trainable
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.recipe import Duration, Recipe
from halo_trainer.train.reference.refresh import RefreshedReference
from halo_trainer.train.reference.scores import LiveReference
from halo_trainer.train.reference.shares import UNMIXABLE, mixes_weights, shares_of
from halo_trainer.train.reference.stored_scores import (
    RankWarnings,
    StoreUse,
    load_if_lacking,
    stored_reference,
)
from halo_trainer.train.settle_loss import settle_loss
from halo_trainer.train.sharding_choice import choose_exchange, choose_sharding
from halo_trainer.train.token_budget import BEFORE


@dataclass(frozen=True)
class Training:
    """The parts of a training. Its progress is a `TrainState`.

    Attributes:
        objective: The models and the loss.
        estimator: Estimates the reference points; None if the loss needs none.
        start: The model that training starts from, with its tokenizer.
        policy: The model that is trained and exported, without a wrapper of the processes.
        remark: The loss's remark on the data; empty if there is none.
        refresh: Updates the reference; None if it does not change.
        store: The use of the reference's store; None if it has none.
        parameters: Trained parameters by name.
        optimizer: The optimiser of the parameters.
        data: The examples to learn from.
        evaluation: Evaluation sets by name.
        plan: The plan of the global batches.
        steps: Number of optimiser steps in total.
        checkpoints: The checkpoints.
    """

    objective: Objective
    estimator: RefPointEstimator | None
    start: LoadedModel
    policy: Scorer
    remark: str
    refresh: RefreshedReference | None
    store: StoreUse | None
    parameters: Named
    optimizer: torch.optim.Optimizer
    data: Sequence[EncodedExample]
    evaluation: Mapping[str, Sequence[EncodedExample]]
    plan: BatchPlan
    steps: int
    checkpoints: Checkpoints


def set_up(recipe: Recipe, context: StageContext, ranks: Ranks) -> Training:
    """Returns a new training.

    Args:
        recipe: The options of the training.
        context: The stage's inputs and outputs.
        ranks: The processes.

    Raises:
        UserError: When data are empty, or a model cannot be used with these options.
    """
    task = recipe.task
    start = _start(recipe, context, ranks)
    encoding = _encoding(recipe, start)
    data, evaluation = encode_sets(
        context.data,
        start.tokenizer,
        encoding,
        samples=context.inputs.get("samples"),
        cache=context.cache,
        warn=context.warn,
        progress=context.progress,
    )
    loss, remark = settle_loss(task.loss, task.feedback, data)
    tokens = _tokens_to_train(recipe, start, data)
    warnings = RankWarnings(context.warn, ranks)
    with context.progress.phase("preparing policy and reference"):
        policy, reference = _models(recipe, context, start, tokens, encoding.max_length, warnings)
    if recipe.models.drops_out and policy.shares:
        context.warn(NOT_SHARED)
    parameters = trainable(policy.model) + [(f"heads.{n}", p) for n, p in trainable(policy.heads)]
    plan = BatchPlan(len(data), recipe.duration.batch_size, context.seed)
    if plan.batch_size > len(data):
        context.warn(
            f"batch_size is {plan.batch_size:,}, but there are {len(data):,} examples, so each "
            "step takes all of them"
        )
    steps = _steps(recipe.duration, plan, recipe.learning_rate.warmup_steps, context.warn)
    store = None
    if isinstance(reference, StoredReference):
        store = StoreUse(reference, warnings, main=ranks.main)
        with context.progress.phase("looking up stored log-probabilities"):
            load_if_lacking(reference, data, evaluation, plan, steps, ranks)
    objective = _objective(recipe, ranks, loss, policy, reference, encoding.max_length)
    return Training(
        objective=replace(objective, accumulates=choose_exchange(parameters, context, ranks)),
        estimator=task.estimator,
        start=start,
        policy=policy,
        remark=remark,
        refresh=_refresh(recipe, context, policy, reference, steps),
        store=store,
        parameters=parameters,
        optimizer=_optimizer(recipe, parameters),
        data=data,
        evaluation=evaluation,
        plan=plan,
        steps=steps,
        checkpoints=_checkpoints(recipe, context, ranks),
    )


def _start(recipe: Recipe, context: StageContext, ranks: Ranks) -> LoadedModel:
    """Returns the model that training starts from, with its tokenizer."""
    sharding = choose_sharding(recipe, context, ranks)
    with context.progress.phase("loading the model"):
        start = load_start(
            context.models["from"],
            recipe.task.loss,
            recipe.models,
            device=ranks.device,
            spread=sharding.full,
        )
    if asks_for_date(start.tokenizer):
        context.warn(f"the chat template asks for the date and gets {start.chat.date}")
    return start


def _optimizer(recipe: Recipe, parameters: Named) -> torch.optim.Optimizer:
    chosen = recipe.optimizer
    return make_optimizer(
        parameters, chosen.name, weight_decay=chosen.weight_decay, options=chosen.options
    )


def _checkpoints(recipe: Recipe, context: StageContext, ranks: Ranks) -> Checkpoints:
    kept = recipe.kept
    return Checkpoints(
        context.folder / CHECKPOINTS,
        kept.last_while_running,
        kept.best_while_running,
        main=ranks.main,
    )


def _objective(
    recipe: Recipe,
    ranks: Ranks,
    loss: Loss,
    policy: Scorer,
    reference: LiveReference | StoredReference | None,
    max_length: int,
) -> Objective:
    return Objective(
        loss=loss,
        policy=ranks.wrap(policy).train(),
        reference=reference,
        ranks=ranks,
        micro_batch_tokens=BEFORE,  # until the loop knows
        max_length=max_length,
        dropout=recipe.models.drops_out,
        router_weight=recipe.task.router_weight,
        shares=policy.shares and (reference is None or reference.shares),
        recomputes=recipe.models.gradient_checkpointing,
    )


def _encoding(recipe: Recipe, start: LoadedModel) -> EncodingOptions:
    lengths = recipe.lengths
    return replace(
        encoding_options(lengths.sequence, lengths.prompt, start.model.config),
        suffixes=suffixes(start.tokenizer, recipe.task.loss, start.notes),
        chat=start.chat,
        unfinished=recipe.models.unfinished,
        needs_logps="sampler_logps" in recipe.task.loss.needed(),
    )


def _tokens_to_train(
    recipe: Recipe, start: LoadedModel, data: Sequence[EncodedExample]
) -> list[int]:
    lora = recipe.models.lora
    if lora is None:
        return []
    return tokens_to_train(lora.train_tokens, start.model, start.tokenizer, data)


def _models(
    recipe: Recipe,
    context: StageContext,
    start: LoadedModel,
    tokens: Sequence[int],
    max_length: int,
    warnings: RankWarnings,
) -> tuple[Scorer, LiveReference | StoredReference | None]:
    """Returns the policy and the reference; None if there is nothing to compare with."""
    seed, warn = context.seed, context.warn
    policy = make_policy(
        start,
        recipe.task.loss,
        recipe.models,
        tokens=tokens,
        max_length=max_length,
        seed=seed,
        warn=warn,
    )
    if recipe.task.router_weight > 0:
        policy.experts = experts_per_token(start.model)
    if not recipe.models.with_reference:
        return policy, None
    load = partial(
        load_reference,
        context.models["reference"],
        start,
        recipe.models,
        updated=recipe.task.reference_update is not None,
        tokens=tokens,
        max_length=max_length,
        seed=seed,
        warn=warn,
    )
    if recipe.models.stores_reference:
        stored = stored_reference(
            context, start, recipe.models, load, max_length=max_length, warn=warnings
        )
        return policy, stored
    return policy, LiveReference(load())


def _refresh(
    recipe: Recipe,
    context: StageContext,
    policy: Scorer,
    reference: LiveReference | StoredReference | None,
    steps: int,
) -> RefreshedReference | None:
    update = recipe.task.reference_update
    if update is None or not isinstance(reference, LiveReference):
        return None
    shares = shares_of(update, steps)
    if not any(shares):
        context.warn(f"reference_update does not change the reference in any of the {steps} steps")
    if recipe.models.lora is not None and mixes_weights(shares):
        raise UserError(UNMIXABLE, location="reference_update")
    where = context.models["reference"].path
    return RefreshedReference(policy.model, reference.scorer.model, shares, location=where)


def _steps(
    duration: Duration, plan: BatchPlan, warmup_steps: int, warn: Callable[[str], None]
) -> int:
    steps = duration.steps or (duration.epochs or 1) * plan.steps_per_epoch
    if warmup_steps > steps:
        warn(
            f"warmup_steps {warmup_steps} is more than the {steps} steps, so the "
            "learning rate never reaches learning_rate"
        )
    return steps
