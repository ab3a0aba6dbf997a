"""Refuses options that a choice made elsewhere leaves without effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halo_core.component import Component


def refuse_ineffective(
    component: Component, chooser: str, belongs: Mapping[str, Sequence[str]]
) -> None:
    """Checks that an option of another choice is at its default.

    Args:
        component: With all its options.
        chooser: The option that chooses.
        belongs: The options that belong to each of its values alone.

    Raises:
        ValueError: When one is set for a choice it does not belong to.
    """
    chosen = getattr(component, chooser)
    fields = type(component).model_fields
    for choice, names in belongs.items():
        for name in names:
            default = fields[name].default
            if choice != chosen and getattr(component, name) != default:
                raise ValueError(
                    f"{name} has no effect with {chooser}: {chosen}; leave it out, or set "
                    f"{chooser}: {choice}"
                )
