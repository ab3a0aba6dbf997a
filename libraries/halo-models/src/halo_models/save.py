"""Saves models as plain transformers folders."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from halo_core.errors import ModelError
from halo_core.workspace.files import whole_folder
from halo_models.chat_format import ChatFormat, end_ids
from halo_models.load import grow_vocabulary
from halo_models.notes import ModelNotes, write_notes

PAD = "<|pad|>"


def save_model_folder(folder: Path, model: Any, tokenizer: Any) -> None:
    """Writes a folder that transformers and vLLM load: weights, tokenizer, generation config.

    Its `halo.json` says whether there is a chat template.

    It is written next to the target and then renamed, replacing an older folder.

    Args:
        folder: The folder to write; usually ``context.folder / "model"``.
        model: A `PreTrainedModel` without any wrapper.
        tokenizer: Its tokenizer, with the chat template.
    """
    with whole_folder(folder) as partial:
        write_model(partial, model, tokenizer)
        write_notes(partial, ModelNotes())


def write_model(folder: Path, model: Any, tokenizer: Any) -> None:
    """Writes a model into an existing folder; see `save_model_folder`.

    The generation config contains the tokens that end a completion, but no earlier sampling
    settings.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    _set_generation_config(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_all_but_weights(folder: Path, model: Any, tokenizer: Any) -> None:
    """Writes what `write_model` writes, without the weights, which someone else writes.

    Args:
        folder: An existing folder.
        model: A `PreTrainedModel` whose weights may be sharded, or without numbers.
        tokenizer: Its tokenizer.
    """
    if model.can_generate():
        _set_generation_config(model, tokenizer)
        model.generation_config.save_pretrained(folder)
    model.config.dtype = str(model.dtype).removeprefix("torch.")
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _set_generation_config(model: Any, tokenizer: Any) -> None:
    from transformers import GenerationConfig

    ends = end_ids(tokenizer, model)
    padding = tokenizer.pad_token_id
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=tokenizer.eos_token_id if padding is None else padding,
    )


def write_classifier(folder: Path, model: Any, head: nn.Module, tokenizer: Any) -> None:
    """Writes a model folder that `AutoModelForSequenceClassification` loads.

    Its one label is the score of a prompt with its completion, read at the last token. In padded
    batches the last token must be found. So if the tokenizer pads with a token that ends
    completions, it gets a separate padding token.

    Args:
        folder: An existing folder.
        model: The causal language model, without a wrapper. Its vocabulary may grow.
        head: A sequence with one linear layer without a bias.
        tokenizer: The model's tokenizer.

    Raises:
        ModelError: When transformers has no sequence classifier of this architecture.
    """
    give_own_padding(tokenizer)
    grow_vocabulary(model, len(tokenizer))
    classifier, layer = make_classifier(model, tokenizer)
    with torch.no_grad():
        layer.weight.copy_(next(head.parameters()))
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_classifier(model: Any, tokenizer: Any) -> tuple[Any, nn.Linear]:
    """Returns a sequence classifier with a language model's body, and its one output layer.

    Args:
        model: The causal language model. Its own configuration is not changed.
        tokenizer: The model's tokenizer.

    Raises:
        ModelError: When transformers has no sequence classifier of this architecture.
    """
    with _told_of_architecture(model):
        classifier = _classifier_of(copy.deepcopy(model.config), tokenizer)
        classifier.base_model.load_state_dict(model.base_model.state_dict())
        return classifier, classifier.score


def classifier_skeleton(model: Any, tokenizer: Any) -> tuple[Any, str]:
    """Returns the sequence classifier without weights, and the name of its output weights.

    Args:
        model: The causal language model, whose weights may be sharded.
        tokenizer: The model's tokenizer. The classifier's vocabulary is as large, at least.

    Raises:
        ModelError: When transformers has no sequence classifier of this architecture.
    """
    config = copy.deepcopy(model.config)
    text = config.get_text_config()
    text.vocab_size = max(text.vocab_size, len(tokenizer))
    with _told_of_architecture(model), torch.device("meta"):
        classifier = _classifier_of(config, tokenizer)
        output = classifier.score.weight
    name = next(name for name, weight in classifier.named_parameters() if weight is output)
    return classifier, name


def _classifier_of(config: Any, tokenizer: Any) -> Any:
    from transformers import AutoModelForSequenceClassification

    config.num_labels = 1
    config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)


@contextmanager
def _told_of_architecture(model: Any) -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError, AttributeError) as error:
        raise ModelError(
            f"{type(model).__name__} has no sequence classifier in transformers that could hold "
            f"its scores ({type(error).__name__}); expected an architecture such as Llama, Qwen, "
            "Mistral, Gemma or GPT-NeoX"
        ) from error


def give_own_padding(tokenizer: Any) -> None:
    """Gives a tokenizer a padding token that ends no completion, if it has none."""
    ends = {tokenizer.eos_token_id, ChatFormat(tokenizer).end_id}
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in ends:
        tokenizer.add_special_tokens({"pad_token": PAD})
