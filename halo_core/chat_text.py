"""From chat messages to the text of a prompt, and from text to token ids.

A text is rendered by the Jinja chat template that the tokenizer holds, and is tokenised without
adding anything: the template says where a beginning-of-sequence token goes, so there is one or
none and never two. Strings that spell a control token in a user's text stay text: see `protect`.

It is here so that a judge reads a completion as training did; a tokenizer is one of transformers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from halo_core.feedback import Prompt

CUT = "\ufdd0"
"""A Unicode noncharacter, which no text holds: where it stands, a token ends."""


def render_prompt(tokenizer: Any, prompt: Prompt) -> str:
    """Returns the text of a prompt, up to where the assistant's answer begins."""
    messages = [{"role": m["role"], "content": m["content"]} for m in prompt]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def control_pattern(tokenizer: Any) -> re.Pattern[str]:
    """Returns a pattern of the strings that the tokenizer reads as control tokens.

    Added tokens of mere white space (GPT-NeoX has them) are ordinary text.
    """
    added = {*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens}
    names = sorted((n for n in added if len(n.strip()) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names)) or "(?!)")


def protect(text: str, control: re.Pattern[str]) -> str:
    """Returns a user's text with a `CUT` inside every string that spells a control token.

    The two halves are tokenised apart, so that the model reads the characters and no control
    token. Nothing else of the text's tokens changes.

    >>> protect("say <|user|> now", re.compile(re.escape("<|user|>"))).replace(CUT, "#")
    'say <|us#er|> now'
    """

    def halves(match: re.Match[str]) -> str:
        name = match.group()
        return name[: len(name) // 2] + CUT + name[len(name) // 2 :]

    return control.sub(halves, text.replace(CUT, ""))


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Returns the ids of each text, in one call of the tokenizer; nothing is added to them."""
    pieces = [text.split(CUT) for text in texts]
    flat = [piece for parts in pieces for piece in parts]
    if not flat:
        return []
    encoded = iter(tokenizer(flat, add_special_tokens=False, verbose=False)["input_ids"])
    return [[token for _ in parts for token in next(encoded)] for parts in pieces]


def completion_end_id(tokenizer: Any) -> int:
    """Returns the id of the token that ends a completion.

    It is what the chat template puts behind an assistant's message when that is a control token
    (Gemma ends turns with its own), else the tokenizer's end-of-sequence token.
    """
    import jinja2

    probe = "probe"
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": probe}]
    try:
        rendered: str = tokenizer.apply_chat_template(messages, tokenize=False)
    except jinja2.TemplateError:
        rendered = ""
    ids = token_ids(tokenizer, [rendered.rpartition(probe)[2]])[0]
    if ids and ids[0] in tokenizer.all_special_ids:
        return ids[0]
    return int(tokenizer.eos_token_id)
