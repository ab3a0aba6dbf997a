"""A model without its weights: quick checks that need only its folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.pickle_only import check_safetensors

_OF_SHAPES = re.compile(r"shape|size|dimension|\bdim\b")


def at_hand(model: ModelInput, *, fetch: bool) -> ModelInput | None:
    """Returns a model whose configuration and tokenizer can be read now.

    Args:
        model: A folder or a hub id.
        fetch: Whether files may be fetched from the hub. Otherwise only fetched files count.

    Returns:
        The model. For a hub model that was fetched before, this is its local folder. None if there
        is nothing to read.
    """
    if fetch or Path(model.path).is_absolute() or Path(model.path).exists():
        return model
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.path, "config.json", revision=model.revision)
    folder = Path(found).parent if isinstance(found, str) else None
    # A folder with only the configuration has no tokenizer yet, which is not a mistake.
    if folder is None or not any(folder.glob("token*")):
        return None
    return ModelInput(str(folder), None, model.digest)


def skeleton(config: Any, *, classifier: bool = False) -> Any:
    """Returns a model of a configuration whose weights have only shapes and take no memory.

    Args:
        config: A configuration of transformers.
        classifier: Whether to build a sequence classifier instead of a causal language model.

    Raises:
        Exception: Any error of transformers if the configuration is inconsistent.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    kind = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return kind.from_config(config)


def check_shapes(network: Any) -> None:
    """Computes a few tokens with a skeleton to find sizes that do not fit together.

    Computations that need numbers are skipped.

    Raises:
        RuntimeError: When shapes do not fit, with torch's message.
    """
    tokens = torch.zeros((1, 4), dtype=torch.long, device="meta")
    try:
        # With an explicit mask and eager attention, most models need no numbers.
        network.eval().set_attn_implementation("eager")
        with torch.no_grad():
            network(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        if isinstance(error, RuntimeError) and _OF_SHAPES.search(str(error)):
            raise


def check_weights(model: ModelInput, *, classifier: bool = False) -> None:
    """Checks that a folder has safetensors files, and that they are complete. Reads no weights.

    Args:
        model: A folder. Models on the hub are not checked.
        classifier: Whether it is a sequence classifier instead of a causal language model.

    Raises:
        ModelError: When there are no such files, or one is truncated.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(model.path)
    if not folder.is_dir():
        return
    check_safetensors(folder, classifier=classifier)
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{path.name} cannot be read: {error}. Save or download the model again",
                location=model.path,
            ) from error
