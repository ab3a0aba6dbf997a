"""The models of a training: the policy, loaded and made trainable, and its reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from halo_core.errors import ModelError
from halo_core.guarded.blame import plugin_error
from halo_core.guarded.loss_calls import heads_of
from halo_core.loss import Loss
from halo_core.stage import ModelInput
from halo_models.control_tokens import with_control_tokens
from halo_models.conversation import ChatOptions
from halo_models.device import pick_dtype
from halo_models.finite import look_over
from halo_models.load import grow_vocabulary, load_model, load_tokenizer, read_tokenizer
from halo_models.load_shards import grow_shards, load_model_shards
from halo_models.notes import ModelNotes, read_notes
from halo_models.shards import is_sharded
from halo_models.templates import asks_for_date
from halo_trainer.batch.packing import PackedRow
from halo_trainer.model.frozen import hold_frozen
from halo_trainer.model.heads import make_heads
from halo_trainer.model.lora import apply_lora
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.model.probe import gives_no_numbers, make_scorer, probe_row
from halo_trainer.model.scorer import Scorer, without_dropout
from halo_trainer.model.twin import make_scorer_by_twin
from halo_trainer.sharding.gathered import gathered
from halo_trainer.sharding.shard import shard
from halo_trainer.train.recipe import ModelRecipe


@dataclass(frozen=True)
class LoadedModel:
    """The model that a training starts from, with room for the loss's control tokens.

    Attributes:
        model: The model, in float32 and in evaluation mode.
        tokenizer: Its tokenizer, with the stage's template and the control tokens.
        notes: The notes of the trained model.
        chat: Options for converting rows to text.
        attention: The attention that the model had when it was loaded.
    """

    model: Any
    tokenizer: Any
    notes: ModelNotes
    chat: ChatOptions
    attention: str


def load_start(
    source: ModelInput,
    loss: Loss,
    recipe: ModelRecipe,
    *,
    device: torch.device,
    spread: bool = False,
) -> LoadedModel:
    """Returns the model to start from.

    Args:
        source: The folder or hub id of the model.
        loss: The loss, whose control tokens are added.
        recipe: The recipe, for the chat template and the options for rows.
        device: Device of the model.
        spread: Whether each process reads only its rows of the weights.

    Raises:
        ModelError: When it cannot be loaded.
    """
    tokenizer = load_tokenizer(source, recipe.template)
    model = _load(source, torch.float32, device, spread=spread)
    notes, chat = told_of(tokenizer, source, loss, recipe.chat)
    _grow(model, len(tokenizer))
    return LoadedModel(model, tokenizer, notes, chat, model.config._attn_implementation)


def told_of(
    tokenizer: Any, source: ModelInput, loss: Loss, asked: ChatOptions
) -> tuple[ModelNotes, ChatOptions]:
    """Returns the notes of the trained model, and the options for converting rows to text.

    Args:
        tokenizer: The model's tokenizer with the stage's template. The control tokens are added.
        source: The folder or hub id of the model.
        loss: The loss.
        asked: The stage's options for rows.

    Raises:
        ModelError: When a control token already means something else.
    """
    notes = with_control_tokens(tokenizer, loss, read_notes(source))
    chat = notes.chat_options(asked)
    notes = replace(
        notes,
        template_date=chat.date if asks_for_date(tokenizer) else None,
        content_tokens=chat.content_tokens or (),
    )
    return notes, chat


def make_policy(
    start: LoadedModel,
    loss: Loss,
    recipe: ModelRecipe,
    *,
    tokens: Sequence[int],
    max_length: int,
    seed: int,
    warn: Callable[[str], None],
) -> Scorer:
    """Returns the policy. It is probed as it was loaded, and then made trainable.

    Args:
        start: The model to start from, changed in place.
        loss: The loss, whose heads are added.
        recipe: The recipe, which says what is trained.
        tokens: Tokens whose rows are trained along with low-rank factors.
        max_length: Largest number of tokens of a sequence.
        seed: Seed of heads and adapters.
        warn: Receives a warning if the model does not support packed sequences.

    Raises:
        ModelError: When the model's results are inconsistent.
    """
    model = start.model
    compute = pick_dtype(recipe.precision, model.device)
    scorer = _scorer(model, compute_dtype=compute, max_length=max_length, warn=warn)
    # This must be after the probe, which compares with the results of the model as loaded.
    heads = heads_of(loss)
    if taken := [head.name for head in heads if hasattr(nn.ModuleDict, head.name)]:
        raise plugin_error(loss, "heads", f"gave the name {taken[0]!r}, which torch uses itself")
    scorer.add_heads(
        heads, make_heads(heads, model, seed=seed), tokens="policy_logps" in loss.needed()
    )
    set_dropout(model, recipe.dropout)
    if recipe.lora is not None:
        scorer.model = _adapted(model, recipe.lora, seed=seed, tokens=tokens)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if is_spread_model(model):
        _check_pass(shard(scorer), probe_row(model, max_length))
    else:
        hold_frozen(scorer, probe_row(model, max_length), warn=warn)
    return scorer


def load_reference(
    source: ModelInput,
    start: LoadedModel,
    recipe: ModelRecipe,
    *,
    updated: bool,
    tokens: Sequence[int],
    max_length: int,
    seed: int,
    warn: Callable[[str], None],
) -> Scorer:
    """Returns the reference. It is probed in float32, and then frozen.

    A reference that will take in the policy's weights gets adapters like the policy's, and keeps
    its dtype; see `RefreshedReference`.

    Args:
        source: The folder or hub id of the reference.
        start: The model that is trained.
        recipe: The recipe, which says how the models are held.
        updated: Whether the reference will take in the policy's weights.
        tokens: Tokens whose rows are in the policy's adapters.
        max_length: Largest number of tokens of a sequence.
        seed: Seed of adapters.
        warn: Receives a warning if the model does not support packed sequences.

    Raises:
        ModelError: When its results are inconsistent, or it has a different vocabulary.
    """
    check_vocabulary(start.tokenizer, start.notes, source)
    device = start.model.device
    compute, spread = pick_dtype(recipe.precision, device), is_spread_model(start.model)
    # Sharded weights are rounded for each pass. So frozen ones can be rounded when they are read.
    held = compute if spread and not updated else torch.float32
    model = _load(source, held, device, spread=spread)
    _grow(model, len(start.tokenizer))
    scorer = _scorer(model, compute_dtype=compute, max_length=max_length, warn=warn)
    if updated and recipe.lora is not None:
        scorer.model = _adapted(model, recipe.lora, seed=seed, tokens=tokens)
    scorer.eval().requires_grad_(False)
    if spread:
        _check_pass(shard(scorer, changes=updated), probe_row(model, max_length))
    elif not updated:
        hold_frozen(scorer, probe_row(model, max_length), warn=warn)
    return scorer


def is_spread_model(model: nn.Module) -> bool:
    """Returns whether each process holds only its rows of a model's weights."""
    return any(is_sharded(weight) for weight in model.parameters())


def _load(source: ModelInput, dtype: torch.dtype, device: torch.device, *, spread: bool) -> Any:
    if spread:
        return load_model_shards(source, dtype=dtype, device=device)
    return load_model(source, dtype=dtype, device=device)


def _grow(model: Any, size: int) -> None:
    (grow_shards if is_spread_model(model) else grow_vocabulary)(model, size)


def _scorer(model: Any, **options: Any) -> Scorer:
    return (make_scorer_by_twin if is_spread_model(model) else make_scorer)(model, **options)


def _adapted(model: Any, options: LoraOptions, *, seed: int, tokens: Sequence[int]) -> Any:
    # peft copies the rows of tokens that are trained.
    layers = (model.get_input_embeddings(), model.get_output_embeddings()) if tokens else ()
    with gathered(*layers) if is_spread_model(model) else nullcontext():
        return apply_lora(model, options, seed=seed, tokens=tokens)


def _check_pass(scorer: Scorer, row: PackedRow) -> None:
    """Checks that sharded weights give finite numbers. Only a twin of the model was tried before.

    Raises:
        ModelError: When they do not.
    """
    with torch.no_grad(), without_dropout(scorer):
        finite = bool(scorer(row).token_logps.isfinite().all())
    if not finite:
        largest = look_over(scorer.model.named_parameters()).largest
        raise gives_no_numbers(type(scorer.model).__name__, largest)


def check_vocabulary(tokenizer: Any, notes: ModelNotes, reference: ModelInput) -> None:
    """Checks that token ids mean the same for policy and reference, which are compared by token.

    Control tokens end prompts and are not compared, so the reference need not have them.

    Args:
        tokenizer: The policy's tokenizer.
        notes: The policy's notes.
        reference: The folder or hub id of the reference.

    Raises:
        ModelError: When token ids do not mean the same.
    """
    theirs = read_tokenizer(reference).get_vocab()
    ours = tokenizer.get_vocab()
    if {token: ours.get(token) for token in theirs} != theirs or not set(ours) <= {
        *theirs,
        *notes.control_tokens,
    }:
        raise ModelError(
            f"the reference has another vocabulary ({len(theirs)} tokens) than the model that is "
            f"trained ({len(ours)}). Their log-probabilities are compared token "
            "by token; give a reference with the same tokenizer",
            location=reference.path,
        )


def set_dropout(model: nn.Module, rate: float) -> None:
    """Sets every dropout rate of a model: in its dropout layers, and as attributes of its layers.

    Args:
        model: The model, changed in place.
        rate: Dropout rate, from 0 (off) to below 1.

    Raises:
        ModelError: When the rate is above 0, and the model has no dropout.
    """
    places = 0
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
            places += 1
        for name, value in list(vars(module).items()):
            if isinstance(value, float) and ("dropout" in name or name.endswith("pdrop")):
                setattr(module, name, rate)
                places += 1
    if rate > 0 and not places:
        raise ModelError(
            f"{type(model).__name__} has no dropout, so a rate of {rate:g} would have "
            "no effect; leave dropout out",
            location="dropout",
        )
