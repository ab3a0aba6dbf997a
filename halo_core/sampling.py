"""The distribution that the tokens of a completion are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.feedback import SAMPLING

OTHER_DISTRIBUTION = (
    "takes the stored log-probabilities for those that the tokens were drawn with, but they are "
    "those of the model itself at temperature 1, over all tokens"
)
"""The mistake of a loss if the tokens were not drawn from the model's own distribution."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from a model's distribution.

    Attributes:
        temperature: Divisor of the logits. 0 takes the most probable token.
        top_p: Keeps the fewest most probable tokens whose probabilities reach this sum, (0, 1].
        top_k: Keeps this many most probable tokens. 0 keeps all.

    If tokens are equally probable, the first ones in the vocabulary are kept.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0

    @property
    def is_the_models_own(self) -> bool:
        """Whether tokens are drawn from the model's own distribution, without any change."""
        return self.temperature == 1 and (self.top_p, self.top_k) == (1, 0)

    def column(self) -> dict[str, Any]:
        """Returns its value in a row; see `SAMPLING`.

        >>> Sampling(top_p=0.95).column()
        {'temperature': 1.0, 'top_p': 0.95, 'top_k': 0}
        """
        return {name: getattr(self, name) for name in SAMPLING}

    def __str__(self) -> str:
        """Returns the options that change the model's distribution.

        >>> str(Sampling(0.7, 0.95)), str(Sampling())
        ('temperature 0.7, top_p 0.95', 'temperature 1')
        """
        own = Sampling()
        changed = [n for n in SAMPLING if getattr(self, n) != getattr(own, n)]
        return ", ".join(f"{n} {getattr(self, n):g}" for n in changed or ["temperature"])


def sampling_in(value: Mapping[str, Any]) -> Sampling:
    """Returns the sampling in a row's column.

    Args:
        value: A value with the fields of `SAMPLING`.
    """
    return Sampling(**{name: value[name] for name in SAMPLING})
