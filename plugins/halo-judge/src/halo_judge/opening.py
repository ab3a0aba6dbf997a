"""Opens judges: each in the way that it offers, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from halo_core.errors import PluginError
from halo_core.judge import Judge, JudgeSession, ModelJudge, PaidJudge
from halo_core.scoring import ScoringJudge, ScoringSession
from halo_core.stage import ModelInput

OPTION = "judge"
"""The option of a stage that holds its judge."""


def with_models(judge: Judge, models: Mapping[str, ModelInput]) -> Judge:
    """Returns a judge that knows the models of the spec that it names.

    Args:
        judge: The stage's.
        models: The stage's; those of its judge are dotted, such as ``judge.from``.
    """
    prefix = f"{OPTION}."
    own = {k.removeprefix(prefix): v for k, v in models.items() if k.startswith(prefix)}
    return judge.with_models(own) if own and isinstance(judge, ModelJudge) else judge


def open_judge(
    judge: Judge, folder: Path, cache: Path, name: str
) -> AbstractContextManager[JudgeSession]:
    """Returns a session that compares.

    Args:
        judge: Knows its models.
        folder: For the judge's own files; made.
        cache: The workspace's.
        name: The judge's name, for messages.

    Raises:
        PluginError: When it opens something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(judge, PaidJudge):
        opened: object = judge.open_shared(folder, shared_folder(cache))
    else:
        opened = judge.open(folder)
    return _checked(opened, "open()", name)


def open_scoring(
    judge: ScoringJudge, folder: Path, name: str
) -> AbstractContextManager[ScoringSession]:
    """Returns a session that scores; see `open_judge`.

    Raises:
        PluginError: When it opens something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return _checked(judge.open_scoring(folder), "open_scoring()", name)


def shared_folder(cache: Path) -> Path:
    """Returns where a workspace keeps what judges were paid for."""
    return cache / "judge"


def _checked(opened: object, call: str, name: str) -> AbstractContextManager[Any]:
    if not isinstance(opened, AbstractContextManager):
        raise PluginError(
            f"{call} returned {opened!r}; expected a context manager that gives a session",
            location=f"the judge {name}",
        )
    return opened
