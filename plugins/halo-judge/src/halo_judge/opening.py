"""Opens judges, and checks what they open."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from halo_core.errors import PluginError
from halo_core.judge import Judge, JudgeContext, JudgeSession
from halo_core.scoring import ScoringJudge, ScoringSession
from halo_core.stage import StageContext

OPTION = "judge"
"""The option of a stage that holds its judge."""


def judge_context(context: StageContext) -> JudgeContext:
    """Returns where the judge of a stage works; makes its folder.

    Args:
        context: The stage's; the models of its judge are dotted, such as ``judge.from``.
    """
    folder = context.folder / "judge"
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"{OPTION}."
    models = {
        name.removeprefix(prefix): model
        for name, model in context.models.items()
        if name.startswith(prefix)
    }
    return JudgeContext(folder, shared_folder(context.cache), models)


def shared_folder(cache: Path) -> Path:
    """Returns where a workspace keeps what judges were paid for."""
    return cache / "judge"


def is_paid(judge: Judge, cache: Path) -> bool:
    """Returns whether a judge is paid by request.

    Args:
        judge: Who.
        cache: The workspace's.
    """
    return judge.quote((), shared_folder(cache)) is not None


def open_judge(
    judge: Judge, context: JudgeContext, name: str
) -> AbstractContextManager[JudgeSession]:
    """Returns a session that compares.

    Args:
        judge: Who.
        context: Where it works.
        name: The judge's name, for messages.

    Raises:
        PluginError: When it opens something else.
    """
    return _checked(judge.open(context), "open()", name)


def open_scoring(
    judge: ScoringJudge, context: JudgeContext, name: str
) -> AbstractContextManager[ScoringSession]:
    """Returns a session that scores; see `open_judge`.

    Raises:
        PluginError: When it opens something else.
    """
    return _checked(judge.open_scoring(context), "open_scoring()", name)


def _checked(opened: object, call: str, name: str) -> AbstractContextManager[Any]:
    if not isinstance(opened, AbstractContextManager):
        raise PluginError(
            f"{call} returned {opened!r}; expected a context manager that gives a session",
            location=f"the judge {name}",
        )
    return opened
