"""Checks that the policy still gives finite numbers before it is saved or exported."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from halo_models.finite import look_over
from halo_trainer.batch.packing import PackedRow
from halo_trainer.model.scorer import Scorer, without_dropout
from halo_trainer.train.optimizers import Named

LONGEST = 32
"""Largest number of tokens of a test sequence."""


class PolicyCheck:
    """Checks the trained weights, and tries the policy on a few random tokens.

    The policy gave finite numbers for these when it was loaded. If it no longer does, the steps
    since then are the cause, and not a row.

    Args:
        policy: The trained model, without a wrapper of the processes.
        parameters: Its trained weights by name.
        row: The tokens from `probe_row`.
    """

    def __init__(self, policy: Scorer, parameters: Named, row: PackedRow) -> None:
        self._policy = policy
        self._parameters = parameters
        self._row = row

    def fault(self, learning_rate: float, *, gradient: bool = False) -> str | None:
        """Returns the fault of the policy, with advice; None if there is none.

        Args:
            learning_rate: Learning rate of the last step.
            gradient: Whether the gradient is tried too. This drops the present gradient.
        """
        report = look_over(self._parameters)
        if report.bad is not None:
            more = f" (and of {report.count - 1} more tensors)" if report.count > 1 else ""
            what = f"the weights are no longer finite: {report.bad}{more}"
        elif lost := self._lost(gradient=gradient):
            grown = f"the weights have grown to {report.largest:.3g}"
            what = f"{grown}, and the model no longer {lost}, whatever it is given"
        else:
            return None
        return (
            f"{what}. The last step was too large for them, with a learning rate of "
            f"{learning_rate:.3g}, and no row is to blame: lower learning_rate, or look at "
            "optimizer_options"
        )

    def _lost(self, *, gradient: bool) -> str | None:
        """Returns what the policy no longer does or has; None if it has lost nothing."""
        with without_dropout(self._policy), torch.set_grad_enabled(gradient):
            scores = self._policy(self._row)
            values = torch.cat([scores.token_logps, *scores.heads.values()])
        if not values.isfinite().all():
            return "gives finite numbers"
        return "has a finite gradient" if gradient and not self._has_gradient(values) else None

    def _has_gradient(self, values: Tensor) -> bool:
        weights = [weight for _, weight in self._parameters]
        _drop(weights)
        values.sum().backward()  # type: ignore[no-untyped-call]
        found = [(str(i), w.grad) for i, w in enumerate(weights) if w.grad is not None]
        finite = look_over(found).bad is None
        _drop(weights)
        return finite


def _drop(weights: Sequence[Tensor]) -> None:
    for weight in weights:
        weight.grad = None
