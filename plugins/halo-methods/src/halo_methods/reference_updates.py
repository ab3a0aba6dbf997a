"""The reference updates: when, and how much, the policy is mixed into its reference.

Neither changes the reference before step 1, so the first step is scored against the model that the
spec names. If the training starts from this model, the policy still equals it then.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from halo_core.reference_update import ReferenceUpdate

_HUMANLINE = "Liu, Muennighoff & Ethayarajh (2025), Humanline, arXiv 2509.24207"
_TR_DPO = "Gorbatovski et al. (2024), Learn Your Reference Model, arXiv 2404.09656"


class Copy(ReferenceUpdate):
    """Copies the policy into the reference after every K optimiser steps.

    The copy is made before the steps K + 1, 2 K + 1, and so on are scored. So the log-ratios of
    those steps are 0, and with K = 1 all log-ratios are 0. This is the reference of Humanline, and
    the hard update of TR-DPO.

    References:
        Liu, Muennighoff & Ethayarajh (2025), Humanline: an earlier policy, renewed every k steps.
        Gorbatovski et al. (2024), Learn Your Reference Model: the hard update.

    >>> [Copy(every=2).mix(step) for step in range(1, 7)]
    [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    """

    citation: ClassVar[str | None] = f"{_HUMANLINE}; {_TR_DPO}, the hard update"

    every: int = Field(
        ge=1,
        description="Optimiser steps between copies (Humanline's k). With 1 the policy always "
        "equals its reference when it is scored.",
    )

    def mix(self, step: int) -> float:
        """Returns 1 after every K steps, else 0."""
        return float(step > 1 and (step - 1) % self.every == 0)


class EMA(ReferenceUpdate):
    """Keeps the reference at an exponential moving average of the policy's weights.

    Before every step from the second on, ``reference = decay * reference + (1 - decay) * policy``.
    This is the soft update of TR-DPO, whose alpha is 1 - decay.

    References:
        Gorbatovski et al. (2024), Learn Your Reference Model: the soft update.

    >>> [round(EMA(decay=0.9).mix(step), 3) for step in range(1, 4)]
    [0.0, 0.1, 0.1]
    """

    citation: ClassVar[str | None] = f"{_TR_DPO}, the soft update"

    decay: float = Field(
        gt=0,
        lt=1,
        description="Share of the reference that is kept at each step. The policy of n steps ago "
        "has the weight (1 - decay) * decay^n.",
    )

    def mix(self, step: int) -> float:
        """Returns 1 - decay from step 2 on."""
        return 1 - self.decay if step > 1 else 0.0
