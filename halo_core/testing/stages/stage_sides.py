"""Checks that a stage does not exchange what its inputs call good and bad."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_core.component import Component
from halo_core.option_fields import fields_by_alias, interface_kind, refers_to
from halo_core.stage import Stage
from halo_core.testing.component import expect

Row = Mapping[str, Any]

OPT_OUT = "If it does so on purpose, say why in unchecked_rules"

LEAST = 3
"""Number of completions of each side. If all of them are exchanged, this is not by chance."""


def check_sides(stage: Stage, rows: Sequence[Row], given: Sequence[Row]) -> None:
    """Compares the sides of completions that a stage wrote with those in its inputs.

    The chosen completion of a pair, one that is labelled as desirable, the best of a group and the
    target of a sample are good. The others are bad. A stage may decide otherwise about some of
    them, and a stage with a judge or verdicts about all of them.

    Args:
        stage: The stage.
        rows: The rows that it wrote.
        given: The rows and samples that it got.

    Raises:
        AssertionError: When all of several good completions are called bad, and all of several bad
            ones good; or when both sides of a pair are equal.
    """
    for number, row in enumerate(rows, start=1):
        sides = [
            [row[name], row.get(f"{name}_fields")] for name in ("chosen", "rejected") if name in row
        ]
        expect(
            len(sides) < 2 or sides[0] != sides[1],
            stage,
            f"row {number} is a pair with two equal sides, {str(row.get('chosen'))[:60]!r}, from "
            "which nothing can be learned; leave it out and count it",
        )
    if _decides(stage):
        return
    known = _known(given)
    turned = {True: 0, False: 0}
    for row in rows:
        for place, is_good in _sides(row):
            was_good = known.get(place)
            if was_good == is_good:
                return
            if was_good is not None:
                turned[was_good] += 1
    expect(
        min(turned.values()) < LEAST,
        stage,
        f"run() calls all {turned[True]} good completions of its inputs bad, and all "
        f"{turned[False]} bad ones good (chosen, desirable and target are good); a training would "
        f"learn the opposite. {OPT_OUT}",
    )


def _decides(stage: Stage) -> bool:
    """Returns whether a judge or verdicts say which completion is good."""
    return any(
        refers_to(info) == "verdicts"
        or interface_kind(info) == "judge"
        or (isinstance(getattr(stage, name, None), Component))
        for name, info in fields_by_alias(type(stage)).items()
    )


def _known(given: Sequence[Row]) -> Mapping[tuple[str, str], bool]:
    """Returns which completions of the inputs are good, without those that are both."""
    found: dict[tuple[str, str], set[bool]] = {}
    for row in given:
        for place, is_good in (*_sides(row), *_sampled(row)):
            found.setdefault(place, set()).add(is_good)
    return {place: min(sides) for place, sides in found.items() if len(sides) == 1}


def _sides(row: Row) -> Iterator[tuple[tuple[str, str], bool]]:
    """Yields the completions of a row with its prompt, and whether each is good."""
    asked = json.dumps(row.get("prompt"), sort_keys=True)
    if isinstance(row.get("chosen"), str) and isinstance(row.get("rejected"), str):
        yield (asked, row["chosen"]), True
        yield (asked, row["rejected"]), False
    elif isinstance(row.get("completion"), str) and isinstance(row.get("desirable"), bool):
        yield (asked, row["completion"]), row["desirable"]
    elif row.get("completions") and len(set(row["scores"])) > 1:
        best, worst = max(row["scores"]), min(row["scores"])
        for text, score in zip(row["completions"], row["scores"], strict=True):
            if score in (best, worst):
                yield (asked, text), score == best


def _sampled(row: Row) -> Iterator[tuple[tuple[str, str], bool]]:
    """Yields the target and the completion of a sample."""
    if isinstance(row.get("target"), str) and row["target"] != row["completion"]:
        asked = json.dumps(row["prompt"], sort_keys=True)
        yield (asked, row["target"]), True
        yield (asked, row["completion"]), False


__all__ = ["OPT_OUT", "check_sides"]
