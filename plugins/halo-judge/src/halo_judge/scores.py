"""Asks a judge for scores, and the file `scores.jsonl` where they are kept as they come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from halo_core.errors import HaloError, PluginError
from halo_core.redact import redact
from halo_core.scoring import Answer, Score, ScoringSession, checked_score
from halo_core.workspace.files import write_text
from halo_judge.asking import REASON_LENGTH


class ScoreRecord(TypedDict):
    """A line of `scores.jsonl`; its score is null where the judge failed."""

    id: str
    completion: str
    score: float | None
    reason: str
    cut: bool


def ask_scores(session: ScoringSession, answers: Sequence[Answer], name: str) -> Iterator[Score]:
    """Yields exactly one score per answer, as soon as the judge gives it.

    What a judge that raises did not score is unscored, with the error as the reason.

    Args:
        session: An opened judge.
        answers: What to ask, with ids of their own.
        name: The judge's name, for messages.

    Raises:
        PluginError: When the judge gives something else than one score per answer.
        HaloError: When the judge raises one on purpose.
    """
    waiting = {answer.id: answer for answer in answers}
    reason = f"{name} gave no score"
    try:
        for given in _scores(session, answers):
            score = checked_score(given, waiting)
            del waiting[score.id]
            yield score
    except PluginError as error:
        raise PluginError(error.message, location=error.location or f"the judge {name}") from error
    except HaloError:
        raise
    except Exception as error:
        reason = redact(f"{name} raised {type(error).__name__}: {error}")[:REASON_LENGTH]
    for id_ in waiting:
        yield Score(id_, None, reason)


def _scores(session: ScoringSession, answers: Sequence[Answer]) -> Iterable[object]:
    scores: object = session.score(answers)
    if not isinstance(scores, Iterable):
        raise PluginError(f"score() gave {scores!r}; expected one Score per answer")
    return scores


def kept_scores(path: Path, answers: Iterable[Answer]) -> dict[str, ScoreRecord]:
    """Returns answer id to the line that an earlier call left, of those that have a score.

    An id says what the text is. A last line that was cut off is left out.
    """
    asked = {answer.id for answer in answers}
    if not path.exists():
        return {}
    whole_lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    records: list[ScoreRecord] = [json.loads(line) for line in whole_lines]
    return {r["id"]: r for r in records if r["id"] in asked and r["score"] is not None}


def score_record(answer: Answer, score: Score) -> ScoreRecord:
    """Returns the line of an answer."""
    return ScoreRecord(
        id=answer.id,
        completion=answer.completion,
        score=score.value,
        reason=score.reason,
        cut=score.cut,
    )


def write_scores(path: Path, records: Iterable[ScoreRecord]) -> None:
    """Writes all lines, beside the file's place, and renames."""
    write_text(path, "".join(_line(record) for record in records))


def append_score(path: Path, record: ScoreRecord) -> None:
    """Appends a whole line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(record))


def _line(record: ScoreRecord) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
