"""Rows as a model sees them, for people: text, token ids, the trained part and the cut part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halo_core.rows import DataSet
from halo_core.token_view import CompletionView, Tokens, TokenView
from halo_models.chat_encoder import ChatEncoder, EncodedRow
from halo_models.chat_format import ChatFormat
from halo_models.conversation import TemplateMismatchError
from halo_models.digests import template_digest, tokenizer_digest
from halo_trainer.encode.chat_rows import AGAIN, UNFINISHED, FeedbackRow, RowReader, row_completions
from halo_trainer.encode.examples import Ids
from halo_trainer.encode.rows_to_tokens import EncodingOptions, encode_texts


def view_rows(
    data: DataSet, count: int, tokenizer: Any, options: EncodingOptions
) -> list[TokenView]:
    """Returns the first rows of a set, as training sees them.

    Args:
        data: Rows of any kind but `scored`.
        count: Largest number of rows.
        tokenizer: A tokenizer with the chat template.
        options: Options for converting rows to token ids.

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
    encoder = ChatEncoder(ChatFormat(tokenizer, options.chat), limit)
    views = []
    for row in rows:
        read = reader.read(row)
        if read is None:
            views.append(TokenView(row["id"], None, dropped=UNFINISHED))
            continue
        (encoded,) = encoder.rows([read.chat])
        if isinstance(encoded, TemplateMismatchError):
            views.append(TokenView(row["id"], None, dropped=encoded.reason))
        else:
            columns = [column for column, _ in row_completions(row, data.feedback)]
            views.append(_view(read, encoded, columns, tokenizer, options))
    return views


def _view(
    read: FeedbackRow,
    encoded: EncodedRow,
    columns: Sequence[str],
    tokenizer: Any,
    options: EncodingOptions,
) -> TokenView:
    suffixes = options.suffixes
    room = options.max_length - len(encoded.prompt_ids) - (suffixes is not None)
    prompts, completions = [], []
    for column, answer, desirable in zip(columns, encoded.answers, read.desirable, strict=True):
        prompts.append([*encoded.prompt_ids, *([suffixes[not desirable]] if suffixes else [])])
        remarks = sorted(answer.remarks) + ([AGAIN] if read.again else [])
        trained = tokens_of(tokenizer, answer.ids[:room])
        cut = max(0, len(answer.ids) - room)
        completions.append(CompletionView(column, trained, cut, desirable, remarks))
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


def tokens_of(tokenizer: Any, ids: Sequence[int] | Ids) -> Tokens:
    """Returns token ids with the text of each."""
    numbers = [int(i) for i in ids]
    pieces = [tokenizer.decode([i], skip_special_tokens=False) for i in numbers]
    text = tokenizer.decode(numbers, skip_special_tokens=False)
    return Tokens(text, numbers, pieces)
