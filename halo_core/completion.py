"""A completion in a row, with its optional columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_core.feedback import BESIDE, SHARED

_SPOKEN = ("tool_calls", "reasoning_content", "thinking")


@dataclass(frozen=True)
class Completion:
    """A completion with all information in its row.

    Attributes:
        text: The content of the assistant's message.
        fields: The message's further fields: `tool_calls`, `reasoning_content` and so on.
        token_ids: The token ids that were sampled.
        finish: Why the sampling ended: ``stop`` or ``length``.
        token_logps: The sampler's log-probability of each token id, nats. If the finish is
            ``stop``, one more for the token that ended the completion.
        sampling: How the tokens were drawn, with the fields of `halo_core.sampling.Sampling`.
    """

    text: str
    fields: Mapping[str, Any] | None = None
    token_ids: Sequence[int] | None = None
    finish: str | None = None
    token_logps: Sequence[float] | None = None
    sampling: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """The key that distinguishes completions of a prompt: the text, or text and fields."""
        if not self.fields:
            return self.text
        fields = json.dumps(self.fields, ensure_ascii=False, sort_keys=True)
        return f"{self.text}\x00{fields}"

    @property
    def is_empty(self) -> bool:
        """Whether it has no content: a blank text without thoughts or tool calls."""
        fields = self.fields or {}
        return not self.text.strip() and not any(fields.get(name) for name in _SPOKEN)

    def columns(self, name: str) -> dict[str, Any]:
        """Returns its columns in a row, without empty ones.

        Args:
            name: The column of the text: ``completion``, ``chosen`` or ``rejected``.

        >>> Completion("Moo.", finish="stop").columns("chosen")
        {'chosen': 'Moo.', 'chosen_finish': 'stop'}
        """
        values = (self.fields, self.token_ids, self.finish, self.token_logps, self.sampling)
        beside = zip(BESIDE[name], values, strict=True)
        return {name: self.text, **{key: value for key, value in beside if value is not None}}


def completion_in(row: Mapping[str, Any], name: str) -> Completion:
    """Returns a completion of a row.

    Args:
        row: A row with the column `name`, and perhaps its optional columns.
        name: The column ``completion``, ``chosen`` or ``rejected``.
    """
    if row.keys().isdisjoint(BESIDE[name]):
        return Completion(row[name])  # Most rows have none of these columns.
    return Completion(row[name], *(row.get(column) for column in BESIDE[name]))


def scored_completions(row: Mapping[str, Any]) -> list[Completion]:
    """Returns the completions in a row of scored feedback, in their order."""
    texts: Sequence[str] = row["completions"]
    beside = [row.get(name) or [None] * len(texts) for name in BESIDE["completions"]]
    return [Completion(text, *(of[i] for of in beside)) for i, text in enumerate(texts)]


def scored_columns(completions: Sequence[Completion]) -> dict[str, Any]:
    """Returns the columns for the completions in a row of scored feedback; see `Completion`."""
    names = BESIDE["completions"]
    columns: dict[str, Any] = {"completions": [each.text for each in completions]}
    beside: dict[str, list[Any]] = {
        names.fields: [each.fields for each in completions],
        names.token_ids: [each.token_ids for each in completions],
        names.finish: [each.finish for each in completions],
        names.token_logps: [each.token_logps for each in completions],
        names.sampling: [each.sampling for each in completions],
    }
    return columns | {
        name: values for name, values in beside.items() if any(v is not None for v in values)
    }


def completions_in(row: Mapping[str, Any]) -> Iterator[Completion]:
    """Yields all completions in a row of any kind of feedback."""
    for name in BESIDE:
        if name in row and name != "completions":
            yield completion_in(row, name)
    if "completions" in row:
        yield from scored_completions(row)


def shared_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the optional columns about a whole row: its tools and the digests of its ids."""
    return {name: row[name] for name in SHARED if row.get(name) is not None}
