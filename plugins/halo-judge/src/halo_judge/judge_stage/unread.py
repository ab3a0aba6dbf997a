"""Finds parts of rows that a judge does not read, and warns about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.judge import Beside, Fields, Judge, Tools
from halo_judge.judge_stage.ask import name_of


@dataclass(frozen=True)
class BesideTexts:
    """Parts of a prompt and its completions besides messages and texts.

    Attributes:
        tools: The tools that the prompt offers.
        fields: Further fields of each completion's message.
    """

    tools: Tools | None
    fields: Sequence[Fields | None]


def reads_beside(judge: Judge) -> frozenset[Beside]:
    """Returns the parts that a judge reads besides messages and texts.

    Raises:
        PluginError: When it raises because of a bug, or returns something else.
    """
    with blaming(judge, "reads_beside"):
        read: object = judge.reads_beside()
    known = get_args(Beside)
    if isinstance(read, list | tuple | set | frozenset) and all(each in known for each in read):
        return frozenset(read)
    expected = f"expected a set of {' and '.join(map(repr, known))}"
    raise plugin_error(judge, "reads_beside", f"returned {read!r}; {expected}")


def warn_of_the_unread(
    judge: Judge, prompts: Iterable[BesideTexts], warn: Callable[[str], None]
) -> None:
    """Warns once about all parts of rows that a judge does not read, with their numbers.

    Raises:
        PluginError: See `reads_beside`.
    """
    total = tools = completions = 0
    names = Counter[str]()
    for prompt in prompts:
        total += 1
        tools += bool(prompt.tools)
        completions += len(prompt.fields)
        for fields in prompt.fields:
            names.update(list(fields or ()))  # The names: a mapping would be added as counts.
    if not tools and not names:
        return
    read = reads_beside(judge)
    told = []
    if tools and "tools" not in read:
        told.append(f"{tools} of {total} prompts offer tools")
    if "fields" not in read:
        told += [
            f"{n} of {completions} completions hold {name}" for name, n in sorted(names.items())
        ]
    if told:
        warn(f"{', '.join(told)}, which {name_of(judge)} does not read")
