"""The judge `python`: a function of the user's."""

from __future__ import annotations

import symtable
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Annotated

from pydantic import Field, field_validator

from halo_core.component import Location
from halo_core.judge import JudgeContext
from halo_core.plugins.local_file import FILE_PREFIX, file_and_attribute
from halo_core.scoring_judge import ScoringJudge, ScoringSession, text_id

FORM = "expected file:PATH:FUNCTION, as in file:./judge.py:score"


class PythonJudge(ScoringJudge):
    """Scores with a function in a Python file: ``score(prompt, completion)`` returns a number.

    `prompt` is a list of messages ``{"role", "content"}``, `completion` a text. What it raises, or
    returns that is no finite number, makes that completion unscored.
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

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[ScoringSession]:
        """Returns a session; nothing is kept.

        Raises:
            PluginError: When the file cannot be imported.
        """
        from contextlib import nullcontext

        from halo_judge.python_session import PythonSession

        return nullcontext(PythonSession(*file_and_attribute(self.function)))
