"""Where judges work, and what they say before they are asked, guarded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.judge import Comparison, Judge, JudgeContext, Quote
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


def check_ready(judge: Judge) -> None:
    """Checks that a judge has what it needs beside its options; asks nothing.

    Raises:
        UserError: When it has not.
        PluginError: When it raises by accident.
    """
    with blaming(judge, "check_ready"):
        judge.check_ready()


def quoted(judge: Judge, comparisons: Sequence[Comparison], cache: Path) -> Quote | None:
    """Returns what asking would take; None of a judge that costs nothing.

    Args:
        judge: Who.
        comparisons: What would be asked.
        cache: The workspace's.

    Raises:
        PluginError: When the judge raises by accident, or returns something else than a quote.
    """
    with blaming(judge, "quote"):
        quote: object = judge.quote(comparisons, shared_folder(cache))
    if quote is None:
        return None
    fault = quote.fault() if isinstance(quote, Quote) else repr(quote)
    if not isinstance(quote, Quote) or fault is not None:
        expected = "expected None or a Quote, whose numbers are at least 0"
        raise plugin_error(judge, "quote", f"returned {fault}; {expected}")
    return quote


def is_paid(judge: Judge, cache: Path) -> bool:
    """Returns whether a judge is paid by request; see `quoted`."""
    return quoted(judge, (), cache) is not None
