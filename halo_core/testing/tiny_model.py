"""Writes a tiny language model and its tokenizer, without torch and without a network."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halo_core.hashing import short_hash
from halo_core.stage import ModelInput

HIDDEN, INNER, HEADS = 16, 24, 2
"""Width of the model, width within its one layer, and number of its attention heads."""

MARKS = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
"""Tokens besides those of the 256 bytes. The first one ends texts."""

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% if message.role == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""The chat template."""


def tiny_model(folder: Path, *, seed: int = 0, inner: int = INNER) -> ModelInput:
    """Returns a model with 6,400 weights, after writing it and its tokenizer.

    The folder is in the format of transformers: a Llama of one layer in float32, a tokenizer with
    one token per byte and a token per role, and a chat template. Only its reader needs torch.

    Args:
        folder: The folder to write to. It is created if it does not exist.
        seed: Seed of the weights, which are normal with a standard deviation of 0.2. Only the 48
            weights of the norms are 1.
        inner: Width within the layer. With another one, two models cannot be mixed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = tiny_model(Path(folder) / "model")
    ...     sorted(path.name for path in Path(model.path).iterdir())
    ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "config.json", _config(inner))
    _write(folder / "tokenizer.json", _tokenizer())
    end = MARKS[0]
    chat: dict[str, Any] = {"eos_token": end, "pad_token": end, "chat_template": TEMPLATE}
    chat |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    _write(folder / "tokenizer_config.json", chat)
    _write_weights(folder / "model.safetensors", random.Random(seed), inner)
    return ModelInput(str(folder), None, short_hash(f"tiny model {seed} {inner}"))


def _config(inner: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 256 + len(MARKS),
        "hidden_size": HIDDEN,
        "intermediate_size": inner,
        "num_hidden_layers": 1,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 256,
        "pad_token_id": 256,
        "torch_dtype": "float32",
    }


def _shapes(inner: int) -> Mapping[str, tuple[int, ...]]:
    layer = "model.layers.0"
    square, up = (HIDDEN, HIDDEN), (inner, HIDDEN)
    return {
        "model.embed_tokens.weight": (256 + len(MARKS), HIDDEN),
        **{f"{layer}.self_attn.{name}_proj.weight": square for name in "qkvo"},
        f"{layer}.mlp.gate_proj.weight": up,
        f"{layer}.mlp.up_proj.weight": up,
        f"{layer}.mlp.down_proj.weight": (HIDDEN, inner),
        f"{layer}.input_layernorm.weight": (HIDDEN,),
        f"{layer}.post_attention_layernorm.weight": (HIDDEN,),
        "model.norm.weight": (HIDDEN,),
    }


def _write_weights(file: Path, source: random.Random, inner: int) -> None:
    """Writes a file of safetensors: the length of its head, its head as JSON, and the numbers.

    References:
        https://github.com/huggingface/safetensors, the section "Format".
    """
    head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, shape in _shapes(inner).items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        norm = len(shape) == 1
        values = [1.0 if norm else source.gauss(0, 0.2) for _ in range(count)]
        packed = struct.pack(f"<{count}f", *values)
        ends = [len(data), len(data) + len(packed)]
        head[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": ends}
        data += packed
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


def _tokenizer() -> dict[str, Any]:
    letters = _letters_of_bytes()
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": 256 + number, "content": mark, "special": True, **flags}
            for number, mark in enumerate(MARKS)
        ],
        "normalizer": None,
        "pre_tokenizer": {**level, "use_regex": True},
        "post_processor": None,
        "decoder": {**level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {letter: number for number, letter in enumerate(letters)},
            "merges": [],
        },
    }


def _letters_of_bytes() -> list[str]:
    """Returns the letter that byte-level tokenizers write for each byte.

    Bytes that Latin-1 prints are themselves. The others get the letters from U+0100 on, in order.
    """
    printed = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printed else next(others)) for byte in range(256)]


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1), "utf-8")
