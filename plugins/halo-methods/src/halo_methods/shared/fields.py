"""Options that several losses have, and messages about mistakes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from halo_core.component import Component

Per = Literal["token", "sequence"]
PER = (
    "Unit that counts once in the mean over the global batch: each completion token (longer "
    "completions count more), or each completion with its sum over tokens."
)


def one_message(expected: str) -> WrapValidator:
    """Returns a validator that names the expected value if no type of a union fits.

    Args:
        expected: For example ``a number of at least 0, or 'auto'``.
    """

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValueError as error:
            message = f"Input should be {expected}"
            raise PydanticCustomError("no_type_fits", "{message}", {"message": message}) from error

    return WrapValidator(validate)


def refuse_ineffective(
    component: Component, chooser: str, belongs: Mapping[str, Sequence[str]]
) -> None:
    """Checks that options of an unselected choice are at their defaults.

    Args:
        component: The component with all its options.
        chooser: The option that chooses.
        belongs: The options that have an effect only with one value, by that value.

    Raises:
        ValueError: When an option is set for a choice that it does not belong to.
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
