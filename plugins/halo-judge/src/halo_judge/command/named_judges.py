"""The judges that the arguments of `halo judge` name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from halo_core.cli.options import component_given
from halo_core.errors import UserError
from halo_core.judge import Judge

if TYPE_CHECKING:
    from halo_core.spec.resolved import Resolved

LONG = 24
"""Maximum number of characters of an option's value in a label."""
FLOOR = "longest"
"""The judge that all other judges are compared with."""


@dataclass(frozen=True)
class NamedJudge:
    """A judge with its label for tables.

    Attributes:
        resolved: The judge with its name and options.
        label: Its name with the given options, except options about requests, and except long
            values that are not needed to distinguish it from other judges.
    """

    resolved: Resolved
    label: str

    @property
    def judge(self) -> Judge:
        """The judge itself."""
        return cast(Judge, self.resolved.component)


def name_judge(text: str, overrides: Sequence[str]) -> NamedJudge:
    """Returns the judge that ``--judge`` and ``--set judge.OPTION=VALUE`` describe.

    Raises:
        SpecErrors: With every mistake, when it is not a judge.
        UserError: When a value cannot be read.
    """
    resolved = component_given("judge", text, option="--judge", overrides=overrides)
    return NamedJudge(resolved, _label(resolved, LONG))


def _label(resolved: Resolved, longest: int) -> str:
    from halo_core.option_fields import fields_by_alias, marks
    from halo_core.option_markers import Execution

    fields = fields_by_alias(type(resolved.component))
    left_out = {name for name, info in fields.items() if marks(info, Execution)}
    options = [
        f"{name}={text}"
        for name, value in resolved.options.items()
        if name not in left_out and len(text := _shown(str(value), longest)) <= longest
    ]
    return " ".join([resolved.short_name, *options])


def _shown(value: str, longest: int) -> str:
    """Returns a value, but only the last part of a long path, and the stage of its ``model``."""
    if len(value) <= longest or "://" in value:
        return value
    return value.removesuffix("/model").rpartition("/")[2]


def name_judges(texts: Sequence[str], overrides: Sequence[str]) -> list[NamedJudge]:
    """Returns the judges to validate. `longest` is always the first.

    Raises:
        SpecErrors: With every mistake, when one is not a judge.
        UserError: When ``--set`` could apply to several judges, or two judges are the same.
    """
    if overrides and len(texts) != 1:
        raise UserError(
            f"there are {len(texts)} judges; expected one. Write options into --judge "
            "'{use: NAME, OPTION: VALUE}'",
            location=f"--set {overrides[0]}",
        )
    given = [name_judge(text, overrides) for text in texts]
    others = [judge for judge in given if judge.resolved.name != FLOOR]
    # A class in a file may have the name of the judge that is always included.
    others = [NamedJudge(j.resolved, j.resolved.name) if j.label == FLOOR else j for j in others]
    if len({judge.label for judge in others}) < len(others):
        others = [NamedJudge(j.resolved, _label(j.resolved, sys.maxsize)) for j in others]
    labels = [judge.label for judge in others]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UserError("given twice; leave one out", location=f"--judge {twice}")
    return [name_judge(FLOOR, ()), *others]
