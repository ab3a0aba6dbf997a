"""Writes a prompt and an answer as text, for judges that do not read messages.

No part of a message is left out: the text has a section with the name of each field. Messages
without fields give the same text as before messages had fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_core.feedback import Message, Prompt, further_fields

_BEFORE = ("reasoning_content", "thinking", "reasoning")
"""Fields that a model writes before the content."""
_OF_TURN = ("name", "tool_call_id")
"""Fields that say who speaks, and what the message answers."""


def prompt_text(prompt: Prompt, tools: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Returns a prompt as text, with the roles if there is more than one message.

    >>> prompt_text([{"role": "user", "content": "Hi."}])
    'Hi.'
    >>> print(prompt_text([{"role": "user", "content": "Hi.", "name": "Ana"}], [{"name": "moo"}]))
    [tools]
    {"name": "moo"}
    <BLANKLINE>
    [user, name: Ana]
    Hi.

    Args:
        prompt: The messages.
        tools: The tools that it offers.
    """
    if len(prompt) == 1 and not tools and not further_fields(prompt[0]):
        return prompt[0]["content"]
    offered = ["[tools]\n" + "\n".join(map(_json, tools))] if tools else []
    return "\n\n".join([*offered, *map(_turn, prompt)])


def _turn(message: Message) -> str:
    fields = further_fields(message)
    head = [
        message["role"],
        *(f"{name}: {fields.pop(name)}" for name in _OF_TURN if name in fields),
    ]
    return f"[{', '.join(head)}]\n{answer_text(message['content'], fields)}"


def answer_text(content: str, fields: Mapping[str, Any] | None = None) -> str:
    """Returns an answer as text: thoughts, content and tool calls, each with its name.

    >>> answer_text("Moo.")
    'Moo.'
    >>> call = {"function": {"name": "moo", "arguments": {"times": 3}}}
    >>> print(answer_text("Listen.", {"thinking": "A cow?", "tool_calls": [call]}))
    [thinking]
    A cow?
    <BLANKLINE>
    [content]
    Listen.
    <BLANKLINE>
    [tool_calls]
    moo({"times": 3})

    Args:
        content: The answer's text.
        fields: Further fields of the answer's message.
    """
    return "\n\n".join(_parts(content, fields)) if fields else content


def _parts(content: str, fields: Mapping[str, Any]) -> Iterator[str]:
    for name in _BEFORE:
        if name in fields:
            yield _part(name, fields[name])
    if content:
        yield _part("content", content)
    for name, value in fields.items():
        if name not in _BEFORE:
            yield _part(name, value)


def _part(name: str, value: Any) -> str:
    if name == "tool_calls" and isinstance(value, list):
        return f"[{name}]\n" + "\n".join(map(_call, value))
    return f"[{name}]\n{value if isinstance(value, str) else _json(value)}"


def _call(call: Any) -> str:
    """Returns a call as a line of code after its id; calls of another form as JSON."""
    match call:
        case {"function": {"name": str(name), "arguments": arguments, **odd}, **rest} if not odd:
            named = f"{name}({arguments if isinstance(arguments, str) else _json(arguments)})"
        case {"function": {"name": str(name), **odd}, **rest} if not odd:
            named = f"{name}()"
        case _:
            return _json(call)
    if rest.pop("type", "function") != "function" or rest.keys() - {"id"}:
        return _json(call)
    return f"{rest['id']}: {named}" if "id" in rest else named


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
