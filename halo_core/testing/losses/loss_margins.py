"""Checks what a loss on pairs does with a tie, and with an option that is a margin."""

from __future__ import annotations

import re
from dataclasses import replace

from halo_core.guarded.loss_calls import is_tensor
from halo_core.loss import Loss
from halo_core.option_fields import values_by_alias
from halo_core.testing.component import expect
from halo_core.testing.losses.loss_cases import Case, batch_of, call, mixed_case, settled_loss
from halo_core.testing.losses.metric_pairs import metrics_of
from halo_core.testing.option_values import with_option

WON = re.compile(r"accura|(^|[/_-])(won|wins?|correct)([/_-]|$)", re.IGNORECASE)
"""A part of the name of a metric that is the share of pairs in the right order."""

MARGIN = re.compile(r"((target|reward|least|min)_?)?margin", re.IGNORECASE)
"""Names of options that are the least difference of two rewards."""

TIED = -0.7
"""Log-probability of each token, in nats."""

MORE = (0.25, 0.5, 2.0)
"""Numbers that are added to a margin. The first one is taken that its bounds allow."""

SAME = 1e-9
"""Absolute tolerance in float64."""


def check_ties(loss: Loss) -> None:
    """Checks that no pair of two equal completions counts as one in the right order.

    Args:
        loss: A settled loss.

    Raises:
        AssertionError: When a metric that is called an accuracy is 1.
    """
    if not _is_of_pairs(loss):
        return
    case = _tied(loss)
    for name, pair in metrics_of(loss, call(loss, batch_of(loss, case), case)).items():
        total, count = (float(each.item() if is_tensor(each) else each) for each in pair)
        expect(
            not WON.search(name) or total < count or not count,
            loss,
            f"the metric {name!r} is {total / count if count else 0:g} where both completions of "
            "each pair are equally likely, as at the first step; expected 0 or 0.5, because a "
            "model that has learned nothing would look perfect. Compare with > and not >=",
        )


def check_margin(loss: Loss) -> None:
    """Checks that a larger margin does not ask less of a pair in which no side is ahead.

    Args:
        loss: The loss.

    Raises:
        AssertionError: When the loss of such a pair falls.
    """
    settled = settled_loss(loss)
    if not _is_of_pairs(settled):
        return
    case = _tied(settled)
    for alias, value in values_by_alias(loss).items():
        if not MARGIN.fullmatch(alias) or not isinstance(value, float):
            continue
        for more in MORE:
            try:
                other = settled_loss(with_option(loss, alias, value + more))  # type: ignore[arg-type]
            except Exception:
                continue  # Its bounds do not allow it.
            before = call(settled, batch_of(settled, case), case).losses
            after = call(other, batch_of(other, case), case).losses
            expect(
                bool((after >= before - SAME).all()),
                loss,
                f"with {alias}={value + more:g} in place of {value:g}, the loss of a pair whose "
                f"sides are equally likely falls from {float(before[0]):g} to "
                f"{float(after[0]):g}; expected it not to fall, because a larger margin asks for "
                "more. Is a sign wrong?",
            )
            break


def _is_of_pairs(loss: Loss) -> bool:
    is_paired = loss.resolved_feedback() == "paired" and not loss.heads()
    return is_paired and mixed_case(loss).sizes[0] == 2 and "policy_logps" in loss.needed()


def _tied(loss: Loss) -> Case:
    """Returns pairs of equal completions, which policy and reference find equally likely."""
    case = mixed_case(loss)
    same = [[TIED] * 3 for _ in case.policy]
    name = "pairs of equal completions"
    return replace(case, name=name, policy=same, reference=same, sampler=same, outputs=same)


__all__ = ["check_margin", "check_ties"]
