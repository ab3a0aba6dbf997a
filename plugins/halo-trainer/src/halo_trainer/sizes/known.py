"""The shape of a model that may not be here: from its configuration, wherever that is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from halo_core.stage import KnownModel
from halo_trainer.sizes.architecture import Architecture, architecture_of
from halo_trainer.sizes.published import published


@dataclass(frozen=True)
class Shape:
    """Known facts about the size of a model.

    Attributes:
        weights: Number of weights; None if unknown.
        architecture: Its shape; None if unknown.
        config: Its configuration; None if unknown.
        source: How the number of weights is known, in words; "" if it is not known.
    """

    weights: int | None
    architecture: Architecture | None
    config: Mapping[str, Any] | None
    source: str


def shape_of(model: KnownModel | None, weights: int | None = None) -> Shape:
    """Returns the shape of a model.

    Args:
        model: Facts that the core knows about it.
        weights: Number of weights from another place, such as the name; None if unknown.
    """
    model = model or KnownModel(weights=weights)
    known = weights if model.weights is None else model.weights
    config = model.config or published(model.hub) or _fetched(model.hub, model.revision)
    if config is None:
        return Shape(known, None, None, "" if known is None else "rounded, from its name")
    architecture = architecture_of(config)
    if architecture is not None:
        source = f"from the sizes of its {architecture.model_type} configuration"
        return Shape(architecture.weights, architecture, config, source)
    if model.hub is None and known is not None and (other := architecture_of(config, known)):
        return Shape(known, other, config, "from its files")
    made = made_without_memory(json.dumps(config, sort_keys=True, default=str))
    if made is None:
        return Shape(known, None, config, "" if known is None else "from its name or its files")
    counted, whole = made
    text = "counted in a model without memory"
    return Shape(counted, architecture_of(whole, counted), whole, text)


def _fetched(hub: str | None, revision: str | None) -> Mapping[str, Any] | None:
    """Returns the configuration of a hub model that was fetched before; None if it was not."""
    if hub is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub, "config.json", revision=revision)
    if not isinstance(found, str):
        return None
    try:
        config = json.loads(Path(found).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None


@lru_cache(maxsize=64)
def made_without_memory(config: str) -> tuple[int, Mapping[str, Any]] | None:
    """Returns the number of weights that transformers makes, and the configuration with defaults.

    The model is built without memory. This loads torch, which takes seconds, so only configurations
    without a formula come here. A plan with such a model loads torch anyway, to check the model.

    Args:
        config: The configuration as JSON.

    Returns:
        None if transformers cannot build it.
    """
    fields: dict[str, Any] = json.loads(config)
    kind = fields.pop("model_type", "llama")
    try:
        from transformers import AutoConfig

        from halo_models.skeleton import skeleton

        whole = AutoConfig.for_model(kind, **fields)
        weights = sum(parameter.numel() for parameter in skeleton(whole).parameters())
    except Exception:  # transformers raises anything for a configuration that it cannot build.
        return None
    return weights, whole.to_dict()
