"""Which chat template a tokenizer has, and the text that it writes of messages.

A template may ask for today's date. It gets the date of the option `template_date` instead, so that
the same rows give the same tokens on every day. A tokenizer is one of transformers.
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
"""The date that a template is told when the option `template_date` names none."""

_CLOCK = "strftime_now"
"""The function that templates ask for the date."""

_DIRECTIVES = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyYf"
"""The letters of strftime whose value a date decides, at midnight."""

_UNPADDED = "deHIjklmMSUVWyg"
"""Those whose numbers begin with no zero or space when a minus stands before the letter."""


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
    """Returns a date as it was given; None for none.

    Raises:
        ValueError: When it is not a date such as 2025-01-01.
    """
    if text is None:
        return None
    try:
        # Only this form: other ISO forms of one day would be other identities.
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no date; expected one such as {TEMPLATE_DATE}")


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
        tokenizer: With a chat template inside.
        messages: The conversation.
        tools: What the assistant may call, as JSON schemas; None for nothing.
        answer_follows: Whether the text ends where the assistant's answer begins.
        template_date: What the template is told when it asks for the date.

    Raises:
        Exception: One of `template_errors`, when the template refuses the messages.
    """
    source = template_source(tokenizer, tools)
    if _CLOCK in source:
        source = _with_fixed_clock(source, template_date)
    text: str = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        tools=None if tools is None else [dict(tool) for tool in tools],
        chat_template=source,
        tokenize=False,
        add_generation_prompt=answer_follows,
    )
    return text


def template_errors() -> tuple[type[Exception], ...]:
    """Returns what a template may raise: its own errors, and those of Python on what it does."""
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
    """Returns a template with a `strftime_now` of its own, which always gives the same date.

    transformers hands a template its own function, which reads the clock, and has no option to
    replace it. A macro of the same name at the beginning of the template stands before it.
    """
    values = _directives(template_date)
    any_format = "".join(f"|replace({_text(name)}, {_text(value)})" for name, value in values)
    # What the template asks for by name is looked up: to replace each directive takes longer than
    # to render the rest.
    known = {match[2] for match in re.finditer(rf"{_CLOCK}\(\s*(['\"])([^'\"\\]*)\1", source)}
    cases = "".join(
        f"{{%- if format == {_text(name)} -%}}{{{{- {_text(_formatted(name, values))} -}}}}"
        "{%- else -%}"
        for name in sorted(known)
    )
    # Only the marks of the macro take white space away, none of the template's own.
    return (
        f"{{%- macro {_CLOCK}(format) -%}}{cases}{{{{- format{any_format} -}}}}"
        f"{'{%- endif -%}' * len(known)}{{%- endmacro +%}}{source}"
    )


def _directives(template_date: str) -> list[tuple[str, str]]:
    """Returns what to replace in a format, in order, and by what."""
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
    """Returns what people are told of messages that a chat template cannot render."""
    roles = ", ".join(message["role"] for message in prompt)
    return f"the chat template refuses the prompt, whose roles are {roles}: {error}"


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
    """Returns a pattern of any of some strings, the longest that fits; of nothing for none.

    >>> alternatives(["<b>", "<a>", "<ab>", "<a"]).pattern
    '<(?:a(?:>|b>)?|b>)'
    """
    # Beginnings that strings share are looked at once: Gemma 3 has 6384 added tokens, most of which
    # begin with "<", and a text may be full of it.
    return re.compile(_branches(sorted({*strings} - {""})) or "(?!)")


def _branches(strings: Sequence[str]) -> str:
    """Returns the source of a pattern of any of some sorted strings."""
    parts = []
    for _, group in groupby(strings, key=lambda string: string[0]):
        alike = [*group]
        # Of sorted strings, all share what the first and the last do.
        pairs = zip(alike[0], alike[-1], strict=False)
        prefix = alike[0][: sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))]
        rest = [string[len(prefix) :] for string in alike if string != prefix]
        optional = "?" if len(rest) < len(alike) else ""
        parts.append(re.escape(prefix) + (f"(?:{_branches(rest)}){optional}" if rest else ""))
    return "|".join(parts)
