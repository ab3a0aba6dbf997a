"""Checks the further promises of losses: counts, control tokens, sums, value functions."""

from __future__ import annotations

import math

from halo_core.guarded.loss_calls import changed_logratios, settled, with_changed_logratios
from halo_core.loss import ClassCounts, Loss
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.losses.loss_cases import (
    batch_alone,
    batch_of,
    call,
    inputs_of,
    mixed_case,
    ordinary_cases,
    settled_loss,
)
from halo_core.testing.losses.loss_values import check_value

SAME_SUM = 1e-9
"""Relative tolerance in float64 for sums in another order."""


def check_abilities(loss: Loss) -> None:
    """Checks the results of `settle`, `control_tokens`, `value`, `statistics`, `change_logratios`.

    It also checks that a loss with weights says so.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    for counts in (ClassCounts(3, 1), ClassCounts(1, 3), ClassCounts(2, 0), ClassCounts(0, 2)):
        _check_settled(loss, counts)
    tokens = loss.control_tokens()
    expect(
        tokens is None or (len(set(tokens)) == 2 and all(token.strip() for token in tokens)),
        loss,
        f"control_tokens() gave {tokens!r}; expected two texts that differ, or None",
    )
    check_value(loss)
    if "reference_logps" in loss.needed():
        _check_changed_logratios(loss)
    if "statistics" in loss.needed():
        _check_statistics(settled_loss(loss))
    _check_weighs(settled_loss(loss))


def _check_settled(loss: Loss, counts: ClassCounts) -> None:
    with must_not_raise(loss, f"settle({counts})"):
        made = settled(loss, counts)
    expect(
        isinstance(made.loss, type(loss)),
        loss,
        f"settle({counts}) gave {made.loss!r}; expected a loss of the same class",
    )
    expect(
        made.loss == loss or bool(made.remark),
        loss,
        f"settle({counts}) settles options and gives the remark {made.remark!r}; expected a "
        "sentence that shows their values",
    )
    expect(
        made.caution is None or bool(made.caution),
        loss,
        f"settle({counts}) gives the caution {made.caution!r}; expected None or a sentence",
    )


def _check_changed_logratios(loss: Loss) -> None:
    """Checks that the change of a token's log-ratio depends only on that token."""
    import torch

    given = torch.tensor([-1e4, -2.0, -0.5, -0.1, 0.0, 0.1, 0.5, 2.0, 1e4], dtype=torch.float64)
    with must_not_raise(loss, "change_logratios()"):
        changed = changed_logratios(loss, given)
        parts = [changed_logratios(loss, given[i : i + 1]) for i in range(len(given))]
    expect(
        torch.equal(torch.cat(parts), changed),
        loss,
        f"change_logratios() gives {changed.tolist()} for tokens together and "
        f"{torch.cat(parts).tolist()} for each alone; expected the same",
    )


def _check_weighs(loss: Loss) -> None:
    """Checks that a loss whose outputs have weights says so."""
    for case in ordinary_cases(loss):
        weights = call(loss, batch_of(loss, case), case).counts.tolist()
        expect(
            loss.weighs_examples() or all(weight == 1 for weight in weights),
            loss,
            f"on {case.name}: weights are {weights}, and weighs_examples() is False; expected "
            "True, because weighted-sum refuses weights of a loss that does not say so",
        )


def _check_statistics(loss: Loss) -> None:
    """Checks that sums over parts add up to the sums over the whole."""
    case = mixed_case(loss)
    batch = batch_alone(loss, case)
    inputs_of(loss, batch)  # requests gradients, which must not appear in the sums
    whole = loss.statistics(with_changed_logratios(loss, batch))
    parts = [
        loss.statistics(
            with_changed_logratios(loss, batch_alone(loss, case.take(part, f"examples {part}")))
        )
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
