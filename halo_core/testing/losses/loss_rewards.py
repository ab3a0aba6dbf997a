"""Checks the rewards of a loss, and that a call of it only computes."""

from __future__ import annotations

from dataclasses import replace

from halo_core.loss import Loss
from halo_core.testing.component import expect
from halo_core.testing.losses.loss_cases import (
    Case,
    batch_of,
    call,
    mixed_case,
    ordinary_cases,
    settled_loss,
)
from halo_core.testing.stateless import keeps_nothing, only_computes

RAISED = 0.5
"""Factor of the log-probability of each token of one completion, so that it stays below 0."""

FALL = 1e-9
"""A reward that falls by at most this counts as unchanged."""


def check_rewards(loss: Loss) -> None:
    """Checks that rewards follow the probabilities of their completions, and none falls with it.

    A reward is the same for a desirable and an undesirable completion: it says how much more likely
    the policy makes it. Where the policy equals its reference, as in `check_direction`, no reward
    falls when its completion becomes more likely. There or on a mixed batch, at least one changes.

    Raises:
        AssertionError: When a reward falls, or none changes. If the loss has heads, rewards may
            come from their outputs, and need not change.
    """
    loss = settled_loss(loss)
    if "policy_logps" not in loss.needed():
        return
    mixed = mixed_case(loss)
    case = replace(mixed, name="a policy that equals its reference", policy=mixed.reference)
    changes = _changes(loss, case)
    for row, change in enumerate(changes):
        expect(
            -change <= FALL,
            loss,
            f"on {case.name}: the reward of completion {row} falls by {-change:.3g} when it "
            "becomes more likely; expected it to rise, whether it is desirable or not. Is a sign "
            "wrong?",
        )
    expect(
        not changes or bool(loss.heads()) or any(changes) or any(_changes(loss, mixed)),
        loss,
        "no reward changes when its own completion becomes more likely; expected it to rise. Do "
        "the rewards have the order of the batch?",
    )


def _changes(loss: Loss, case: Case) -> list[float]:
    """Returns the change of each reward when its own completion alone becomes more likely."""
    rewards = call(loss, batch_of(loss, case), case).rewards
    if rewards is None:
        return []
    changes = []
    for row in range(len(case.policy)):
        policy = [list(tokens) for tokens in case.policy]
        policy[row] = [RAISED * token for token in policy[row]]
        moved = replace(case, policy=policy)
        now = call(loss, batch_of(loss, moved), moved).rewards
        changes.append(0.0 if now is None else float(now[row] - rewards[row]))
    return changes


def check_stateless(loss: Loss) -> None:
    """Checks that a call keeps nothing for later calls, writes no file and changes no setting.

    Raises:
        AssertionError: When it does.
    """
    loss = settled_loss(loss)
    calls = [(batch_of(loss, case), case) for case in ordinary_cases(loss)]
    call(loss, *calls[0])
    with keeps_nothing(loss, "a call"):
        for batch, case in calls:
            call(loss, batch, case)
    with only_computes(loss, "a call"):  # By now, every case has imported what it needs.
        for batch, case in calls:
            call(loss, batch, case)
