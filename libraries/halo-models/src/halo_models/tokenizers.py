"""From chat messages to the text of a prompt, from text to token ids, and which template is used.

A text is rendered by the Jinja chat template that the tokenizer holds, and is tokenised without
adding anything: the template says where a beginning-of-sequence token goes, so there is one or
none and never two. Strings that spell a control token in a user's text stay text: see `protect`.

A judge reads a completion as training did, for both do it here. A tokenizer is one of transformers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from halo_core.errors import ModelError
from halo_core.feedback import Message, Prompt

TULU_2 = (
    "{%- for message in messages -%}"
    "{%- if message.role not in ['system', 'user', 'assistant'] -%}"
    "{{- raise_exception('no role ' + message.role) -}}"
    "{%- endif -%}"
    "{{- '<|' + message.role + '|>\n' + message.content -}}"
    "{%- if message.role == 'assistant' -%}{{- eos_token -}}{%- endif -%}"
    "{%- if message.role != 'assistant' or not loop.last -%}{{- '\n' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- endif -%}"
)
"""The format of the report: TULU 2 (Ivison et al. 2023, Camels in a Changing Climate)."""

CUT = "\ufdd0"
"""A Unicode noncharacter, which no text holds: where it stands, a token ends."""


def render_prompt(tokenizer: Any, prompt: Prompt) -> str:
    """Returns the text of a prompt, up to where the assistant's answer begins."""
    messages = [{"role": m["role"], "content": m["content"]} for m in prompt]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def refusal(prompt: Prompt, error: Exception) -> str:
    """Returns what people are told of a prompt that a chat template cannot render."""
    roles = ", ".join(message["role"] for message in prompt)
    return f"the chat template refuses the prompt, whose roles are {roles}: {error}"


def control_pattern(tokenizer: Any) -> re.Pattern[str]:
    """Returns a pattern of the strings that the tokenizer reads as control tokens.

    Added tokens of mere white space (GPT-NeoX has them) are ordinary text.
    """
    added = {*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens}
    # The longest first, since one token may begin with another and the first that fits is taken.
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


def protected(prompt: Prompt, control: re.Pattern[str]) -> list[Message]:
    """Returns messages whose contents are protected: see `protect`."""
    return [{"role": m["role"], "content": protect(m["content"], control)} for m in prompt]


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


def end_ids(tokenizer: Any, model: Any) -> list[int]:
    """Returns the ids of all tokens at which sampling stops, the trained one first."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    known = configured if isinstance(configured, list) else [configured]
    ids = [completion_end_id(tokenizer), tokenizer.eos_token_id, *known]
    return list(dict.fromkeys(int(i) for i in ids if i is not None))


def use_template(tokenizer: Any, template: str | None) -> None:
    """Puts a chat template into a tokenizer, which carries it from then on.

    Args:
        tokenizer: A transformers tokenizer.
        template: Jinja source; ``"tulu"`` for `TULU_2`; None for the tokenizer's own, or
            `TULU_2` where it has none. A template that is not the tokenizer's own gets the
            beginning-of-sequence token in front if the tokenizer puts one before every text.

    Raises:
        ModelError: When the template cannot be compiled or cannot render a user's message.
    """
    own = template is None and bool(tokenizer.chat_template)
    if not own:
        source = TULU_2 if template in (None, "tulu") else template
        tokenizer.chat_template = source
    # Rendered once here, so that a template that cannot work is told before any row is encoded.
    rendered = _probe(tokenizer)
    if not own and _adds_bos(tokenizer) and not rendered.startswith(tokenizer.bos_token):
        tokenizer.chat_template = "{{- bos_token -}}" + tokenizer.chat_template


def _probe(tokenizer: Any) -> str:
    import jinja2

    try:
        rendered = render_prompt(tokenizer, [{"role": "user", "content": "probe"}])
    except (jinja2.TemplateError, ValueError, TypeError) as error:
        raise ModelError(
            f"the chat template cannot render a user's message: {type(error).__name__}: {error}. "
            "Expected a Jinja template over `messages` and `add_generation_prompt`, or 'tulu'",
            location="template",
        ) from error
    if "probe" not in rendered:
        raise ModelError(
            f"the chat template renders a user's message as {rendered[:60]!r}, without its "
            "content. Expected a Jinja template over `messages`, or 'tulu'",
            location="template",
        )
    return rendered


def _adds_bos(tokenizer: Any) -> bool:
    ids = tokenizer("x")["input_ids"]
    return tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id]
