"""Low-rank adaptation through peft, and its export: merged weights, with the adapter."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from halo_core.errors import ModelError
from halo_trainer.model.lora_options import LoraOptions

ADAPTER = "adapter"
"""The folder inside a model folder that holds the adapter."""


def apply_lora(model: Any, options: LoraOptions, *, seed: int, tokens: Sequence[int] = ()) -> Any:
    """Returns a `PeftModel` around a model, in which only the low-rank factors are trained.

    The update is zero at first, so the logits are those of the model.

    Args:
        model: A causal language model. Its layers are replaced in place.
        options: See `LoraOptions`.
        seed: Seed of the factors that do not start as zero.
        tokens: Tokens whose embedding rows are also trained.

    Raises:
        ModelError: When the model has no layer with the name of a target.
    """
    from peft import LoraConfig, get_peft_model

    _check_targets(model, options)
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=options.targets,
        task_type="CAUSAL_LM",
        trainable_token_indices=_rows(model, tokens) or None,
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft still uses a name that transformers deprecates. It is nothing that users can change.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def _rows(model: Any, tokens: Sequence[int]) -> dict[str, list[int]]:
    """Returns the trained rows by layer. peft itself finds a head that is tied to them."""
    if not tokens:
        return {}
    layers = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not layers[0].weight:
        layers.append(head)
    names = [name for name, module in model.named_modules() if any(module is x for x in layers)]
    return {name: list(tokens) for name in names}


def _check_targets(model: Any, options: LoraOptions) -> None:
    if isinstance(options.targets, str):
        return
    # gpt2's linear layers are not nn.Linear, so any other module with a matrix counts.
    layers = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if not isinstance(module, torch.nn.Embedding)
        and getattr(module, "weight", None) is not None
        and module.weight.ndim == 2
    }
    if missing := [name for name in options.targets if name not in layers]:
        raise ModelError(
            f"the model has no linear layer named {missing[0]!r}. "
            f"It has: {', '.join(sorted(layers))}",
            location="lora.targets",
        )


def save_adapter(
    folder: Path, peft_model: Any, weights: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Writes only the adapter into ``adapter/`` of an existing model folder, with a model card.

    Args:
        folder: The folder.
        peft_model: The trained model from `apply_lora`.
        weights: Its trained weights by name, if those of the model are sharded.
    """
    # To save embeddings, peft would ask the hub whether they changed.
    peft_model.save_pretrained(
        folder / ADAPTER,
        save_embedding_layers=False,
        state_dict=None if weights is None else dict(weights),
    )
    card = _card(peft_model.peft_config["default"])
    (folder / ADAPTER / "README.md").write_text(card, encoding="utf-8")


def _card(config: Any) -> str:
    """Returns the card of an adapter. The one that peft writes is an empty form."""
    from huggingface_hub import ModelCardData

    given = str(config.base_model_name_or_path or "")
    local = not given or Path(given).is_absolute()
    # The folders above a user's own folder are nobody else's business. A stage's folder has a name
    # that says which stage it is.
    place = Path(given)
    name = f"{place.parent.name}/{place.name}" if place.name == "model" else place.name
    base = f"the model in the local folder `{name}`" if local else f"`{given}`"
    data = ModelCardData(
        base_model=None if local else given, library_name="peft", tags=["halo", "lora"]
    )
    targets = config.target_modules
    ends = [targets] if isinstance(targets, str) else {name.rpartition(".")[2] for name in targets}
    layers = ", ".join(sorted(ends))
    return (
        f"---\n{data.to_yaml()}\n---\n\n# Low-rank adapter\n\n"
        f"The factors that a training with halo added to {base}: rank {config.r}, "
        f"alpha {config.lora_alpha:g}, dropout {config.lora_dropout:g}, layers: {layers}.\n\n"
        "The model in the folder above has them merged in. `halo export RUN:STAGE DIR --adapter` "
        "writes the adapter as a folder to share, with its tokenizer, data, results and spec.\n"
    )


def merge_adapter(peft_model: Any) -> Any:
    """Returns the model with the update added to its weights.

    The update is added in float32, and the result stays in float32: bfloat16 would round a small
    update away. `peft_model` is merged in place and must not be trained further.

    Args:
        peft_model: The trained model from `apply_lora`.
    """
    _untie_adapted_head(peft_model.get_base_model())
    return peft_model.float().merge_and_unload()


def _untie_adapted_head(model: Any) -> None:
    """Gives an adapted output head its own weights, so that merging leaves the embedding alone."""
    head = model.get_output_embeddings()
    base = getattr(head, "base_layer", None)
    if base is None or not model.config.tie_word_embeddings:
        return
    base.weight = torch.nn.Parameter(base.weight.detach().clone(), requires_grad=False)
    model.config.tie_word_embeddings = False
