"""The load balance of the routers of a mixture of experts."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halo_core.errors import ModelError
from halo_trainer.batch.micro_batch import Routed


def experts_per_token(model: Any) -> int:
    """Returns the number of experts that a model's routers choose per token.

    Raises:
        ModelError: When it has no routers, or does not return router logits.
    """
    chosen = chosen_in(model.config, type(model).__name__)
    if "output_router_logits" not in inspect.signature(model.forward).parameters:
        raise _without_routers(type(model).__name__)
    return chosen


def chosen_in(config: Any, name: str) -> int:
    """Returns the number of experts per token according to a configuration.

    Args:
        config: A model's configuration.
        name: Name of the model, for the message.

    Raises:
        ModelError: When it has no routers.
    """
    chosen = getattr(config.get_text_config(), "num_experts_per_tok", None)
    if not isinstance(chosen, int):
        raise _without_routers(name)
    return chosen


def _without_routers(name: str) -> ModelError:
    return ModelError(
        f"{name} has no routers whose load could be balanced. Leave router_aux_loss_coef out, or "
        "train a mixture of experts such as Mixtral, Qwen3-MoE or gpt-oss",
        location="router_aux_loss_coef",
    )


def routed(logits: Sequence[Tensor], weights: Tensor | None, *, chosen: int) -> Routed:
    """Returns router statistics.

    Args:
        logits: Logits of each layer's router [tokens, experts].
        weights: Number of times that each token counts [tokens]; None for once each.
        chosen: Number of experts per token.

    References:
        Fedus, Zoph & Shazeer (2022), Switch Transformers, eq. 5 and 6. For several experts per
        token, and all layers together, it follows transformers' `load_balancing_loss_func`.
    """
    probabilities = torch.cat(list(logits)).float().softmax(dim=-1)
    if weights is None:
        weights = probabilities.new_ones(len(probabilities))
    else:
        weights = weights.to(probabilities).repeat(len(logits))
    picked = probabilities.topk(chosen, dim=-1).indices
    times = weights[:, None].expand_as(picked).flatten()
    counts = probabilities.new_zeros(probabilities.shape[1]).index_add(0, picked.flatten(), times)
    return Routed(counts, weights @ probabilities, weights.sum())


def balance_loss(chosen: Tensor, probabilities: Tensor, rows: Tensor) -> Tensor:
    """Returns the load-balancing loss []. Its minimum is about the number of experts per token.

    With E experts, f_e how often expert e was chosen per row, and P_e its mean probability::

        loss = E sum_e f_e P_e

    Only P has a gradient. If every expert gets its share, the loss is the experts per token.

    Args:
        chosen: See `Routed` [experts].
        probabilities: See `Routed` [experts].
        rows: See `Routed` [].

    References:
        Fedus, Zoph & Shazeer (2022), Switch Transformers, eq. 4.

    >>> balance_loss(torch.tensor([3.0, 1.0]), torch.tensor([2.5, 1.5]), torch.tensor(4.0))
    tensor(1.1250)
    """
    return len(chosen) * ((chosen / rows) * (probabilities / rows)).sum()
