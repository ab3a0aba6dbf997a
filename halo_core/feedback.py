"""The kinds of feedback, and what a row of each kind holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

Feedback = Literal["text", "demonstration", "binary", "paired", "scored"]


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


Prompt = Sequence[Message]

COLUMNS: Mapping[Feedback, Mapping[str, str]] = {
    "text": {"text": "string"},
    "demonstration": {"prompt": "messages", "completion": "string"},
    "binary": {"prompt": "messages", "completion": "string", "desirable": "bool"},
    "paired": {"prompt": "messages", "chosen": "string", "rejected": "string"},
    "scored": {"prompt": "messages", "completions": "strings", "scores": "floats"},
}
"""The columns that a row of each kind must have, besides an optional `id`.

`text` is raw text to pretrain on: a demonstration without a prompt, trained on whole.
"""


def accepts(wanted: Feedback, given: Feedback) -> bool:
    """Returns whether a loss on `wanted` feedback can take `given` feedback as it is."""
    return given == wanted or (wanted == "demonstration" and given == "text")


def prompt_id(prompt: Prompt) -> str:
    """Returns 16 hexadecimal digits that name a prompt by its roles and contents.

    >>> prompt_id([{"role": "user", "content": "hi"}])
    '897be8e1f0370e7f'
    """
    # Every `halo` command imports this module, and these two cost it milliseconds.
    import json

    from halo_core.hashing import short_hash

    content = [[message["role"], message["content"]] for message in prompt]
    encoded = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return short_hash(encoded)
