"""The session of the judge `python`: calls the user's function, guarded."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Any

from halo_core.errors import PluginError
from halo_core.plugins.local_file import import_file
from halo_core.redact import redact
from halo_core.scoring_judge import Answer, Score
from halo_judge.asking import REASON_LENGTH


class PythonSession:
    """Calls a function for each answer.

    Args:
        path: The file.
        name: The function in it.

    Raises:
        PluginError: When the file cannot be imported, or holds no such function.
    """

    def __init__(self, path: Path, name: str) -> None:
        found = getattr(import_file(path.resolve()), name, None)
        if not callable(found):
            raise PluginError(
                f"{name!r} is {found!r}; expected a function of prompt and completion",
                location=str(path),
            )
        self._function: Callable[..., Any] = found
        self._path = path.resolve()
        self._name = name

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        """Returns one score per answer, in order; an unscored one where the function fails."""
        return map(self._scored, answers)

    def _scored(self, answer: Answer) -> Score:
        prompt = [{"role": m["role"], "content": m["content"]} for m in answer.prompt]
        try:
            value = self._function(prompt, answer.completion)
        except Exception as error:
            reason = f"{self._line(error)}: {type(error).__name__}: {error}"
            return Score(answer.id, None, redact(reason)[:REASON_LENGTH])
        if isinstance(value, Real) and isfinite(value):
            return Score(answer.id, float(value))
        came = f"{value!r} ({type(value).__name__})"[:REASON_LENGTH]
        return Score(answer.id, None, f"{self._name}() returned {came}; expected a finite number")

    def _line(self, error: Exception) -> str:
        """Returns where in the user's file an error was raised, or passed through."""
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(self._path)]
        return f"{self._path}:{lines[-1]}" if lines else str(self._path)
