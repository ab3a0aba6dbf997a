"""A row of feedback as a prompt with answers, each desirable or not, or with a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from halo_core.completion import Completion, completion_in, scored_completions
from halo_core.feedback import Feedback
from halo_models.chat_encoder import ChatRow
from halo_models.conversation import Answer, Conversation

Unfinished = Literal["keep", "drop", "undesirable"]

AGAIN = "were sampled with another tokenizer or template, and are tokenised again"
UNFINISHED = "unfinished"
ALONE = "groups with less than two completions"
UNFINISHED_GROUPS = "groups with less than two finished completions"
LEFT_OUT = "unfinished completions of groups"


class Learned(NamedTuple):
    """A completion of a row.

    Attributes:
        column: Its column; for a group, with its place: ``completions[0]``.
        completion: The completion.
        desirable: Whether it is desirable.
        score: Its score; None unless the feedback is scored.
    """

    column: str
    completion: Completion
    desirable: bool
    score: float | None = None


@dataclass(frozen=True)
class FeedbackRow:
    """A row of feedback, ready for encoding.

    Attributes:
        id: Id of the row.
        chat: Prompt and answers of the row, the chosen answer first.
        learned: The completion of each answer.
        again: Number of answers with ids from another tokenizer or template.
        left_out: Number of completions of a group that are dropped as unfinished.
    """

    id: str
    chat: ChatRow
    learned: tuple[Learned, ...]
    again: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class RowReader:
    """Reads the rows of a set.

    Attributes:
        name: Name of the set, for messages.
        feedback: Kind of feedback of every row.
        tokenizer: Digest of the tokenizer.
        template: Digest of the template.
        unfinished: The treatment of an answer that was cut off when it was sampled.
    """

    name: str
    feedback: Feedback
    tokenizer: str
    template: str
    unfinished: Unfinished

    def read(self, row: Mapping[str, Any]) -> FeedbackRow | str:
        """Returns a row ready for encoding, or why it is dropped."""
        ours = row.get("tokenizer") == self.tokenizer and row.get("template") == self.template
        learned = row_completions(row, self.feedback)
        kept = [each for each in learned if _ended(each) or self.unfinished != "drop"]
        if self.feedback != "scored" and len(kept) < len(learned):
            return UNFINISHED
        if self.feedback == "scored" and len(kept) < 2:
            return ALONE if len(learned) < 2 else UNFINISHED_GROUPS
        if self.unfinished == "undesirable":
            kept = [each._replace(desirable=each.desirable and _ended(each)) for each in kept]
        conversation = Conversation(
            row["prompt"], row.get("tools") or None, f"{self.name}: row {row['id']}"
        )
        answers = tuple(_answer(each, ours=ours) for each in kept)
        return FeedbackRow(
            row["id"],
            ChatRow(row["prompt_id"], conversation, answers),
            tuple(kept),
            0 if ours else sum(each.completion.token_ids is not None for each in kept),
            len(learned) - len(kept),
        )


def row_completions(row: Mapping[str, Any], feedback: Feedback) -> Sequence[Learned]:
    """Returns the completions of a row."""
    if feedback == "scored":
        groups = zip(scored_completions(row), row["scores"], strict=True)
        return [
            Learned(f"completions[{i}]", said, True, score)
            for i, (said, score) in enumerate(groups)
        ]
    if feedback == "paired":
        return [
            Learned(column, completion_in(row, column), column == "chosen")
            for column in ("chosen", "rejected")
        ]
    good = row["desirable"] if feedback == "binary" else True
    return [Learned("completion", completion_in(row, "completion"), good)]


def _ended(learned: Learned) -> bool:
    return learned.completion.finish != "length"


def _answer(learned: Learned, *, ours: bool) -> Answer:
    completion = learned.completion
    return Answer(
        content=completion.text,
        fields=completion.fields or {},
        ended=_ended(learned),
        token_ids=completion.token_ids if ours else None,
    )
