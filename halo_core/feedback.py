"""The kinds of feedback, and what a row of each kind holds."""

# Without `from __future__ import annotations`: with it, Python does not see NotRequired, and would
# take every field of a message for required.

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

Feedback = Literal["text", "demonstration", "binary", "paired", "scored"]

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Who may speak in a prompt."""


class Message(TypedDict):
    """One turn of a conversation; further fields, whose values are of JSON, may stand beside."""

    role: str
    """One of `ROLES`."""
    content: str
    """Text; empty where the turn holds calls of tools alone."""
    name: NotRequired[str]
    """Who speaks, or which tool answers."""
    tool_calls: NotRequired[list[dict[str, Any]]]
    """Calls of tools, with arguments as an object."""
    tool_call_id: NotRequired[str]
    """Call that a tool's message answers."""
    reasoning_content: NotRequired[str]
    """Thoughts before the content."""
    thinking: NotRequired[str]
    """Thoughts before the content, as templates of another convention call them."""


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

BESIDE: Mapping[str, tuple[str, str, str]] = {
    "completion": ("completion_fields", "completion_token_ids", "finish"),
    "chosen": ("chosen_fields", "chosen_token_ids", "chosen_finish"),
    "rejected": ("rejected_fields", "rejected_token_ids", "rejected_finish"),
    "completions": ("completions_fields", "completions_token_ids", "finishes"),
}
"""A column of completions to the optional ones that say more of them: the further fields of the
assistant's message (`tool_calls`, `reasoning_content`, ...), the token ids that were sampled, and
why the sampling ended (`FINISHES`). Those of `completions` are lists, null where nothing is known.
"""

SHARED: Mapping[str, str] = {"tools": "objects", "tokenizer": "string", "template": "string"}
"""Optional columns about a whole row: the tools that the prompt offers, and the digests of the
tokenizer and of the template that its token ids were sampled with."""

FINISHES = ("stop", "length")
"""Why a completion ended: by itself, or at the longest length."""


def _optional(*completions: str) -> Mapping[str, str]:
    many = ("fields list", "ids list", "finish list")
    columns = dict(SHARED)
    for name in completions:
        kinds = many if name == "completions" else ("fields", "ids", "finish")
        columns |= dict(zip(BESIDE[name], kinds, strict=True))
    return columns


OPTIONAL_COLUMNS: Mapping[Feedback, Mapping[str, str]] = {
    "text": {},
    "demonstration": _optional("completion"),
    "binary": _optional("completion"),
    "paired": _optional("chosen", "rejected"),
    "scored": _optional("completions"),
}
"""The columns that a row of each kind may have besides; null is the same as absent."""


def accepts(wanted: Feedback, given: Feedback) -> bool:
    """Returns whether a loss on `wanted` feedback can take `given` feedback as it is."""
    return given == wanted or (wanted == "demonstration" and given == "text")


def prompt_id(prompt: Prompt, tools: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Returns 16 hexadecimal digits that name a prompt by all that its messages hold.

    What is null does not count, nor does the order of the keys within tools and calls.

    Args:
        prompt: The messages.
        tools: The tools that it offers.

    >>> prompt_id([{"role": "user", "content": "hi"}])
    '897be8e1f0370e7f'
    >>> prompt_id([{"role": "user", "content": "hi", "name": "Ana"}])
    '3822517401008fb0'
    """
    # Every `halo` command imports this module, and these two cost it milliseconds.
    import json

    from halo_core.hashing import short_hash

    # A message without further fields, and a prompt without tools, is named as it always was.
    messages: list[Any] = []
    for message in prompt:
        further = further_fields(message)
        messages.append([message["role"], message["content"], *([further] if further else [])])
    content = {"prompt": messages, "tools": list(tools)} if tools else messages
    encoded = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return short_hash(encoded)


def further_fields(message: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a message holds besides role and content, sorted by name, without nulls."""
    if len(message) == 2:  # True of nearly all messages.
        return {}
    return {
        name: message[name]
        for name in sorted(message)
        if name not in ("role", "content") and message[name] is not None
    }
