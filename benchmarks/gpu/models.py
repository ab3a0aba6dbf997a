"""Models of known sizes with random weights, and rows of random words."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from speed.arithmetic import Model

from halo_models.save import save_model_folder
from halo_models.templates import use_template

WORDS = 4000
"""Number of words of the tokenizer. Each is one token."""

MAX_LENGTH = 1024
"""Largest number of tokens of a sequence."""


class Size(NamedTuple):
    """A Llama of a known size.

    Attributes:
        config: The fields of its configuration.
        lora: Whether only an adapter is trained.
    """

    config: Mapping[str, int | bool]
    lora: bool


LLAMA_1B = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
    "tie_word_embeddings": True,
}
"""The sizes of Llama 3.2 1B."""

LLAMA_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
    "tie_word_embeddings": False,
}
"""The sizes of Llama 3.1 8B."""

TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 4_100,
    "tie_word_embeddings": True,
}

SIZES = {"1b": Size(LLAMA_1B, lora=False), "8b-lora": Size(LLAMA_8B, lora=True)}


def size_of(name: str, *, tiny: bool) -> Size:
    """Returns a size by name; a tiny model that is trained in the same way if asked."""
    size = SIZES[name]
    return size._replace(config=TINY) if tiny else size


def arithmetic_of(size: Size) -> Model:
    """Returns the sizes that decide how much arithmetic a step has."""
    config = size.config
    head = config["hidden_size"] // config["num_attention_heads"]
    return Model(
        hidden=config["hidden_size"],
        intermediate=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        vocabulary=config["vocab_size"],
        key_values=head * config["num_key_value_heads"],
    )


def model_folder(root: Path, name: str, *, tiny: bool) -> Path:
    """Returns the folder of a model, which is made if it is not there yet."""
    folder = root / f"{name}{'-tiny' if tiny else ''}"
    if not folder.exists():
        from transformers import LlamaConfig, LlamaForCausalLM

        tokenizer = _tokenizer()
        config = LlamaConfig(
            **size_of(name, tiny=tiny).config,
            max_position_embeddings=4096,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        torch.manual_seed(0)
        with torch.device(device()):
            model = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)
        save_model_folder(folder, model, tokenizer)
    return folder


def device() -> str:
    """Returns the device of the measurements."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def draw_rows(
    loss: str, count: int, *, longest: int = MAX_LENGTH, fixed: bool = False
) -> list[dict[str, Any]]:
    """Returns rows of random words in the form of `speed.workload.rows_for`.

    The lengths are log-normal, as those of dialogues about are: the median prompt has 120 words,
    and the median completion 60.

    Args:
        loss: The name of a loss.
        count: Number of rows.
        longest: Largest number of words of prompt and completion together.
        fixed: Whether every row has `longest` words, of which a half are the prompt.
    """
    rng = random.Random(0)

    def text(tokens: int) -> str:
        return " ".join(f"w{rng.randrange(WORDS)}" for _ in range(tokens))

    def length(median: float, most: int) -> int:
        return max(2, min(most, round(rng.lognormvariate(0, 0.8) * median)))

    rows = []
    for number in range(count):
        most = longest // 2 - 8
        prompt = most if fixed else length(120, most)
        own, other = (most if fixed else length(60, most) for _ in range(2))
        row: dict[str, Any] = {"prompt": [{"role": "user", "content": text(prompt)}]}
        if loss == "dpo":
            row |= {"chosen": text(own), "rejected": text(other)}
        else:
            row |= {"completion": text(own)}
            if loss == "kto":
                row |= {"desirable": number % 2 == 0}
        rows.append(row)
    return rows


def _tokenizer(words: int = WORDS) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["[pad]", "[eos]", "[unk]"]
    vocabulary = {word: i for i, word in enumerate([*special, *(f"w{i}" for i in range(words))])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[unk]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="[eos]", pad_token="[pad]", unk_token="[unk]"
    )
    use_template(tokenizer, None)
    return tokenizer


def tokens_of(rows: Sequence[Mapping[str, Any]]) -> int:
    """Returns the number of words of all sequences, each completion with its prompt."""
    total = 0
    for row in rows:
        prompt = len(row["prompt"][0]["content"].split())
        for side in ("chosen", "rejected", "completion"):
            if side in row:
                total += prompt + len(row[side].split())
    return total
