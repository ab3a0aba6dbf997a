"""The file `scores.jsonl`: one object per completion, written while the judge works."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from halo_core.scoring_judge import Answer, Score
from halo_core.workspace.records import SCORES, ScoreLine
from halo_judge.judge_stage.kept_lines import KeptLines


def score_line(answer: Answer, score: Score) -> ScoreLine:
    """Returns the line of an answer."""
    return ScoreLine(
        id=answer.id,
        completion=answer.completion,
        score=score.value,
        reason=score.reason,
        cut=score.cut,
    )


def score_lines(folder: Path, answers: Iterable[Answer]) -> KeptLines[ScoreLine]:
    """Returns the file of the scores of some answers, whose ids say what their texts are.

    Unscored ones are asked for again.

    Args:
        folder: Where the file is, or will be.
        answers: What is scored.
    """
    ids = {answer.id for answer in answers}
    return KeptLines(
        SCORES,
        folder / SCORES.name,
        "id",
        lambda line: line["id"] in ids and line["score"] is not None,
    )
