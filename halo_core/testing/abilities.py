"""Checks what losses with abilities of their own promise: counts, control tokens, sums, values."""

from __future__ import annotations

import math

from halo_core.loss import (
    ClassCounts,
    Controlled,
    Counted,
    Loss,
    Statistical,
    ValueFunction,
)
from halo_core.testing.cases import mixed_case
from halo_core.testing.expect import expect, must_not_raise
from halo_core.testing.inputs import batch_alone, counted, inputs_of

SAME_SUM = 1e-9
"""Relative tolerance in float64 for sums that are added in another order."""


def check_abilities(loss: Loss) -> None:
    """Checks the protocols that the loss has: `Counted`, `Controlled`, `Statistical`, ...

    Raises:
        AssertionError: At the first rule that is broken.
    """
    if isinstance(loss, Counted):
        for counts in (ClassCounts(3, 1), ClassCounts(1, 3), ClassCounts(2, 0), ClassCounts(0, 2)):
            _check_counted(loss, counts)
    if isinstance(loss, Controlled):
        tokens = loss.control_tokens()
        expect(
            len(set(tokens)) == 2 and all(token.strip() for token in tokens),
            loss,
            f"control_tokens() gave {tokens!r}; expected two texts that differ",
        )
    if isinstance(loss, ValueFunction):
        for gain in (-1e4, -1.0, -1e-9, 0.0, 1e-9, 1.0, 1e4):
            with must_not_raise(loss, f"value({gain:g})"):
                value = loss.value(gain)
            expect(
                isinstance(value, float) and math.isfinite(value),
                loss,
                f"value({gain:g}) is {value!r}; expected a finite float",
            )
    if "statistics" in loss.needed():
        _check_statistics(counted(loss))


def _check_counted(loss: Counted, counts: ClassCounts) -> None:
    with must_not_raise(loss, f"counted({counts})"):
        copy = loss.counted(counts)
    expect(
        isinstance(copy, type(loss)), loss, f"counted({counts}) gave {copy!r}; expected its like"
    )
    with must_not_raise(loss, f"remark({counts}) and caution({counts})"):
        remark, caution = loss.remark(counts), loss.caution(counts)
    expect(bool(remark), loss, f"remark({counts}) is {remark!r}; expected a sentence")
    expect(
        caution is None or bool(caution),
        loss,
        f"caution({counts}) is {caution!r}; expected None or a sentence",
    )


def _check_statistics(loss: Loss) -> None:
    """Checks that sums over parts add up to those over the whole."""
    assert isinstance(loss, Statistical)
    case = mixed_case(loss)
    batch = batch_alone(loss, case)
    inputs_of(loss, batch)  # gradients are asked for, and must not be there
    whole = loss.statistics(batch)
    parts = [
        loss.statistics(batch_alone(loss, case.take(part, f"examples {part}")))
        for part in ([0], [3, 1], [2])
    ]
    for name, value in whole.items():
        expect(
            value.ndim == 0 and not value.requires_grad,
            loss,
            f"statistics(): {name!r} has the shape {tuple(value.shape)}; expected [], detached",
        )
        added = sum(float(part[name]) for part in parts)
        expect(
            math.isclose(added, float(value), rel_tol=SAME_SUM, abs_tol=SAME_SUM),
            loss,
            f"statistics(): {name!r} of parts adds up to {added}; of the whole it is "
            f"{float(value)}. Return sums, not means",
        )
