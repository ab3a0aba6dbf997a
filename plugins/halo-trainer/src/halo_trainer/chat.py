"""Which chat template a tokenizer renders with."""

from __future__ import annotations

from typing import Any

from halo_core.chat_text import render_prompt
from halo_core.errors import ModelError

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
