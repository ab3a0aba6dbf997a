"""Asks a judge, and keeps its failures apart from its verdicts.

A judge that is out of reach costs the verdicts it did not give, never the run, and never counts
as a result. A judge that breaks its interface is a fault of its author and stops the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from halo_core.discovery import discover
from halo_core.errors import HaloError, PluginError
from halo_core.judge import Comparison, Judge, JudgeSession, Verdict, Winner
from halo_core.redact import redact

REASON_LENGTH = 300
"""Characters of an error that are kept as the reason."""


def judge_name(judge: Judge) -> str:
    """Returns the name that a judge has in a spec, or its class's name when it has none.

    >>> from halo_judge.components import Longest
    >>> judge_name(Longest())
    'longest'
    """
    made = type(judge)
    package = made.__module__.partition(".")[0]
    for registration in discover().registrations:
        module, _, attribute = registration.target.partition(":")
        if (registration.kind, attribute) == ("judge", made.__qualname__):
            # A package may export the class from another module than the one it is written in.
            if module.partition(".")[0] == package:
                return registration.canonical
    return made.__name__


def ask(session: JudgeSession, comparisons: Sequence[Comparison], name: str) -> Iterator[Verdict]:
    """Yields exactly one verdict per comparison, as soon as the judge gives it.

    Args:
        session: An opened judge.
        comparisons: What to ask.
        name: The judge's name, for messages.

    Raises:
        PluginError: When the judge returns something else than one verdict per comparison.
        HaloError: When the judge raises one on purpose (a missing key, say).
    """
    waiting = {comparison.id: comparison for comparison in comparisons}
    reason = f"{name} gave no verdict"
    try:
        for verdict in _verdicts(session, comparisons, name):
            if waiting.pop(_checked(verdict, name).id, None) is None:
                raise _broken(name, f"a verdict on {verdict.id!r}, which is not waiting for one")
            yield verdict
    except HaloError:
        raise
    except Exception as error:
        reason = redact(f"{name} raised {type(error).__name__}: {error}")[:REASON_LENGTH]
    for id_ in waiting:
        yield Verdict(id_, None, reason)


def _verdicts(
    session: JudgeSession, comparisons: Sequence[Comparison], name: str
) -> Iterable[Verdict]:
    verdicts: object = session.compare(comparisons)
    if not isinstance(verdicts, Iterable):
        raise _broken(name, f"{verdicts!r}")
    return verdicts


def _checked(verdict: object, name: str) -> Verdict:
    if not isinstance(verdict, Verdict):
        raise _broken(name, repr(verdict))
    if verdict.winner is not None and verdict.winner not in get_args(Winner):
        raise _broken(name, f"the winner {verdict.winner!r}")
    return verdict


def _broken(name: str, came: str) -> PluginError:
    return PluginError(
        f"compare() gave {came}; expected one Verdict per comparison, with its id and a winner "
        "'A', 'B', 'tie' or None. Report it to the judge's author",
        location=f"the judge {name}",
    )
