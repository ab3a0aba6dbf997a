"""Digests of a tokenizer and a template: token ids mean the same only if both are the same."""

from __future__ import annotations

import json
from typing import Any

from halo_core.hashing import short_hash
from halo_models.conversation import FORMAT_VERSION, ChatOptions
from halo_models.templates import asks_for_date


def tokenizer_digest(tokenizer: Any) -> str:
    """Returns 64 hexadecimal digits of everything that decides which ids a tokenizer gives."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules: Any = [type(tokenizer).__name__, tokenizer.get_vocab(), str(tokenizer.init_kwargs)]
    else:
        rules = _rules(backend)
    content = [rules, tokenizer.eos_token, tokenizer.bos_token, tokenizer.all_special_tokens]
    return short_hash(json.dumps(content, sort_keys=True), 64)


def _rules(backend: Any) -> str:
    """Returns a tokenizer's rules without padding and truncation, which its last caller set."""
    padding, truncation = backend.padding, backend.truncation
    backend.no_padding()
    backend.no_truncation()
    # Kept as text: parsing it takes seconds if a vocabulary has 262144 tokens.
    rules: str = backend.to_str()
    if padding is not None:
        backend.enable_padding(**padding)
    if truncation is not None:
        backend.enable_truncation(**truncation)
    return rules


def template_digest(tokenizer: Any, options: ChatOptions) -> str:
    """Returns 32 hexadecimal digits of everything that decides the text of a prompt."""
    content = [
        FORMAT_VERSION,
        tokenizer.chat_template,
        options.date if asks_for_date(tokenizer) else None,
        sorted(options.content_tokens or ()),
        options.pretemplated,
    ]
    return short_hash(json.dumps(content, sort_keys=True), 32)
