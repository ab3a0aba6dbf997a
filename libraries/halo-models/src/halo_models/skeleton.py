"""A model without its weights: what can be known of it in a moment, from its folder alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from halo_core.errors import ModelError
from halo_core.stage import ModelInput

_OF_SHAPES = re.compile(r"shape|size|dimension|\bdim\b")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def at_hand(model: ModelInput, *, fetch: bool) -> ModelInput | None:
    """Returns a model whose configuration and tokenizer can be read now.

    Args:
        model: A folder or a hub id.
        fetch: Whether what is on the hub may be fetched; else only what was fetched before counts.

    Returns:
        The model; of one on the hub that was fetched before the folder that it was fetched to; None
        where there is nothing.
    """
    if fetch or Path(model.path).is_absolute() or Path(model.path).exists():
        return model
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.path, "config.json", revision=model.revision)
    folder = Path(found).parent if isinstance(found, str) else None
    # Who only asked for the configuration has no tokenizer yet, which is no mistake.
    if folder is None or not any(folder.glob("token*")):
        return None
    return ModelInput(str(folder), None, model.digest)


def skeleton(config: Any, *, classifier: bool = False) -> Any:
    """Returns a model of a configuration that takes no memory: its weights have only shapes.

    Args:
        config: A configuration of transformers.
        classifier: Whether it is a sequence classifier; else a causal language model.

    Raises:
        Exception: Whatever transformers raises where the configuration does not go together.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    kind = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return kind.from_config(config)


def check_shapes(network: Any) -> None:
    """Lets a skeleton compute a few tokens, so that sizes which do not go together are found.

    What cannot be computed without numbers is passed over.

    Raises:
        RuntimeError: When shapes do not fit; torch's words.
    """
    tokens = torch.zeros((1, 4), dtype=torch.long, device="meta")
    try:
        # With a mask that is given and plain attention most models need no numbers.
        network.eval().set_attn_implementation("eager")
        with torch.no_grad():
            network(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        if isinstance(error, RuntimeError) and _OF_SHAPES.search(str(error)):
            raise


def check_weights(model: ModelInput, *, safetensors: bool = False) -> None:
    """Checks that a folder has weights, and that those in safetensors are whole; reads none.

    Args:
        model: A folder; of a model on the hub nothing is checked.
        safetensors: Whether no other files count.

    Raises:
        ModelError: When there are none, or a file is cut off.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(model.path)
    if not folder.is_dir():
        return
    patterns = _WEIGHTS[:1] if safetensors else _WEIGHTS
    files = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    if not files:
        raise ModelError(
            f"there are no weights in this folder ({' or '.join(patterns)}). Expected a folder as "
            "transformers' save_pretrained writes it",
            location=model.path,
        )
    for path in files:
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, framework="pt"):
                    pass
            except (SafetensorError, OSError) as error:
                raise ModelError(
                    f"{path.name} cannot be read: {error}. Save or download the model again",
                    location=model.path,
                ) from error
