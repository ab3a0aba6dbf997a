"""Tiny models and tokenizers that are made in a moment, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, get_args

Kind = Literal["bytes", "bytes whole", "metaspace first", "metaspace always", "prepend", "unigram"]
"""How a tokenizer splits text:

* ``bytes``: BPE over bytes within words, as in Llama 3 and Qwen.
* ``bytes whole``: the same without words, so that tokens cross every boundary.
* ``metaspace first``, ``metaspace always``: BPE over letters with a space before the text, or
  before every part between added tokens. Unknown letters become bytes.
* ``prepend``: the same with normalisation rules, as in Llama 2.
* ``unigram``: pieces with probabilities, and a space before the text. Unknown letters are lost.
"""

KINDS: tuple[Kind, ...] = get_args(Kind)

MARKS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>"]
CORPUS = [
    "The cow says moo and the duck says quack.",
    "An ant has six legs; coal is black, grass is green.",
    "What is the capital of Peru? Lima is the capital of Peru.",
    "Please tell me what a cow says. Kindly explain it to a child.",
]
_DIALOGUES = [
    f"{who}\n{text}\n\n{text} {who}:\n" for who in ("user", "assistant") for text in CORPUS
]
"""Turns, so that a tokenizer without words has tokens that cross the boundaries of turns."""


def make_tokenizer(corpus: Sequence[str] = CORPUS, marks: Sequence[str] = MARKS) -> Any:
    """Returns a byte-level BPE tokenizer of about 300 tokens, without a chat template.

    Args:
        corpus: Texts that the tokenizer is trained on.
        marks: Added tokens. The first one ends texts.
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


def make_chat_tokenizer(
    kind: Kind,
    template: str | None = None,
    *,
    eos: str = "<eos>",
    bos: str | None = None,
    added: Sequence[Any] = (),
    named: Sequence[str] = (),
    writes_bos: bool = False,
) -> Any:
    """Returns a tokenizer of about 400 tokens.

    Args:
        kind: How the tokenizer splits text.
        template: Its chat template.
        eos: The token that ends texts.
        bos: The token that begins texts, if any.
        added: Further added tokens: `AddedToken`s of `tokenizers`, or strings, which are not
            special.
        named: Strings of the added tokens that transformers also knows by name.
        writes_bos: Whether the tokenizer itself puts `bos` in front of every text.
    """
    from tokenizers import AddedToken, Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(_rules(kind))
    tokens = [AddedToken(t, normalized=False) if isinstance(t, str) else t for t in added]
    known = {token.content for token in tokens}
    ends = [AddedToken(token, special=True) for token in (bos, eos) if token and token not in known]
    for token in [*ends, *tokens]:
        (backend.add_special_tokens if token.special else backend.add_tokens)([token])
    if writes_bos and bos is not None:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=eos,
        bos_token=bos,
        unk_token=None if kind.startswith("bytes") else "<unk>",
        additional_special_tokens=list(named),
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = template
    return tokenizer


@cache
def _rules(kind: Kind) -> str:
    """Returns the rules of a trained tokenizer as JSON. Its only added token is ``<unk>``."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    backend = Tokenizer(models.Unigram() if kind == "unigram" else models.BPE())
    options: dict[str, Any] = {"show_progress": False}
    if kind.startswith("bytes"):
        words = kind == "bytes"
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)
        backend.decoder = decoders.ByteLevel()
        options["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    else:
        scheme = kind.split()[-1] if kind.startswith("metaspace") else "first"
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        backend.decoder = decoders.Sequence(
            [
                decoders.Replace("\u2581", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
    if kind == "unigram":
        options |= {"unk_token": "<unk>", "special_tokens": ["<unk>"], "vocab_size": 200}
        trainer: Any = trainers.UnigramTrainer(**options)
    else:
        trainer = trainers.BpeTrainer(vocab_size=420 if kind.startswith("b") else 180, **options)
    backend.train_from_iterator([*CORPUS, *_DIALOGUES] * 4, trainer)
    if kind == "prepend":
        backend.pre_tokenizer = None
        backend.normalizer = normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        )
    rules = json.loads(backend.to_str())
    if kind in ("prepend", "metaspace first", "metaspace always"):
        pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *rules["model"]["vocab"]]
        rules["model"] |= {
            "vocab": {piece: number for number, piece in enumerate(pieces)},
            "unk_token": "<unk>",
            "byte_fallback": True,
        }
    return json.dumps(rules)


def make_model(vocabulary: int, **options: Any) -> Any:
    """Returns a Llama model with two layers. Its weights depend only on the options."""
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
