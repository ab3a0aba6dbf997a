"""The interface of a reference update: when and how much the policy is mixed into its reference.

Before optimiser step s, the training replaces every weight of its reference by

    reference = (1 - mix(s)) * reference + mix(s) * policy

where the policy is the one before the step. Without an update, the reference does not change.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from halo_core.component import Component


class ReferenceUpdate(Component):
    """Decides which share of the policy is mixed into the reference before each optimiser step.

    A final subclass has one method. This one copies the policy before the steps 2, 4, 8, ...::

        def mix(self, step: int) -> float:
            return float(step > 1 and step & (step - 1) == 0)
    """

    kind: ClassVar[str] = "reference_update"

    @abstractmethod
    def mix(self, step: int) -> float:
        """Returns the share of the policy that goes into the reference before a step.

        The share must depend only on the step and the options. The training asks for all steps
        before the first one, and again when it continues after a stop.

        Args:
            step: The next optimiser step, counted from 1. Before step 1, the policy is the model
                that the training starts from.

        Returns:
            A number from 0, which leaves the reference unchanged, to 1, which copies the policy.
        """
