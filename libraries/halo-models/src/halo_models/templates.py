"""The chat template of a tokenizer, and the text that it writes for messages.

A template may ask for today's date. It gets the date of the option `template_date` instead, so that
the same rows give the same tokens on every day. The tokenizers are those of transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from itertools import groupby, takewhile
from typing import Any

from halo_core.errors import ModelError
from halo_core.feedback import Prompt

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

TEMPLATE_DATE = "2025-01-01"
"""The date that a template gets if the option `template_date` is not set."""

_CLOCK = "strftime_now"
"""The function that templates call to get the date."""

_DIRECTIVES = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyYf"
"""The letters of strftime whose value a date at midnight determines."""

_UNPADDED = "deHIjklmMSUVWyg"
"""The letters whose numbers have no leading zero or space after a minus."""


def template_source(tokenizer: Any, tools: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Returns the Jinja source with which a tokenizer renders messages."""
    source: str = tokenizer.get_chat_template(None, tools)
    return source


def asks_for_date(tokenizer: Any) -> bool:
    """Returns whether the chat template asks for today's date."""
    template = tokenizer.chat_template
    sources = template.values() if isinstance(template, dict) else [template or ""]
    return any(_CLOCK in source for source in sources)


def date_or_none(text: str | None) -> str | None:
    """Returns a valid date unchanged, or None for None.

    Raises:
        ValueError: When it is not a date such as 2025-01-01.
    """
    if text is None:
        return None
    try:
        # Only this form: another ISO form of the same day would give another identity.
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not a date; expected one such as {TEMPLATE_DATE}")


def render(
    tokenizer: Any,
    messages: Prompt,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    answer_follows: bool,
    template_date: str = TEMPLATE_DATE,
) -> str:
    """Returns the text that the chat template writes.

    Args:
        tokenizer: A tokenizer with a chat template.
        messages: The conversation.
        tools: JSON schemas of the functions that the assistant may call; None if there are none.
        answer_follows: Whether the text ends where the assistant's answer begins.
        template_date: The date that the template gets when it asks for one.

    Raises:
        Exception: When the template refuses the messages.
    """
    source = source_to_render(tokenizer, tools, template_date)
    text: str = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        tools=None if tools is None else [dict(tool) for tool in tools],
        chat_template=source,
        tokenize=False,
        add_generation_prompt=answer_follows,
    )
    return text


def source_to_render(
    tokenizer: Any, tools: Sequence[Mapping[str, Any]] | None, template_date: str
) -> str:
    """Returns the Jinja source that `render` uses: the tokenizer's own, with a fixed date."""
    source = template_source(tokenizer, tools)
    return _with_fixed_clock(source, template_date) if _CLOCK in source else source


def template_errors() -> tuple[type[Exception], ...]:
    """Returns the errors that a template may raise: its own, and Python's."""
    # Every `halo` command imports this module, and jinja2 costs it milliseconds.
    import jinja2

    return (
        jinja2.TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    )


@cache
def _with_fixed_clock(source: str, template_date: str) -> str:
    """Returns a template with its own `strftime_now`, which always gives the same date.

    transformers passes its own function to a template. That function reads the clock and cannot be
    replaced with an option. A macro of the same name at the beginning of the template hides it.
    """
    values = _directives(template_date)
    any_format = "".join(f"|replace({_text(name)}, {_text(value)})" for name, value in values)
    # Formats that the template contains as literals are looked up: replacing each directive takes
    # longer than rendering the rest.
    known = {match[2] for match in re.finditer(rf"{_CLOCK}\(\s*(['\"])([^'\"\\]*)\1", source)}
    cases = "".join(
        f"{{%- if format == {_text(name)} -%}}{{{{- {_text(_formatted(name, values))} -}}}}"
        "{%- else -%}"
        for name in sorted(known)
    )
    # Only the tags of the macro strip white space, and none that belongs to the template.
    return (
        f"{{%- macro {_CLOCK}(format) -%}}{cases}{{{{- format{any_format} -}}}}"
        f"{'{%- endif -%}' * len(known)}{{%- endmacro +%}}{source}"
    )


def _directives(template_date: str) -> list[tuple[str, str]]:
    """Returns the replacements for a format, in order."""
    midnight = datetime.fromisoformat(template_date)
    values = {f"%{letter}": midnight.strftime(f"%{letter}") for letter in _DIRECTIVES}
    values |= {f"%-{letter}": values[f"%{letter}"] for letter in _DIRECTIVES if letter != "f"}
    values |= {f"%-{letter}": values[f"%{letter}"].lstrip("0 ") or "0" for letter in _UNPADDED}
    # "%%d" is a percent sign and a letter: it is set aside while the directives are replaced.
    values = {"%%": "\ufdd1", **values, "%z": "", "%Z": "", "\ufdd1": "%"}
    return list(values.items())


def _formatted(text: str, values: Sequence[tuple[str, str]]) -> str:
    for name, value in values:
        text = text.replace(name, value)
    return text


def _text(text: str) -> str:
    """Returns a text as Jinja source."""
    return json.dumps(text, ensure_ascii=False)


def refusal(prompt: Prompt, error: Exception) -> str:
    """Returns a message for people about messages that a chat template cannot render."""
    roles = ", ".join(message["role"] for message in prompt)
    return f"the chat template refuses the prompt, whose roles are {roles}: {error}"


def use_template(tokenizer: Any, template: str | None) -> None:
    """Puts a chat template into a tokenizer, which keeps it from then on.

    Args:
        tokenizer: A transformers tokenizer.
        template: Jinja source, or ``"tulu"`` for `TULU_2`. None means the tokenizer's own template,
            or `TULU_2` if it has none. A template that is not the tokenizer's own gets the
            beginning-of-sequence token in front if the tokenizer puts one before every text.

    Raises:
        ModelError: When the template cannot be compiled or cannot render a user's message.
    """
    own = template is None and bool(tokenizer.chat_template)
    if not own:
        source = TULU_2 if template in (None, "tulu") else template
        tokenizer.chat_template = source
    # Rendered once here, so that a broken template is reported before any row is encoded.
    rendered = _probe(tokenizer)
    if not own and adds_bos(tokenizer) and not rendered.startswith(tokenizer.bos_token):
        tokenizer.chat_template = "{{- bos_token -}}" + tokenizer.chat_template


def _probe(tokenizer: Any) -> str:
    try:
        rendered = render(tokenizer, [{"role": "user", "content": "probe"}], answer_follows=True)
    except template_errors() as error:
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


def adds_bos(tokenizer: Any) -> bool:
    """Returns whether the tokenizer puts a beginning-of-sequence token before every text."""
    ids = tokenizer("x")["input_ids"]
    return tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id]


def alternatives(strings: Sequence[str]) -> re.Pattern[str]:
    """Returns a pattern that matches any of some strings, longest first; nothing for no strings.

    >>> alternatives(["<b>", "<a>", "<ab>", "<a"]).pattern
    '<(?:a(?:>|b>)?|b>)'
    """
    # Shared beginnings are matched once: Gemma 3 has 6384 added tokens, most of which begin with
    # "<", and a text may contain many of these.
    return re.compile(_branches(sorted({*strings} - {""})) or "(?!)")


def _branches(strings: Sequence[str]) -> str:
    """Returns the source of a pattern of any of some sorted strings."""
    parts = []
    for _, group in groupby(strings, key=lambda string: string[0]):
        alike = [*group]
        # The strings are sorted, so all share the common beginning of the first and the last.
        pairs = zip(alike[0], alike[-1], strict=False)
        prefix = alike[0][: sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))]
        rest = [string[len(prefix) :] for string in alike if string != prefix]
        optional = "?" if len(rest) < len(alike) else ""
        parts.append(re.escape(prefix) + (f"(?:{_branches(rest)}){optional}" if rest else ""))
    return "|".join(parts)
