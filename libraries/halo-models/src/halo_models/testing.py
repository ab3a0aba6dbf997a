"""A tiny model and its tokenizer, made in a moment, for tests of what works with models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MARKS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>"]
CORPUS = [
    "The cow says moo and the duck says quack.",
    "An ant has six legs; coal is black, grass is green.",
    "What is the capital of Peru? Lima is the capital of Peru.",
    "Please tell me what a cow says. Kindly explain it to a child.",
]


def make_tokenizer(corpus: Sequence[str] = CORPUS, marks: Sequence[str] = MARKS) -> Any:
    """Returns a byte-level BPE tokenizer of about 300 tokens, without a chat template.

    Args:
        corpus: Texts that it is trained on.
        marks: Its added tokens, the first of which ends texts.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[AddedToken(marks[0], special=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([*corpus] * 4, trainer)
    backend.add_tokens([AddedToken(mark, normalized=False) for mark in marks[1:]])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=marks[0])


def make_model(vocabulary: int, **options: Any) -> Any:
    """Returns a llama of two layers with weights that depend on nothing but the options."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **{
            "vocab_size": vocabulary,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 256,
            "initializer_range": 0.2,
            "bos_token_id": None,
            "eos_token_id": 0,
            **options,
        }
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()
