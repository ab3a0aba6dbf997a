"""Checks the rewards of a loss, and that a call of it only computes."""

from __future__ import annotations

from dataclasses import replace

from halo_core.loss import Loss
from halo_core.testing.component import expect
from halo_core.testing.loss_cases import batch_of, call, mixed_case, ordinary_cases, settled_loss
from halo_core.testing.stateless import keeps_nothing, only_computes

RAISED = 0.5
"""Factor of the log-probability of each token of one completion, so that it stays below 0."""

FALL = 1e-9
"""A reward that falls by at most this counts as unchanged."""


def check_rewards(loss: Loss) -> None:
    """Checks that no reward falls when its completion becomes more likely.

    The policy equals its reference, as in `check_direction`. A reward is the same for a desirable
    and an undesirable completion: it says how much more likely the policy makes it.

    Raises:
        AssertionError: When a reward falls.
    """
    loss = settled_loss(loss)
    if "policy_logps" not in loss.needed():
        return
    mixed = mixed_case(loss)
    case = replace(mixed, name="a policy that equals its reference", policy=mixed.reference)
    rewards = call(loss, batch_of(loss, case), case).rewards
    if rewards is None:
        return
    for row in range(len(case.policy)):
        policy = [list(tokens) for tokens in case.policy]
        policy[row] = [RAISED * token for token in policy[row]]
        moved = replace(case, policy=policy)
        now = call(loss, batch_of(loss, moved), moved).rewards
        fall = 0.0 if now is None else float(rewards[row] - now[row])
        expect(
            fall <= FALL,
            loss,
            f"on {case.name}: the reward of completion {row} falls by {fall:.3g} when it becomes "
            "more likely; expected it to rise, whether it is desirable or not. Is a sign wrong?",
        )


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
