"""Checks all that a loss declares about itself once, so that later callers can rely on it."""

from __future__ import annotations

from collections.abc import Collection
from typing import get_args

from halo_core.errors import did_you_mean
from halo_core.feedback import Feedback
from halo_core.guarded.blame import blaming, plugin_error
from halo_core.guarded.loss_calls import control_tokens_of, heads_of, mistakes_within_pairs_of
from halo_core.loss import Loss, Need


def check_claims(loss: Loss) -> None:
    """Checks what a loss declares about itself with its options. The check of a spec calls it.

    Raises:
        PluginError: When a declaration is invalid, or raises. The error names the loss, and not
            the stage or the wrapper that would otherwise fail later.
    """
    _check_feedback(loss)
    _check_needs(loss)
    _check_point(loss)
    heads_of(loss)
    control_tokens_of(loss)
    mistakes_within_pairs_of(loss)
    with blaming(loss, "weighs_examples"):
        weighs: object = loss.weighs_examples()
    if not isinstance(weighs, bool):
        raise plugin_error(loss, "weighs_examples", f"returned {weighs!r}; expected True or False")


def _check_feedback(loss: Loss) -> None:
    with blaming(loss, "resolved_feedback"):
        feedback: object = loss.resolved_feedback()
    # Nothing is learned from prompts alone.
    kinds = [kind for kind in get_args(Feedback) if kind != "prompts"]
    if feedback not in kinds:
        what = f"returned {feedback!r}; expected one of {', '.join(kinds)}"
        raise plugin_error(loss, "resolved_feedback", what)


def _check_needs(loss: Loss) -> None:
    with blaming(loss, "needed"):
        needs: object = loss.needed()
    if not isinstance(needs, Collection) or isinstance(needs, str):
        what = f"returned {needs!r}; expected a tuple, as in ('policy_logps',)"
        raise plugin_error(loss, "needed", what)
    known = get_args(Need)
    for need in needs:
        if need not in known:
            guess = did_you_mean(str(need), known)
            what = f"names {need!r}.{guess} Known: {', '.join(known)}"
            raise plugin_error(loss, "needed", what)
    # A wrapper declares no needs, because it needs what the wrapped loss needs.
    declared = getattr(type(loss), "needs", needs)
    if more := [need for need in needs if need not in declared]:
        what = f"names {more[0]!r}, which the class variable needs does not"
        raise plugin_error(loss, "needed", what)


def _check_point(loss: Loss) -> None:
    with blaming(loss, "resolved_reference_point"):
        point: object = loss.resolved_reference_point()
    if point is not None and not isinstance(point, str):
        what = f"returned {point!r}; expected the name of a reference point, or None"
        raise plugin_error(loss, "resolved_reference_point", what)


__all__ = ["check_claims"]
