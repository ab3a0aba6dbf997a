"""What the tests allow to say, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from halo_report.compare.pairs import LEVEL, Pair

NAMED = 4
"""Pairs that are named one by one; of more, their number is told."""


def conclusion(pairs: Sequence[Pair], *, alike: bool) -> str:
    """Returns what can be concluded, and what cannot.

    Args:
        pairs: The tests, of which a difference counts as shown at the level of 5 % after Holm's
            correction.
        alike: Whether all were sampled and judged in the same way.
    """
    if not pairs:
        return "Nothing can be concluded: no two of the runs have a scored comparison."
    shown = [pair for pair in pairs if pair.is_shown]
    parts = [_shown(shown, len(pairs)), _not_shown([pair for pair in pairs if pair not in shown])]
    text = "; ".join(part for part in parts if part)
    if not alike:
        text += "; and as they were not sampled and judged alike, a difference may come from that"
    return f"{text}."


def _shown(pairs: Sequence[Pair], tests: int) -> str:
    how = f"{LEVEL * 100:g} % level" + (
        f", Holm's correction for {tests} tests" if tests > 1 else ""
    )
    if not pairs:
        return f"No difference is shown ({how})"
    if len(pairs) > NAMED:
        return f"{len(pairs)} of {tests} pairs differ ({how})"
    return f"{', '.join(_better(pair) for pair in pairs)} ({how})"


def _better(pair: Pair) -> str:
    better, worse = (pair.first, pair.second)
    if pair.difference < 0:
        better, worse = worse, better
    return f"{better.label} beats {worse.label} by {abs(pair.difference):.3f}"


def _not_shown(pairs: Sequence[Pair]) -> str:
    """Returns what stays open: a difference that is not shown may be there all the same."""
    if not pairs:
        return ""
    if len(pairs) <= NAMED:
        return f"{', '.join(_open(pair) for pair in pairs)}"
    ends = [abs(end) for pair in pairs for end in (pair.low, pair.high) if end is not None]
    possible = f" (differences of up to {max(ends):.3f} stay possible)" if ends else ""
    return f"the other {len(pairs)} pairs are not told apart{possible}"


def _open(pair: Pair) -> str:
    names = f"{pair.first.label} and {pair.second.label} are not told apart"
    if pair.low is None or pair.high is None:
        return names
    return f"{names} ({pair.low:+.3f} to {pair.high:+.3f} stays possible)"
