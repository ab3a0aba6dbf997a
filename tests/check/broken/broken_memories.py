"""Judges that break the rule `breaks` with long texts, known ids, several turns or a server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from pydantic import Field

from halo_core import Answer, Comparison, Judge, JudgeContext, Score, ScoringJudge, Verdict


class EchoesTheQuestion(Judge):
    """Prefers the text with more words of the last question, and keeps the rules."""

    breaks: ClassVar[str]
    known: ClassVar[dict[str, Any]] = {}
    lead: int = Field(default=1, ge=1, le=9, description="Smallest lead in words.")

    def open(self, context: JudgeContext) -> AbstractContextManager[Any]:
        return nullcontext(self)

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        yield from map(self.verdict, comparisons)

    def verdict(self, asked: Comparison) -> Verdict:
        words = set(self.question(asked).lower().split())
        a, b = (len(words & set(self.read(text).lower().split())) for text in (asked.a, asked.b))
        winner = "tie" if abs(a - b) < self.lead else "A" if a > b else "B"
        return Verdict(asked.id, winner)  # type: ignore[arg-type]

    def question(self, asked: Comparison) -> str:
        return asked.prompt[-1]["content"]

    def read(self, text: str) -> str:
        return text


class ReadsTheBeginning(EchoesTheQuestion):
    """Reads a part of each text."""

    breaks = "long-texts"

    def read(self, text: str) -> str:
        return text[:500]


class KeepsByTheId(EchoesTheQuestion):
    """Keeps verdicts of all stages by their ids."""

    breaks = "other-texts"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id, self.known.setdefault(asked.id, super().verdict(asked).winner))


class ReadsTheFirstTurn(EchoesTheQuestion):
    """Takes the first message for the question."""

    breaks = "other-texts"

    def question(self, asked: Comparison) -> str:
        return asked.prompt[0]["content"]


class NeedsAQuestion(EchoesTheQuestion):
    """Divides by the number of words of the question."""

    breaks = "verdicts"

    def question(self, asked: Comparison) -> str:
        text = super().question(asked)
        assert any(map(str.isalpha, text))
        return text


class TiesWithoutItsServer(EchoesTheQuestion):
    """Calls a comparison a tie if its server is away."""

    breaks = "verdicts"

    def verdict(self, asked: Comparison) -> Verdict:
        try:
            socket.create_connection(("127.0.0.1", 9), timeout=0.1).close()
        except OSError:
            return Verdict(asked.id, "tie")
        return super().verdict(asked)


class LeavesAThreadOfASession(EchoesTheQuestion):
    """Starts a thread that still runs after the session."""

    breaks = "same-again"

    def open(self, context: JudgeContext) -> AbstractContextManager[Any]:
        threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
        return super().open(context)


class Letters(ScoringJudge):
    """Scores a text by its letters, and keeps the rules."""

    breaks: ClassVar[str]

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[Any]:
        return nullcontext(self)

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        for answer in answers:
            yield Score(answer.id, self.value(answer))

    def value(self, answer: Answer) -> float:
        return len(answer.completion)  # A whole number is a score, too.


class CutsAndSaysNothing(Letters):
    """Counts the letters "o" of the beginning only."""

    breaks = "long-texts"

    def value(self, answer: Answer) -> float:
        return answer.completion[:2000].count("o")


class ScoresThePrompt(Letters):
    """Takes the wrong text."""

    breaks = "scores"

    def value(self, answer: Answer) -> float:
        return len(answer.prompt[-1]["content"])


class NeedsALargeLead(Letters):
    """Asks for a difference that no texts have."""

    breaks = "scores"

    def tie_below(self) -> float:
        return 1e6


class AddsTooMuch(Letters):
    """Adds a number that is so large that the rest is lost, to all but short texts."""

    advised: ClassVar = "scores"

    def value(self, answer: Answer) -> float:
        return 1e18 + len(answer.completion) / 1e6 if len(answer.completion) > 9 else 0.0
