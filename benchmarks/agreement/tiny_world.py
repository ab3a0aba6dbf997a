"""A small random Llama, its tokenizer, and rows of random words, for comparisons with others."""

from __future__ import annotations

import datasets
import torch

WORDS = "the cow says moo and a dog barks while seven ants walk home slowly".split()
ROWS = 8


def make_model(seed: int) -> torch.nn.Module:
    """Returns a language model of random float64 weights."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(_config()).double()


def make_reward_model(seed: int) -> torch.nn.Module:
    """Returns a sequence classifier with one score, of random float64 weights."""
    from transformers import LlamaForSequenceClassification

    torch.manual_seed(seed)
    return LlamaForSequenceClassification(_config(num_labels=1)).double()


def _config(**options: int) -> object:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(WORDS) + 3,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **options,
    )


def make_tokenizer() -> object:
    """Returns a tokenizer for which every word is a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[pad]", "[bos]", "[eos]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[pad]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[pad]", bos_token="[bos]", eos_token="[eos]"
    )


def paired_rows() -> datasets.Dataset:
    """Returns prompts with a chosen and a rejected completion."""
    return _rows({"prompt": (2, 6), "chosen": (1, 8), "rejected": (1, 8)})


def demonstration_rows() -> datasets.Dataset:
    """Returns prompts with a completion."""
    return _rows({"prompt": (2, 6), "completion": (1, 8)})


def binary_rows() -> datasets.Dataset:
    """Returns prompts with a completion and a label, two thirds of them desirable."""
    return demonstration_rows().add_column("label", [row % 3 != 0 for row in range(ROWS)])


def _rows(columns: dict[str, tuple[int, int]]) -> datasets.Dataset:
    g = torch.Generator().manual_seed(0)
    return datasets.Dataset.from_list(
        [
            {column: f"{_random_text(g, *lengths)} " for column, lengths in columns.items()}
            for _ in range(ROWS)
        ]
    )


def _random_text(generator: torch.Generator, shortest: int, longest: int) -> str:
    length = int(torch.randint(shortest, longest + 1, (), generator=generator))
    words = torch.randint(len(WORDS), (length,), generator=generator)
    return " ".join(WORDS[word] for word in words)
