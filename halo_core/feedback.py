"""The kinds of feedback, and the columns of a row of each kind."""

# This file must not use `from __future__ import annotations`: Python would then not see NotRequired
# and would treat every field of a message as required.

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

Feedback = Literal["text", "prompts", "demonstration", "binary", "paired", "scored"]
"""A kind of feedback, which determines the columns of a row."""

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Roles of the messages in a prompt."""


class Message(TypedDict):
    """One turn of a conversation. It may have further fields with JSON values."""

    role: str
    """Role of the speaker, one of `ROLES`."""
    content: str
    """Text of the turn; empty if the turn has only tool calls."""
    name: NotRequired[str]
    """Name of the speaker, or of the tool that answers."""
    tool_calls: NotRequired[list[dict[str, Any]]]
    """Tool calls, with their arguments as an object."""
    tool_call_id: NotRequired[str]
    """Id of the call that a tool's message answers."""
    reasoning_content: NotRequired[str]
    """Thoughts before the content."""
    thinking: NotRequired[str]
    """Thoughts before the content, under the name that other templates use."""


Prompt = Sequence[Message]

COLUMNS: Mapping[Feedback, Mapping[str, str]] = {
    "text": {"text": "string"},
    "prompts": {"prompt": "messages"},
    "demonstration": {"prompt": "messages", "completion": "string"},
    "binary": {"prompt": "messages", "completion": "string", "desirable": "bool"},
    "paired": {"prompt": "messages", "chosen": "string", "rejected": "string"},
    "scored": {"prompt": "messages", "completions": "strings", "scores": "floats"},
}
"""The columns that a row of each kind must have. An `id` is optional.

`text` is raw text for pretraining: a demonstration without a prompt, all of which is trained.
`prompts` are prompts alone, to sample on: nothing is learned from them.
"""


class Beside(NamedTuple):
    """The names of the optional columns for a column of completions.

    Those for `completions` are lists, with null for unknown values.

    Attributes:
        fields: The further fields of the assistant's message: `tool_calls` and so on.
        token_ids: The sampled token ids.
        finish: Why the sampling ended, one of `FINISHES`.
        token_logps: The sampler's log-probability of each token id in nats, and then that of the
            token that ended the completion if it ended by itself. They are those of the model
            itself, before `sampling` changes its distribution.
        sampling: How the tokens were drawn from the model's distribution, an object with the fields
            of `SAMPLING`.
    """

    fields: str
    token_ids: str
    finish: str
    token_logps: str
    sampling: str


SAMPLING = ("temperature", "top_p", "top_k")
"""The fields of a column that says how tokens were drawn; see `halo_core.sampling`."""

BESIDE: Mapping[str, Beside] = {
    "completion": Beside(
        "completion_fields",
        "completion_token_ids",
        "finish",
        "completion_token_logps",
        "completion_sampling",
    ),
    "chosen": Beside(
        "chosen_fields",
        "chosen_token_ids",
        "chosen_finish",
        "chosen_token_logps",
        "chosen_sampling",
    ),
    "rejected": Beside(
        "rejected_fields",
        "rejected_token_ids",
        "rejected_finish",
        "rejected_token_logps",
        "rejected_sampling",
    ),
    "completions": Beside(
        "completions_fields",
        "completions_token_ids",
        "finishes",
        "completions_token_logps",
        "completions_sampling",
    ),
}
"""The optional columns for each column of completions."""

SHARED: Mapping[str, str] = {"tools": "objects", "tokenizer": "string", "template": "string"}
"""Optional columns about a whole row: the tools that the prompt offers, and the digests of the
tokenizer and the template that its token ids were sampled with."""

FINISHES = ("stop", "length")
"""Reasons why a completion ended: by itself, or at the maximum length."""


def _optional(*completions: str) -> Mapping[str, str]:
    one = ("fields", "ids", "finish", "logps", "sampling")
    many = tuple(f"{kind} list" for kind in one)
    columns = dict(SHARED)
    for name in completions:
        kinds = many if name == "completions" else one
        columns |= dict(zip(BESIDE[name], kinds, strict=True))
    return columns


OPTIONAL_COLUMNS: Mapping[Feedback, Mapping[str, str]] = {
    "text": {},
    "prompts": {"tools": SHARED["tools"]},
    "demonstration": _optional("completion"),
    "binary": _optional("completion"),
    "paired": _optional("chosen", "rejected"),
    "scored": _optional("completions"),
}
"""The optional columns of a row of each kind. Null means absent."""


def accepts(wanted: Feedback, given: Feedback) -> bool:
    """Returns whether a loss on `wanted` feedback can use `given` feedback without conversion."""
    return given == wanted or (wanted == "demonstration" and given == "text")


def prompt_id(prompt: Prompt, tools: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Returns 16 hexadecimal digits that name a prompt by the whole content of its messages.

    Null values and the order of keys inside tools and calls do not matter.

    Args:
        prompt: The messages.
        tools: The tools that it offers.

    >>> prompt_id([{"role": "user", "content": "hi"}])
    '897be8e1f0370e7f'
    >>> prompt_id([{"role": "user", "content": "hi", "name": "Ana"}])
    '3822517401008fb0'
    """
    # Every `halo` command imports this module, and these two imports would cost milliseconds.
    import json

    from halo_core.hashing import short_hash

    if not tools and all(len(m) == 2 and type(m["content"]) is str for m in prompt):
        # Nearly all prompts are like this, and this way takes a third of the time of the other.
        quoted = json.encoder.encode_basestring
        turns = [f"[{quoted(m['role'])},{quoted(m['content'])}]" for m in prompt]
        return short_hash(f"[{','.join(turns)}]")
    # The id of a message without further fields, in a prompt without tools, has never changed.
    messages: list[Any] = []
    for message in prompt:
        further = further_fields(message)
        messages.append([message["role"], message["content"], *([further] if further else [])])
    content = {"prompt": messages, "tools": list(tools)} if tools else messages
    encoded = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return short_hash(encoded)


def further_fields(message: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a message's fields besides role and content, sorted by name, without nulls."""
    if len(message) == 2:  # This is true for nearly all messages.
        return {}
    return {
        name: message[name]
        for name in sorted(message)
        if name not in ("role", "content") and message[name] is not None
    }
