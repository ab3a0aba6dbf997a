"""The models of a training: the policy, loaded and made trainable, and its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from halo_core.errors import ModelError
from halo_core.guarded.loss_calls import heads_of
from halo_core.stage import ModelInput, StageContext
from halo_models.control_tokens import with_control_tokens
from halo_models.device import pick_dtype
from halo_models.load import grow_vocabulary, load_model, load_tokenizer
from halo_models.notes import ModelNotes, read_notes
from halo_trainer.model.heads import make_heads
from halo_trainer.model.lora import apply_lora
from halo_trainer.model.probe import make_scorer
from halo_trainer.model.scorer import Scorer
from halo_trainer.train.ranks import Ranks

if TYPE_CHECKING:
    from halo_trainer.train.options import Train


@dataclass(frozen=True)
class LoadedModel:
    """The model that a training starts from, with room for the loss's control tokens.

    Attributes:
        model: In float32, in evaluation mode.
        tokenizer: With the stage's template, and with the control tokens.
        notes: What the model will say of how it wants to be asked.
        attention: The attention that it had when it was loaded.
    """

    model: Any
    tokenizer: Any
    notes: ModelNotes
    attention: str


def load_start(stage: Train, context: StageContext, ranks: Ranks) -> LoadedModel:
    """Returns the model to start from.

    Raises:
        ModelError: When it cannot be loaded.
    """
    source = context.models["from"]
    tokenizer = load_tokenizer(source, stage.template)
    model = load_model(source, dtype=torch.float32, device=ranks.device)
    notes = with_control_tokens(tokenizer, stage.loss, read_notes(source))
    grow_vocabulary(model, len(tokenizer))
    return LoadedModel(model, tokenizer, notes, model.config._attn_implementation)


def trained_scorer(
    stage: Train, context: StageContext, loaded: LoadedModel, ranks: Ranks, max_length: int
) -> Scorer:
    """Returns the policy, probed as it was loaded, then made trainable.

    Args:
        stage: The options.
        context: Whose seed the heads and adapters start from.
        loaded: The model to start from; changed in place.
        ranks: The processes.
        max_length: Longest sequence.

    Raises:
        ModelError: When the model does not agree with itself.
    """
    model = loaded.model
    compute = pick_dtype(stage.precision, ranks.device)
    scorer = make_scorer(model, compute_dtype=compute, max_length=max_length, warn=context.warn)
    wanted = heads_of(stage.loss)
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


def frozen_scorer(
    stage: Train, context: StageContext, loaded: LoadedModel, ranks: Ranks, max_length: int
) -> Scorer | None:
    """Returns the reference, probed in float32, then frozen; None where nothing needs it.

    One that is to take in the policy's weights gets adapters where the policy has some, and keeps
    its dtype; see `RefreshedReference`.

    Args:
        stage: The options.
        context: Where the reference is.
        loaded: The model that is trained.
        ranks: The processes.
        max_length: Longest sequence.

    Raises:
        ModelError: When it does not agree with itself, or has another vocabulary.
    """
    if not stage.needs_reference:
        return None
    _check_vocabulary(loaded, context.models["reference"])
    model = load_model(context.models["reference"], dtype=torch.float32, device=ranks.device)
    grow_vocabulary(model, len(loaded.tokenizer))
    compute = pick_dtype(stage.precision, ranks.device)
    scorer = make_scorer(model, compute_dtype=compute, max_length=max_length, warn=context.warn)
    refreshed = stage.reference_update is not None
    if refreshed and stage.lora is not None:
        scorer.model = apply_lora(model, stage.lora, seed=context.seed)
    scorer.eval().requires_grad_(False)
    if not refreshed:
        _hold_frozen(scorer, compute)
    return scorer


def _check_vocabulary(loaded: LoadedModel, reference: ModelInput) -> None:
    """Policy and reference are compared token by token, so their ids must mean the same.

    Control tokens end prompts and are not compared, so the reference need not know them.
    """
    theirs = load_tokenizer(reference, None).get_vocab()
    ours = loaded.tokenizer.get_vocab()
    if {token: ours.get(token) for token in theirs} != theirs or not set(ours) <= {
        *theirs,
        *loaded.notes.control_tokens,
    }:
        raise ModelError(
            f"the reference has another vocabulary ({len(theirs)} tokens) than the model that is "
            f"trained ({len(ours)}). Their log-probabilities are compared token "
            "by token; give a reference with the same tokenizer",
            location=reference.path,
        )


def _hold_frozen(scorer: Scorer, compute: torch.dtype) -> None:
    """Holds frozen weights in the dtype computed in; buffers not: positions need precision."""
    for parameter in scorer.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(compute)


def set_dropout(model: nn.Module, rate: float) -> None:
    """Sets every dropout rate of a model: its dropout layers, and the rates its layers keep.

    Args:
        model: Changed in place.
        rate: From 0 (off) to below 1.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        for name, value in list(vars(module).items()):
            if isinstance(value, float) and ("dropout" in name or name.endswith("pdrop")):
                setattr(module, name, rate)
