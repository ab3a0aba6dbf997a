"""Makes a new model from a configuration, with a tokenizer trained on texts."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from halo_core.completion import completions_in
from halo_core.errors import ModelError, did_you_mean
from halo_core.feedback import COLUMNS, Feedback, further_fields
from halo_core.memory_limits import MACHINE, least_memory
from halo_core.progress import Progress, SilentProgress
from halo_core.rows import DataSet
from halo_core.stage import StageResult
from halo_models.save import save_model_folder
from halo_models.skeleton import skeleton
from halo_models.templates import use_template

_ROPE = ("rope_theta", "rope_scaling", "partial_rotary_factor", "rotary_pct", "rotary_emb_base")
"""Older names for parts of `rope_parameters`, which transformers still accepts."""


END = "<|endoftext|>"
"""The token that ends a text or a completion, and comes before a text."""

MARKS = ("<|user|>", "<|assistant|>", "<|system|>")
"""The control marks of TULU 2, one token each. They are visible when a completion is decoded."""

BYTES = 256
SMALLEST = BYTES + 1 + len(MARKS)
"""Smallest vocabulary: all bytes, the end token and the marks."""


def make_folder(
    folder: Path,
    data: DataSet,
    options: Mapping[str, Any],
    *,
    vocab_size: int,
    template: str | None,
    dtype: Literal["float32", "bfloat16"],
    seed: int,
    progress: Progress | None = None,
) -> StageResult:
    """Writes a new model with its own tokenizer, and returns their sizes.

    Args:
        folder: The folder to write.
        data: The data set that the tokenizer is trained on.
        options: Fields of the configuration class, and its `model_type`.
        vocab_size: Largest number of tokens of the tokenizer.
        template: Chat template; None for the default.
        dtype: The dtype in which the weights are saved.
        seed: Seed of the weights.
        progress: Shows what is being made.

    Raises:
        ModelError: When such a model cannot be made, or is larger than the memory.
    """
    shown = progress or SilentProgress()
    with shown.phase("training the tokenizer"):
        tokenizer = train_tokenizer(data, vocab_size)
    use_template(tokenizer, template)
    config = make_config(options, tokenizer)
    check_memory(config)
    with shown.phase("drawing the weights"):
        model = draw_model(config, seed=seed, dtype=getattr(torch, dtype))
    with shown.phase("saving the model"):
        save_model_folder(folder, model, tokenizer)
    parameters = sum(weight.numel() for weight in model.parameters())
    return StageResult(
        {"parameters": parameters, "vocabulary": len(tokenizer)},
        f"a new {config.model_type} of {parameters / 1e6:.2f}M parameters, "
        f"with a vocabulary of {len(tokenizer)} tokens",
    )


def make_config(options: Mapping[str, Any], tokenizer: Any) -> Any:
    """Returns the transformers configuration for these options, fitted to a tokenizer.

    Args:
        options: Fields of the configuration class, and its `model_type` (``llama``).
        tokenizer: A tokenizer, for the size of the vocabulary and the special tokens.

    Raises:
        ModelError: When there is no such model type, a key is unknown (transformers would ignore
            it), or a value does not fit.
    """
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    fields = dict(options)
    model_type = fields.pop("model_type", "llama")
    if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            _unknown("causal language model", model_type, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
            location="config.model_type",
        )
    config_class = CONFIG_MAPPING[model_type]
    names = [*inspect.signature(config_class).parameters, *config_class.attribute_map, *_ROPE]
    for key in fields:
        if key not in names:
            raise ModelError(_unknown("key", key, names), location=f"config.{key}")
    special = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    try:
        return config_class(**fields, **special)
    except Exception as error:
        raise ModelError(" ".join(str(error).split()), location="config") from error


def _unknown(what: str, given: str, known: Iterable[str]) -> str:
    guess = did_you_mean(given, known, cutoff=0.5)
    return f"there is no {what} {given!r}.{guess} The names are those of transformers"


def draw_model(config: Any, *, seed: int, dtype: torch.dtype) -> Any:
    """Returns a causal language model whose weights depend only on the seed and the configuration.

    Raises:
        ModelError: When the numbers of the configuration are inconsistent.
    """
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(dtype)
        except Exception as error:
            raise unmakeable(config, error) from error


def check_memory(config: Any) -> None:
    """Compares the weights, which are drawn in float32, with the memory that this process may use.

    The smallest limit counts: of the machine, of a container, or of the shell (`memory_limits`).

    Without this, the system would end the process, or the machine would not answer for hours.

    Raises:
        ModelError: When there is too little memory.
    """
    try:
        count = sum(weight.numel() for weight in skeleton(config).parameters())
    except Exception as error:
        raise unmakeable(config, error) from error
    needed, limit = 4 * count, least_memory()
    if limit is not None and needed > limit.size:
        mend = "" if limit.of == MACHINE else ", or raise the limit"
        raise ModelError(
            f"its {count / 1e9:,.3g} billion parameters take {needed / 1e9:,.3g} GB in float32, "
            f"and {limit.of} allows {limit.size / 1e9:,.3g} GB of memory. Make the model "
            f"smaller{mend}",
            location="config",
        )


def unmakeable(config: Any, error: Exception) -> ModelError:
    """Returns an error for people about a configuration that no model can be made from."""
    said = " ".join(str(error).split())
    if isinstance(error, KeyError):  # Such as an activation. The error's text is only the name.
        said = f"no such name: {said}"
    return ModelError(f"no {config.model_type} can be made from it: {said}", location="config")


def train_tokenizer(data: DataSet | None, vocab_size: int) -> Any:
    """Returns a transformers tokenizer of at most `vocab_size` tokens, without a chat template.

    The same rows in the same order give the same tokenizer. It has fewer than `vocab_size` tokens
    if the rows contain too few different words.

    Args:
        data: Rows of any kind. All their texts are used: messages, with their thoughts and tool
            calls, and the tools that prompts offer. Without data, each token is a byte.
        vocab_size: Largest number of tokens, `SMALLEST` or more.

    References:
        Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units;
        Radford et al. 2019 for byte-level BPE.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(MARKS),
        special_tokens=[AddedToken(END, special=True, normalized=False)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([] if data is None else texts(data), trainer)
    # Not special: a decoder that skips special tokens would hide if a model continues as the user.
    backend.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKS])
    # No padding token: torch leaves its embedding untrained, and here it would be the end token.
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=END, eos_token=END)


def texts(data: DataSet) -> Iterator[str]:
    """Yields the texts of all rows, cut at control marks."""
    control = re.compile("|".join(map(re.escape, (END, *MARKS))))
    for row in data:
        for text in _row_texts(row, data.feedback):
            yield from filter(None, control.split(text))


def _row_texts(row: Mapping[str, Any], feedback: Feedback) -> Iterator[str]:
    for name, type_ in COLUMNS[feedback].items():
        if type_ == "string":
            yield row[name]
        elif type_ == "strings":
            yield from row[name]
        elif type_ == "messages":
            for message in row[name]:
                yield message["content"]
                yield from _texts_in(further_fields(message))
    for said in completions_in(row):
        yield from _texts_in(said.fields)
    yield from _texts_in(row.get("tools"))


def _texts_in(value: Any) -> Iterator[str]:
    """Yields the texts in a JSON value: thoughts unchanged, and the contents of tool calls.

    Templates write arguments and tools as JSON, and some write a whole call as JSON. So this yields
    the names and the texts inside both.
    """
    match value:
        case str():
            yield value
        case Mapping():
            for name, inner in value.items():
                yield name
                yield from _texts_in(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts_in(inner)
        case None:
            pass
        case _:
            yield json.dumps(value)
