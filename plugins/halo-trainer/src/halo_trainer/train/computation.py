"""A sentence that says how a training computes: sequences, attention, output head, reference."""

from __future__ import annotations

import torch

from halo_trainer.batch import attention
from halo_trainer.model.scorer import Scorer
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
        f"attention: {_attention(policy)}; output head: "
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


def _attention(policy: Scorer) -> str:
    config = policy.model.config.get_text_config()  # type: ignore[union-attr, operator]
    used = config._attn_implementation
    if used != attention.NAME:
        return str(used)
    sinks = any(name.endswith("sinks") for name, _ in policy.model.named_parameters())
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    kernel = WITHOUT_FUSION if sinks or capped else "torch's scaled_dot_product_attention"
    return f"{used}, blocks of sequences through {kernel}"


def _reference(reference: Reference | None) -> str:
    if reference is None:
        return "none"
    return "from its store" if isinstance(reference, StoredReference) else "computed in every step"
