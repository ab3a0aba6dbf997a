"""The added tokens that a chat template writes around turns, and those that may occur in a text.

There are three kinds of added tokens. *Special* tokens control a model. *Turn marks* begin or end a
turn in this template. They control the model too, even if they are not marked special. All others,
such as ``<think>`` or ``<tool_call>``, are the model's own words, and stay tokens in a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halo_core.errors import UserError
from halo_core.feedback import Message
from halo_models.templates import alternatives, render, template_errors


@dataclass(frozen=True)
class TurnMarks:
    """A tokenizer's added tokens, as a chat template uses them.

    Attributes:
        around: Tokens that begin or end a turn.
        ends: Tokens that end the last answer of a conversation, from the nearest on.
    """

    around: frozenset[str] = frozenset()
    ends: tuple[str, ...] = ()


def added_tokens(tokenizer: Any) -> list[str]:
    """Returns the strings of all added tokens that a text may spell.

    Added tokens of only white space (GPT-NeoX has them) are ordinary text.
    """
    added = {*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens}
    return sorted(string for string in added if len(string.strip()) > 1)


def special_tokens(tokenizer: Any) -> set[str]:
    """Returns the added tokens that are marked special, by name or in the tokenizer's own file."""
    decoder = tokenizer.added_tokens_decoder.values()
    return {*tokenizer.all_special_tokens, *(str(token) for token in decoder if token.special)}


def protected_tokens(tokenizer: Any, marks: TurnMarks, content_tokens: Sequence[str]) -> list[str]:
    """Returns the added tokens that stay letters if content spells them.

    Args:
        tokenizer: A transformers tokenizer.
        marks: The turn marks of its template.
        content_tokens: Tokens that may occur in content, or, with a ``-`` in front, may not.

    Raises:
        UserError: When a content token is not an added token, or ends answers.
    """
    added = added_tokens(tokenizer)
    protected = (special_tokens(tokenizer) | marks.around) & set(added)
    for entry in content_tokens:
        # A token may itself begin with a minus.
        removed = entry.startswith("-") and entry not in added
        token = entry[1:] if removed else entry
        if token not in added:
            raise UserError(
                f"{token!r} is not an added token of the tokenizer; expected one of "
                f"{', '.join(added[:20])}",
                location="content_tokens",
            )
        if not removed and token in (marks.ends or (tokenizer.eos_token,)):
            raise UserError(
                f"{token!r} ends answers in the chat template, so an answer that contains it would "
                "end there. Remove it from the list; if the rows already contain the template's "
                "marks, set pretemplated: true",
                location="content_tokens",
            )
        protected = protected | {token} if removed else protected - {token}
    return sorted(protected)


def turn_marks(tokenizer: Any, template_date: str) -> TurnMarks:
    """Returns what a template writes around turns, found by rendering questions and answers.

    At the beginning of a turn, a template may also write thoughts or marks of the content. Before
    the first turn it may write an instruction that mentions such marks. So these count: the first
    mark of a turn's beginning, and all marks between an answer and the next question.
    """
    pattern = alternatives(added_tokens(tokenizer))

    def between(*roles: str) -> list[list[str]] | None:
        texts = _between(tokenizer, template_date, roles)
        return None if texts is None else [pattern.findall(text) for text in texts]

    rounds = between("user", "assistant", "user", "assistant")
    single = between("user", "assistant") or (between("system", "user", "assistant") or [])[1:]
    if not (rounds or single):
        return TurnMarks()
    before_question, before_answer, after_answer = (rounds or single)[-3:]
    question_ends = (between("user") or [[]])[-1]
    known = {*after_answer, *question_ends, *(before_question if rounds else before_question[-1:])}
    behind = {*after_answer, *question_ends, tokenizer.bos_token, tokenizer.eos_token}
    begins = [before_answer]
    for role in ("system", "developer"):
        first, second = (between(role, "user", "assistant") or [[], []])[:2]
        begins.append(first)
        known.update(second[:1])
    # The mark that ends a tool's turn cannot be distinguished from a mark around its result.
    for tokens in (between("user", "assistant", "tool", "assistant") or [])[2:3]:
        begins.append(tokens)
        known.update(tokens[:1])
    known.update(token for tokens in begins for token in _first(tokens, behind))
    return TurnMarks(frozenset(known), tuple(dict.fromkeys(after_answer)))


def _first(tokens: Sequence[str], but: set[str]) -> list[str]:
    return [token for token in tokens if token not in but][:1]


def _between(tokenizer: Any, template_date: str, roles: Sequence[str]) -> list[str] | None:
    """Returns the text before, between and after some turns, or None if a turn is not written."""
    contents = [f"the {number} turn" for number in ("first", "second", "third", "fourth")]
    messages: list[Message] = [
        {"role": role, "content": content} for role, content in zip(roles, contents, strict=False)
    ]
    try:
        rest = render(tokenizer, messages, answer_follows=False, template_date=template_date)
    except template_errors():
        return None
    texts = []
    for content in contents[: len(roles)]:
        before, found, rest = rest.partition(content)
        if not found:
            return None
        texts.append(before)
    return [*texts, rest]
