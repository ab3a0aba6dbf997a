"""Judges that decide by something else than the texts, and so break the rule `breaks`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, TextIO

from pydantic import Field

from halo_core import Answer, Comparison, Judge, JudgeContext, Score, ScoringJudge, Verdict


class CountsAWord(Judge):
    """Prefers the text with more of a word, and keeps the rules."""

    breaks: ClassVar[str] = ""
    word: str = Field(default="please", min_length=1, description="The word.")

    def open(self, context: JudgeContext) -> AbstractContextManager[Any]:
        return nullcontext(_Verdicts(self))

    def verdict(self, asked: Comparison) -> Verdict:
        a, b = asked.a.count(self.word), asked.b.count(self.word)
        winner = "tie" if a == b else "A" if a > b else "B"
        return Verdict(asked.id, winner)  # type: ignore[arg-type]


class _Verdicts:
    def __init__(self, judge: CountsAWord) -> None:
        self.judge = judge

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        yield from map(self.judge.verdict, comparisons)


class KeepsLines(CountsAWord):
    """Keeps its verdicts in a file of lines, also after a kill, and keeps the rules."""

    def open(self, context: JudgeContext) -> AbstractContextManager[Any]:
        file = context.folder / "kept.jsonl"
        kept = file.read_text("utf-8").splitlines(keepends=True) if file.exists() else []
        return self.keeping(file, dict(json.loads(line) for line in self.whole(kept)))

    def whole(self, lines: Sequence[str]) -> Sequence[str]:
        return [line for line in lines if line.endswith("\n")]

    @contextmanager
    def keeping(self, file: Path, kept: dict[str, Any]) -> Iterator[Any]:
        known = "".join(json.dumps([*each]) + "\n" for each in kept.items())
        file.write_text(known, "utf-8")
        with file.open("a", encoding="utf-8") as lines:
            yield _Kept(self, kept, lines)


class _Kept:
    def __init__(self, judge: CountsAWord, kept: dict[str, Any], lines: TextIO) -> None:
        self.judge, self.kept, self.lines = judge, kept, lines

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        for asked in comparisons:
            key = json.dumps([asked.prompt, asked.a, asked.b])
            if key not in self.kept:
                self.kept[key] = self.judge.verdict(asked).winner
                self.lines.write(json.dumps([key, self.kept[key]]) + "\n")
            yield Verdict(asked.id, self.kept[key])


class KeepsHalfALine(KeepsLines):
    """Reads a line of its file although a kill has cut it."""

    breaks = "same-again"

    def whole(self, lines: Sequence[str]) -> Sequence[str]:
        return lines


class TheFirstOne(CountsAWord):
    """Prefers what comes first."""

    breaks = "by-the-texts"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id, "A")


class ReadsTheCalls(CountsAWord):
    """Reads tool calls without saying so."""

    breaks = "by-the-texts"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id, "A") if asked.a_fields else super().verdict(asked)


class SmallIdsBack(CountsAWord):
    """Writes ids in small letters."""

    breaks = "verdicts"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id.lower(), super().verdict(asked).winner)


class StripsIds(CountsAWord):
    """Takes blanks from ids."""

    breaks = "verdicts"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id.strip(), super().verdict(asked).winner)


class PrefersTheOther(CountsAWord):
    """Gives the probability of the other text."""

    breaks = "verdicts"

    def verdict(self, asked: Comparison) -> Verdict:
        winner = super().verdict(asked).winner
        share = {"A": 0.1, "B": 0.9}.get(winner or "", 0.5)
        return Verdict(asked.id, winner, preference=share)


class FailsForTheWord(CountsAWord):
    """Has a mistake that only its own word shows."""

    breaks = "verdicts"

    def verdict(self, asked: Comparison) -> Verdict:
        found = super().verdict(asked)
        return found if found.winner == "tie" else Verdict(asked.id, found.winner, preference=3.0)


class CountsWords(ScoringJudge):
    """Scores a text by its words, and keeps the rules."""

    breaks: ClassVar[str] = ""

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[Any]:
        return nullcontext(_Scores(self))

    def value(self, answer: Answer, known: dict[str, float]) -> Any:
        return float(len(answer.completion.split()))


class _Scores:
    def __init__(self, judge: CountsWords) -> None:
        self.judge, self.known = judge, dict[str, float]()

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        for answer in answers:
            yield Score(answer.id, self.judge.value(answer, self.known))


class OneScorePerPrompt(CountsWords):
    """Keeps its scores by the prompt."""

    breaks = "scores"

    def value(self, answer: Answer, known: dict[str, float]) -> Any:
        return known.setdefault(str(answer.prompt), super().value(answer, known))


class CountsTools(CountsWords):
    """Reads the tools without saying so."""

    breaks = "by-the-texts"

    def value(self, answer: Answer, known: dict[str, float]) -> Any:
        return super().value(answer, known) + len(answer.tools or ())


class TrueForJson(CountsWords):
    """Gives a truth where a score is expected, for JSON only."""

    breaks = "scores"

    def value(self, answer: Answer, known: dict[str, float]) -> Any:
        return answer.completion.startswith("{") or super().value(answer, known)
