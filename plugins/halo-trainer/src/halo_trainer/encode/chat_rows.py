"""A row of feedback as a prompt with answers, each desirable or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from halo_core.feedback import BESIDE, Feedback
from halo_models.chat_encoder import ChatRow
from halo_models.conversation import Answer, Conversation

Unfinished = Literal["keep", "drop", "undesirable"]

AGAIN = "were sampled with another tokenizer or template, and are tokenised again"
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class FeedbackRow:
    """A row of feedback, ready for encoding.

    Attributes:
        id: Id of the row.
        chat: Prompt and answers of the row, the chosen answer first.
        desirable: Whether each answer is desirable.
        again: Number of answers with ids from another tokenizer or template.
    """

    id: str
    chat: ChatRow
    desirable: tuple[bool, ...]
    again: int = 0


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

    def read(self, row: Mapping[str, Any]) -> FeedbackRow | None:
        """Returns a row ready for encoding, or None if it is dropped as unfinished."""
        ours = row.get("tokenizer") == self.tokenizer and row.get("template") == self.template
        answers, desirable, again = [], [], 0
        for column, good in row_completions(row, self.feedback):
            answer = _answer(row, column)
            if answer.token_ids is not None and not ours:
                answer = replace(answer, token_ids=None)
                again += 1
            if not answer.ended and self.unfinished == "drop":
                return None
            answers.append(answer)
            desirable.append(good and (answer.ended or self.unfinished != "undesirable"))
        conversation = Conversation(
            row["prompt"], row.get("tools") or None, f"{self.name}: row {row['id']}"
        )
        chat = ChatRow(row["prompt_id"], conversation, tuple(answers))
        return FeedbackRow(row["id"], chat, tuple(desirable), again)


def row_completions(row: Mapping[str, Any], feedback: Feedback) -> list[tuple[str, bool]]:
    """Returns the columns with a row's completions, and whether each is desirable."""
    if feedback == "paired":
        return [("chosen", True), ("rejected", False)]
    return [("completion", row["desirable"] if feedback == "binary" else True)]


def _answer(row: Mapping[str, Any], column: str) -> Answer:
    beside = BESIDE[column]
    return Answer(
        content=row[column],
        fields=row.get(beside.fields) or {},
        ended=row.get(beside.finish) != "length",
        token_ids=row.get(beside.token_ids),
    )
