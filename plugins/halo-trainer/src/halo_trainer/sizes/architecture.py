"""The shape of a model, read from its configuration, and the number of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["llama", "gpt_neox", "other"]
"""How the blocks compute: with gated feed-forward layers and RMS norms, or as GPT-NeoX does."""

LIKE_LLAMA = frozenset({"llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma"})
"""Values of `model_type` whose blocks are those of a Llama, with the differences below."""
_BIASED_QKV = frozenset({"qwen2"})
_HEAD_NORMS = frozenset({"qwen3"})
_TIED = frozenset({"gemma"})


@dataclass(frozen=True)
class Architecture:
    """The shape of a causal language model.

    Attributes:
        model_type: Its kind in transformers.
        kind: How its blocks compute.
        layers: Number of blocks.
        hidden: Size of hidden states.
        heads: Number of attention heads.
        key_heads: Number of heads of keys and values.
        head_size: Size of a head.
        wide: Size of the feed-forward layer, of each expert if there are several.
        vocabulary: Number of tokens.
        block: Number of weights of a block.
        matrices: Number of those in linear layers, without experts.
        root: Number of weights outside of the blocks: embeddings, last norm, output head.
        tied: Whether the output head has the weights of the embeddings.
        experts: Number of experts of a block; 0 if there are none.
        chosen: Number of experts that compute a token.
        parallel: Whether attention and feed-forward layer read the same states.
    """

    model_type: str
    kind: Kind
    layers: int
    hidden: int
    heads: int
    key_heads: int
    head_size: int
    wide: int
    vocabulary: int
    block: int
    matrices: int
    root: int
    tied: bool
    experts: int = 0
    chosen: int = 0
    parallel: bool = False

    @property
    def weights(self) -> int:
        """Number of all weights."""
        return self.layers * self.block + self.root

    @property
    def used(self) -> int:
        """Number of weights that compute a token: without the experts that are not chosen."""
        idle = (self.experts - self.chosen) * 3 * self.hidden * self.wide if self.experts else 0
        return self.weights - self.layers * idle

    @property
    def query(self) -> int:
        """Size of the queries of a token, of all heads together."""
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """Size of the keys of a token, of all heads together."""
        return self.key_heads * self.head_size

    @property
    def table(self) -> int:
        """Number of weights of the embeddings, and of an output head."""
        return self.vocabulary * self.hidden

    @property
    def linear(self) -> int:
        """Number of weights of all linear layers, without experts and the output head."""
        return self.layers * self.matrices


def architecture_of(config: Mapping[str, Any], weights: int | None = None) -> Architecture | None:
    """Returns the shape that a configuration describes; None if it leaves sizes open.

    The numbers of weights of the kinds in `LIKE_LLAMA` and of GPT-NeoX are exact. For other kinds,
    they are those of the given total, spread evenly over the blocks.

    Args:
        config: A configuration of transformers, as in ``config.json``.
        weights: Number of all weights, if known. Other kinds need it.
    """
    kind = config.get("model_type", "llama")
    sizes = _sizes(config)
    if sizes is None or not isinstance(kind, str):
        return None
    if kind in LIKE_LLAMA:
        return _like_llama(config, kind, sizes)
    if kind == "gpt_neox":
        return _gpt_neox(config, sizes)
    return None if weights is None else _other(config, kind, sizes, weights)


@dataclass(frozen=True)
class _Sizes:
    hidden: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    wide: int
    vocabulary: int


def _sizes(config: Mapping[str, Any]) -> _Sizes | None:
    hidden = _number(config, "hidden_size", "n_embd", "d_model")
    layers = _number(config, "num_hidden_layers", "n_layer", "num_layers")
    heads = _number(config, "num_attention_heads", "n_head")
    vocabulary = _number(config, "vocab_size")
    if not (hidden and layers and heads and vocabulary):
        return None
    wide = _number(config, "intermediate_size", "n_inner", "ffn_dim")
    if wide is None:
        if config.get("model_type", "llama") in {*LIKE_LLAMA, "gpt_neox"}:
            return None
        wide = 4 * hidden
    return _Sizes(
        hidden,
        layers,
        heads,
        _number(config, "num_key_value_heads") or heads,
        _number(config, "head_dim") or hidden // heads,
        wide,
        vocabulary,
    )


def _number(config: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _like_llama(config: Mapping[str, Any], kind: str, s: _Sizes) -> Architecture | None:
    if kind in {"mistral", "mixtral", "qwen2", "qwen3", "gemma"} and not (
        _number(config, "num_key_value_heads")
    ):
        return None  # Their defaults in transformers are sizes of one published model.
    if kind in {"gemma", "qwen3"} and not _number(config, "head_dim"):
        return None
    query, keys = s.heads * s.head_size, s.key_heads * s.head_size
    attention = s.hidden * (2 * query + 2 * keys)
    biases = 0
    if kind in _BIASED_QKV:
        biases += query + 2 * keys
    elif config.get("attention_bias"):
        biases += query + 2 * keys + s.hidden
    if config.get("mlp_bias"):
        biases += 2 * s.wide + s.hidden
    norms = 2 * s.hidden + (2 * s.head_size if kind in _HEAD_NORMS else 0)
    experts = chosen = 0
    if kind == "mixtral":
        experts = _number(config, "num_local_experts") or 8
        chosen = _number(config, "num_experts_per_tok") or 2
        matrices = attention + experts * s.hidden
        feed_forward = experts * (3 * s.hidden * s.wide + s.hidden)
    else:
        feed_forward = 3 * s.hidden * s.wide
        matrices = attention + feed_forward
    tied = bool(config.get("tie_word_embeddings", kind in _TIED))
    return Architecture(
        kind,
        "llama",
        s.layers,
        s.hidden,
        s.heads,
        s.key_heads,
        s.head_size,
        s.wide,
        s.vocabulary,
        block=attention + feed_forward + biases + norms,
        matrices=matrices,
        root=(1 if tied else 2) * s.vocabulary * s.hidden + s.hidden,
        tied=tied,
        experts=experts,
        chosen=chosen,
    )


def _gpt_neox(config: Mapping[str, Any], s: _Sizes) -> Architecture:
    matrices = 4 * s.hidden**2 + 2 * s.hidden * s.wide
    biases = s.wide + s.hidden
    if config.get("attention_bias", True):
        biases += 4 * s.hidden
    tied = bool(config.get("tie_word_embeddings", False))
    return Architecture(
        "gpt_neox",
        "gpt_neox",
        s.layers,
        s.hidden,
        s.heads,
        s.heads,
        s.hidden // s.heads,
        s.wide,
        s.vocabulary,
        block=matrices + biases + 4 * s.hidden,
        matrices=matrices,
        root=(1 if tied else 2) * s.vocabulary * s.hidden + 2 * s.hidden,
        tied=tied,
        parallel=bool(config.get("use_parallel_residual", True)),
    )


def _other(config: Mapping[str, Any], kind: str, s: _Sizes, weights: int) -> Architecture | None:
    table = s.vocabulary * s.hidden
    tied = bool(config.get("tie_word_embeddings", 2 * table > weights))
    root = table if tied else 2 * table
    if weights <= root:
        return None
    block = -(-(weights - root) // s.layers)
    return Architecture(
        kind,
        "other",
        s.layers,
        s.hidden,
        s.heads,
        s.key_heads,
        s.head_size,
        s.wide,
        s.vocabulary,
        block=block,
        matrices=block,
        root=weights - s.layers * block if weights > s.layers * block else root,
        tied=tied,
    )
