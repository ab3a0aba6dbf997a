"""How a reward model scores: the options that all processes of the judge share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from halo_core.stage import ModelInput

JUDGE = "the judge reward-model"
"""Name of the judge, as the location of errors."""


@dataclass(frozen=True)
class Recipe:
    """A classifier, and how it scores.

    Attributes:
        model: The place of the classifier.
        label: The label whose score counts; None for the only one.
        probability: Whether a score is the label's probability; else its logit.
        reads: The part that the model reads.
        max_length: Maximum number of tokens; None for the model's own limit.
        precision: Precision of the weights.
        batch_size: Number of completions per batch.
    """

    model: ModelInput
    label: str | None
    probability: bool
    reads: Literal["conversation", "completion"]
    max_length: int | None
    precision: Literal["auto", "float32", "bfloat16"]
    batch_size: int

    def tree(self) -> dict[str, Any]:
        """Returns the recipe as a JSON object."""
        return asdict(self)

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Recipe:
        """Returns the recipe of an object that `tree` made.

        >>> recipe = Recipe(ModelInput("m", None, ""), None, False, "completion", 8, "auto", 2)
        >>> Recipe.of(recipe.tree()) == recipe
        True
        """
        return cls(**{**tree, "model": ModelInput(**tree["model"])})
