"""Rows as a model sees them, for people: text, token ids, the trained part and the cut part."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from halo_core.rows import DataSet
from halo_core.token_view import CompletionView, Removed, Tokens, TokenView
from halo_models.chat_encoder import ChatEncoder, EncodedRow
from halo_models.chat_format import ChatFormat
from halo_models.conversation import TemplateMismatchError
from halo_models.digests import template_digest, tokenizer_digest
from halo_trainer.encode.chat_rows import AGAIN, FeedbackRow, RowReader
from halo_trainer.encode.examples import Ids
from halo_trainer.encode.rows_to_tokens import EncodingOptions, encode_texts
from halo_trainer.encode.sampler_logps import ACCIDENTS, usable_logps


def view_rows(
    data: DataSet, count: int, tokenizer: Any, options: EncodingOptions, template: str
) -> list[TokenView]:
    """Returns the first rows of a set, as training sees them.

    Args:
        data: Rows of any kind but `prompts`.
        count: Largest number of rows.
        tokenizer: A tokenizer with the chat template.
        options: Options for converting rows to token ids.
        template: The origin of the chat template, for people.

    Raises:
        DataError: When a row cannot be written, unless such rows are dropped.
    """
    rows = [data[i] for i in range(min(count, len(data)))]
    if data.feedback == "text":
        return [_view_text(row, tokenizer, options) for row in rows]
    reader = RowReader(
        data.name,
        data.feedback,
        tokenizer_digest(tokenizer),
        template_digest(tokenizer, options.chat),
        options.unfinished,
    )
    limit = options.max_prompt_length - (options.suffixes is not None)
    form = ChatFormat(tokenizer, options.chat)
    encoder, uncut = ChatEncoder(form, limit), ChatEncoder(form, sys.maxsize)
    views = []
    for row in rows:
        read = reader.read(row)
        if isinstance(read, str):
            views.append(TokenView(row["id"], None, dropped=read))
            continue
        (encoded,) = encoder.rows([read.chat])
        if isinstance(encoded, TemplateMismatchError):
            views.append(TokenView(row["id"], None, dropped=encoded.reason))
        else:
            view = _view(read, encoded, tokenizer, options)
            if encoded.truncated:
                (whole,) = uncut.rows([read.chat])
                if isinstance(whole, EncodedRow):
                    removed = removed_between(tokenizer, encoded.prompt_ids, whole.prompt_ids)
                    view = replace(view, removed=removed)
            views.append(view)
    return [replace(view, template=template) for view in views]


def _view(
    read: FeedbackRow,
    encoded: EncodedRow,
    tokenizer: Any,
    options: EncodingOptions,
) -> TokenView:
    suffixes = options.suffixes
    room = options.max_length - len(encoded.prompt_ids) - (suffixes is not None)
    prompts, completions = [], []
    for learned, answer, said in zip(read.learned, encoded.answers, read.chat.answers, strict=True):
        suffix = [suffixes[not learned.desirable]] if suffixes else []
        prompts.append([*encoded.prompt_ids, *suffix])
        remarks = sorted(answer.remarks) + ([AGAIN] if read.again else [])
        same_ids = said.token_ids is not None
        _, reason = usable_logps(learned.completion, same_ids=same_ids, result=answer)
        if options.needs_logps and reason in ACCIDENTS:
            remarks.append(f"are left out, because they {reason}")
        trained = tokens_of(tokenizer, answer.ids[:room])
        cut = answer.ids[room:] if len(answer.ids) > room else []
        text = tokenizer.decode(cut, skip_special_tokens=False) if cut else ""
        completions.append(
            CompletionView(
                learned.column, trained, len(cut), learned.desirable, remarks, text, learned.score
            )
        )
    return TokenView(
        read.id, tokens_of(tokenizer, prompts[0]), encoded.truncated, tuple(completions)
    )


def _view_text(row: Mapping[str, Any], tokenizer: Any, options: EncodingOptions) -> TokenView:
    (whole,) = encode_texts(tokenizer, [row["text"]])
    # A long text is cut into pieces. Only the first is shown.
    prompt, trained = whole[:1], whole[1 : options.max_length]
    rest = len(whole) - 1 - len(trained)
    remarks = [f"are cut into pieces; {rest} more tokens are in later ones"] if rest else []
    completion = CompletionView("text", tokens_of(tokenizer, trained), 0, True, remarks)
    return TokenView(row["id"], tokens_of(tokenizer, prompt), False, (completion,))


def removed_between(tokenizer: Any, cut: Sequence[int], whole: Sequence[int]) -> Removed:
    """Returns the text of a whole prompt that a cut one lacks.

    A cut removes whole turns and the beginning of the last question, so it is one piece between
    what both prompts begin with and what both end with.

    Args:
        tokenizer: The tokenizer.
        cut: The token ids of the cut prompt.
        whole: The token ids of the prompt before it was cut.
    """
    short, long = (tokenizer.decode([*ids], skip_special_tokens=False) for ids in (cut, whole))
    before = _shared(short, long)
    after = _shared(short[before:][::-1], long[before:][::-1])
    return Removed(before, long[before : len(long) - after])


def _shared(one: str, other: str) -> int:
    """Returns the number of characters at the start of two texts that are equal."""
    equal = (a == b for a, b in zip(one, other, strict=False))
    return sum(takewhile(bool, equal))


def tokens_of(tokenizer: Any, ids: Sequence[int] | Ids) -> Tokens:
    """Returns token ids with the text of each."""
    numbers = [int(i) for i in ids]
    pieces = [tokenizer.decode([i], skip_special_tokens=False) for i in numbers]
    text = tokenizer.decode(numbers, skip_special_tokens=False)
    return Tokens(text, numbers, pieces)
