"""The judge `python`: calls the user's function and handles its errors."""

from __future__ import annotations

import ast
import symtable
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from halo_core.errors import PluginError
from halo_core.judge import Beside, JudgeContext
from halo_core.option_markers import Location
from halo_core.plugins.local_file import FILE_PREFIX, file_and_attribute, import_file
from halo_core.redact import redact
from halo_core.scoring_judge import Answer, Score, ScoringJudge, ScoringSession, text_id

FORM = "expected file:PATH:FUNCTION, as in file:./judge.py:score"
_BESIDE: tuple[Beside, ...] = ("fields", "tools")
REASON_LENGTH = 300
"""Maximum number of characters of an error that are kept as the reason."""


class PythonJudge(ScoringJudge):
    """Scores with a function in a Python file: ``score(prompt, completion)`` returns a number.

    `prompt` is a list of messages ``{"role", "content", ...}``, `completion` a text. A function
    with a parameter `fields` or `tools` also gets the further fields of the completion's message,
    or the tools that the prompt offers. If it raises, or does not return a finite number, the
    completion is unscored.
    """

    function: Annotated[str, Location()] = Field(
        description="The function: file:PATH:FUNCTION, as in file:./judge.py:score."
    )

    @field_validator("function")
    @classmethod
    def _is_there(cls, value: str) -> str:
        path, name = file_and_attribute(value)
        if not value.startswith(FILE_PREFIX) or not path.name or not name.isidentifier():
            raise ValueError(f"got {value!r}; {FORM}")
        if not path.is_file():
            raise ValueError(f"no such file: {path}; {FORM}")
        try:
            table = symtable.symtable(path.read_text(encoding="utf-8"), str(path), "exec")
        except SyntaxError as error:
            raise ValueError(f"{path}:{error.lineno}: {error.msg}; expected Python") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not UTF-8 text; expected Python") from None
        if name not in table.get_identifiers():
            raise ValueError(f"{path} defines no {name!r}; {FORM}")
        return value

    def file_digests(self) -> Mapping[str, str]:
        """Returns the function's name with the hash of its file."""
        path, name = file_and_attribute(self.function)
        return {"function": f"{name} {text_id(path.read_text(encoding='utf-8'))}"}

    def reads_beside(self) -> frozenset[Beside]:
        """Returns those of `fields` and `tools` that are parameters of the function."""
        path, name = file_and_attribute(self.function)
        names: set[str] = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                names = {a.arg for a in [*node.args.args, *node.args.kwonlyargs]}
        return frozenset(each for each in _BESIDE if each in names)

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[ScoringSession]:
        """Returns a session, which stores nothing.

        Raises:
            PluginError: When the file cannot be imported.
        """
        from contextlib import nullcontext

        path, name = file_and_attribute(self.function)
        return nullcontext(PythonSession(path, name, self.reads_beside()))


class PythonSession:
    """Calls a function for each answer.

    Args:
        path: The file.
        name: The function in it.
        beside: The further arguments besides prompt and completion.

    Raises:
        PluginError: When the file cannot be imported, or has no such function.
    """

    def __init__(self, path: Path, name: str, beside: Collection[Beside] = ()) -> None:
        function = getattr(import_file(path.resolve()), name, None)
        if not callable(function):
            raise PluginError(
                f"{name!r} is {function!r}; expected a function of prompt and completion",
                location=str(path),
            )
        self._function: Callable[..., Any] = function
        self._path = path.resolve()
        self._name = name
        self._beside = beside

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        """Returns one score per answer in order, unscored if the function fails."""
        return map(self._scored, answers)

    def _scored(self, answer: Answer) -> Score:
        # The function gets copies, so that its changes do not affect others.
        given = {"fields": dict(answer.fields or {}), "tools": list(answer.tools or ())}
        beside = {name: deepcopy(given[name]) for name in self._beside}
        prompt = [deepcopy(dict(message)) for message in answer.prompt]
        try:
            value = self._function(prompt, answer.completion, **beside)
        except Exception as error:
            reason = f"{self._line(error)}: {type(error).__name__}: {error}"
            return Score(answer.id, None, redact(reason)[:REASON_LENGTH])
        if isinstance(value, Real) and isfinite(value):
            return Score(answer.id, float(value))
        came = f"{value!r} ({type(value).__name__})"[:REASON_LENGTH]
        return Score(answer.id, None, f"{self._name}() returned {came}; expected a finite number")

    def _line(self, error: Exception) -> str:
        """Returns the line in the user's file that raised an error or passed it on."""
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(self._path)]
        return f"{self._path}:{lines[-1]}" if lines else str(self._path)
