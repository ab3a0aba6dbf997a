"""A sentence that says how a training computes: sequences, attention, output head, reference."""

from __future__ import annotations

import torch

from halo_trainer.batch import attention
from halo_trainer.batch.variable_length import KERNEL
from halo_trainer.model.scorer import Scorer, kernel_of
from halo_trainer.reference_store.stored_reference import StoredReference
from halo_trainer.train.objective import Objective
from halo_trainer.train.reference.scores import Reference

WITHOUT_FUSION = "explicit scores, because the model has soft caps or sinks"


def how_it_computes(policy: Scorer, objective: Objective) -> str:
    """Returns how a training computes, for its log.

    Args:
        policy: The policy, without a wrapper of the processes.
        objective: The models and the loss.
    """
    shares = objective.shares and not objective.dropout
    return (
        f"computes {_sequences(policy, shares=shares)} in {_dtype(policy.compute_dtype)}; "
        f"attention: {_attention(policy, dropout=objective.dropout)}; output head: "
        f"{'in chunks' if policy.chunked else 'all scores at one time'}; "
        f"reference: {_reference(objective.reference)}"
    )


def _sequences(policy: Scorer, *, shares: bool) -> str:
    if not policy.together:
        return "one sequence after another"
    if policy.route == "padded":
        return "padded sequences, each with its prompt"
    return f"packed sequences, {'prompts once' if shares else 'each with its prompt'},"


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _attention(policy: Scorer, *, dropout: bool) -> str:
    config = policy.model.config.get_text_config()  # type: ignore[union-attr, operator]
    used = config._attn_implementation
    if used != attention.NAME:
        return str(used)
    sinks = any(name.endswith("sinks") for name, _ in policy.model.named_parameters())
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    if sinks or capped:
        return f"{used}, blocks of sequences through {WITHOUT_FUSION}"
    blocks = f"{used}, blocks of sequences through torch's scaled_dot_product_attention"
    if not kernel_of(policy):
        return blocks
    own = f"{used}, sequences of different lengths through torch's {KERNEL}"
    return f"{own}; for the policy {blocks}, because of dropout" if dropout else own


def _reference(reference: Reference | None) -> str:
    if reference is None:
        return "none"
    return "from its store" if isinstance(reference, StoredReference) else "computed in every step"
