"""Numbers of checkpoints that are written and kept. This module needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

Scores = Mapping[int, float | None]
"""Score of each checkpoint by its step; None if none was measured."""


def steps_to_keep(scores: Scores, keep_last: int, keep_best: int) -> set[int]:
    """Returns which checkpoints to keep: the latest ones, and those with the lowest scores.

    Args:
        scores: Scores by step. Of equal scores the earlier one is better.
        keep_last: Number of the latest ones.
        keep_best: Number of the best ones.

    >>> sorted(steps_to_keep({10: 0.5, 20: 0.4, 30: 0.6, 40: None}, keep_last=1, keep_best=1))
    [20, 40]
    """
    scored = sorted((score, step) for step, score in scores.items() if score is not None)
    latest = sorted(scores, reverse=True)
    return {*latest[:keep_last], *(step for _, step in scored[:keep_best])}


def still_to_come(
    *, done: int, steps: int, every: int, evaluate_every: int | None, best: bool
) -> int:
    """Returns the largest number of checkpoints that a training may still write.

    Args:
        done: Number of steps that are done. A checkpoint of the last of them may be due.
        steps: Number of steps in total.
        every: Number of steps between checkpoints.
        evaluate_every: Number of steps between evaluations; None if only the last step is measured.
        best: Whether a measured step may be one of the best, which gets a checkpoint.

    >>> still_to_come(done=0, steps=450, every=200, evaluate_every=None, best=False)
    2
    """
    count = _times(every, done, steps)
    if best:
        count += 1 + _times(evaluate_every or steps, done, steps)
    return count


def _times(every: int, done: int, steps: int) -> int:
    return steps // every - (done - 1) // every if done else steps // every


def new_checkpoints(*, there: int, to_come: int, kept: int) -> int:
    """Returns the largest increase of checkpoints. Old ones are removed after a new one.

    Args:
        there: Number of checkpoints in the folder.
        to_come: Number of checkpoints that are still to be written.
        kept: Largest number of checkpoints that are kept.

    >>> new_checkpoints(there=0, to_come=9, kept=2), new_checkpoints(there=2, to_come=9, kept=2)
    (3, 1)
    >>> new_checkpoints(there=0, to_come=1, kept=2), new_checkpoints(there=1, to_come=0, kept=2)
    (1, 0)
    """
    return max(0, min(kept + 1, there + to_come) - there)


def most_new_bytes(*, each: int, model: int, there: int, to_come: int, kept: int) -> int:
    """Returns the largest increase of the bytes on the disk until the model is written.

    The model is written next to the checkpoints that are kept then, after the last checkpoint.

    Args:
        each: Bytes of a checkpoint.
        model: Bytes of the model.
        there: Number of checkpoints in the folder.
        to_come: Number of checkpoints that are still to be written.
        kept: Largest number of checkpoints that are kept.

    >>> most_new_bytes(each=12, model=4, there=0, to_come=9, kept=2)
    36
    >>> most_new_bytes(each=1, model=4, there=0, to_come=9, kept=2)
    6
    """
    running = new_checkpoints(there=there, to_come=to_come, kept=kept)
    at_the_end = max(0, min(kept, there + to_come) - there)
    return max(running * each, at_the_end * each + model)
