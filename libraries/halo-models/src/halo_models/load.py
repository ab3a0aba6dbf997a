"""Loads models and tokenizers from a folder or the hub.

Code from the hub is never run (``trust_remote_code`` is off).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.finite import check_weights
from halo_models.notes import ModelNotes, check_template, read_notes
from halo_models.pickle_only import check_safetensors
from halo_models.templates import use_template

_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""Endings of the names of architectures that predict the next token."""
_CLASSIFIER = "a sequence classifier in safetensors"


@dataclass(frozen=True)
class Classifier:
    """A loaded sequence classifier.

    Attributes:
        network: The classifier, in evaluation mode.
        tokenizer: Its tokenizer, with its own chat template, if any.
        notes: The notes in its folder. They are empty if it was made elsewhere.
    """

    network: Any
    tokenizer: Any
    notes: ModelNotes


def load_tokenizer(model: ModelInput, template: str | None) -> Any:
    """Returns the tokenizer of a model, with a chat template.

    Args:
        model: A folder or a hub id.
        template: See `halo_models.templates.use_template`.

    Raises:
        ModelError: When there is no tokenizer, it has no end-of-sequence token, or its own chat
            template is needed and was lost.
    """
    tokenizer = read_tokenizer(model)
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "the tokenizer has no end-of-sequence token, so no completion could end. Set "
            '"eos_token" in its tokenizer_config.json',
            location=model.path,
        )
    if template is None:
        check_template(model, tokenizer.chat_template)
    use_template(tokenizer, template)
    return tokenizer


def read_tokenizer(model: ModelInput) -> Any:
    """Returns the tokenizer of a model, unchanged.

    Raises:
        ModelError: When there is none.
    """
    from transformers import AutoTokenizer

    return _read(model, "tokenizer", AutoTokenizer, {})


def load_model(model: ModelInput, *, dtype: torch.dtype, device: torch.device | str) -> Any:
    """Returns a causal language model in evaluation mode. Only safetensors are read.

    If the tokenizer has more tokens than the model, the embeddings grow. A new token starts as the
    mean of the old ones. The embeddings never shrink.

    Args:
        model: A folder or a hub id.
        dtype: Dtype of the weights.
        device: Device of the weights.

    Raises:
        ModelError: When it is not found, is not a causal language model, lacks weights, or has
            some that are NaN or infinite.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = read_config(model)
    check_causal(config, model)
    options = {
        "config": config,
        "dtype": dtype,
        "use_safetensors": True,
        "output_loading_info": True,
    }
    network, report = _read(model, "weights", AutoModelForCausalLM, options)
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{len(missing)} weights are missing, among them {missing[0]!r}. Expected all weights "
            f"of {type(network).__name__}: save or download the model again",
            location=model.path,
        )
    grow_vocabulary(network, len(read_tokenizer(model)))
    network.to(device)
    check_weights(network, model)
    return network.eval()


def read_config(model: ModelInput) -> Any:
    """Returns the configuration of a model.

    Raises:
        ModelError: When it is not found or cannot be read.
    """
    from transformers import AutoConfig

    return _read(model, "configuration", AutoConfig, {})


def read_generation(model: ModelInput) -> Any:
    """Returns the settings of a model for its generation; None if it has none."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(model.path, revision=model.revision)
    except OSError:
        return None


def load_classifier(model: ModelInput, *, dtype: torch.dtype, device: torch.device) -> Classifier:
    """Returns a sequence classifier with its tokenizer. Only safetensors are read.

    Args:
        model: A folder or a hub id.
        dtype: Dtype of the weights.
        device: Device of the weights.

    Raises:
        ModelError: When it is not found, is not a sequence classifier, lacks weights, has some
            that are NaN or infinite, or its chat template was lost.
    """
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # Hides its report of missing weights, which the error below has.
    options = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    try:
        network, report = _read(
            model, "weights", AutoModelForSequenceClassification, options, _CLASSIFIER
        )
    finally:
        logging.set_verbosity(verbosity)
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{len(missing)} weights are missing, among them {missing[0]!r}: it is not a sequence "
            "classifier. Expected a model with a head for scores, such as one from a train stage "
            "with loss: bradley-terry",
            location=model.path,
        )
    network.to(device)
    check_weights(network, model)
    tokenizer = read_tokenizer(model)
    check_template(model, tokenizer.chat_template)
    return Classifier(network.eval(), tokenizer, read_notes(model))


def is_causal(config: Any) -> bool:
    """Returns whether a configuration names an architecture that predicts the next token."""
    return bool(config.architectures) and config.architectures[0].endswith(_CAUSAL)


def check_causal(config: Any, model: ModelInput) -> None:
    """Checks that a configuration belongs to a causal language model.

    Raises:
        ModelError: When it does not.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    # The name is checked too: transformers would load a classifier with a random output head.
    named = (config.architectures or [None])[0]
    known = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not config.is_encoder_decoder
    if not known or (named is not None and not is_causal(config)):
        raise ModelError(
            f"{named or config.model_type} is not a causal language model. Expected one that "
            "AutoModelForCausalLM loads, such as LlamaForCausalLM",
            location=model.path,
        )


def context_length(network: Any) -> int | None:
    """Returns the number of tokens in a model's context; None if its configuration has none.

    Args:
        network: The model, or any object with its `config`.
    """
    length = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None


def grow_vocabulary(network: Any, size: int) -> None:
    """Grows the embeddings to at least `size` tokens. A new row is the mean of the old ones."""
    known = network.get_input_embeddings().weight.shape[0]
    if size <= known:
        return
    # transformers would draw the new rows at random, so the model would depend on the draws.
    network.resize_token_embeddings(size, mean_resizing=False)
    with torch.no_grad():
        for layer in (network.get_input_embeddings(), network.get_output_embeddings()):
            layer.weight[known:] = layer.weight[:known].float().mean(0).to(layer.weight.dtype)
            if getattr(layer, "bias", None) is not None:
                layer.bias[known:] = layer.bias[:known].mean()


def with_rows(weight: torch.Tensor, size: int) -> torch.Tensor:
    """Returns weights with at least `size` rows. A new row is the mean of the old ones.

    Args:
        weight: Embedding rows [V, D], or biases of the output head [V].
        size: Smallest number of rows.
    """
    missing = size - len(weight)
    if missing <= 0:
        return weight
    mean = weight.float().mean(0).to(weight.dtype)
    return torch.cat([weight, mean.expand(missing, *mean.shape)])


def _read(
    model: ModelInput, part: str, kind: Any, options: Mapping[str, Any], wanted: str | None = None
) -> Any:
    """Returns a part of a model that transformers reads, without running code from the model.

    Args:
        model: A folder or a hub id.
        part: Name of the part, for messages.
        kind: A class of transformers with `from_pretrained`.
        options: Further arguments of `from_pretrained`.
        wanted: Required kind of model, for messages. Any model if left out.

    Raises:
        ModelError: When the part cannot be loaded.
    """
    folder = Path(model.path)
    local = folder.is_dir()
    if not local and (model.revision is None and (folder.is_absolute() or folder.exists())):
        raise ModelError(
            "there is no such folder. Expected a transformers model folder with config.json",
            location=model.path,
        )
    if local and not (folder / "config.json").exists():
        raise ModelError(
            "there is no config.json here. Expected a transformers model folder",
            location=model.path,
        )
    if local and part == "weights":
        check_safetensors(folder, classifier=wanted == _CLASSIFIER)
    try:
        return kind.from_pretrained(
            model.path, revision=model.revision, trust_remote_code=False, **options
        )
    except Exception as error:
        if not local:
            # The text of a hub error may contain an address with credentials.
            raise ModelError(
                f"the {part} cannot be loaded from the hub ({type(error).__name__}). Check the id"
                f"{f' and the revision {model.revision!r}' if model.revision else ''}, the "
                "network, and for a gated model that you are logged in; or give a folder by path"
                f"{f'. The model must be {wanted}' if wanted else ''}"
                f"{'. Only safetensors files are read' if part == 'weights' else ''}",
                location=model.path,
            ) from error
        first = (str(error).strip().splitlines() or [""])[0][:300]
        raise ModelError(
            f"the {part} cannot be read: {type(error).__name__}: {first}. Expected a folder "
            f"{f'with {wanted}, ' if wanted else ''}as transformers' save_pretrained writes it",
            location=model.path,
        ) from error
