"""One error for an option that may be of several types, where pydantic has one for each type."""

from __future__ import annotations

from typing import Any

from pydantic import ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError


def one_message(expected: str) -> WrapValidator:
    """Returns a validator that says what was expected when no type of a union fits.

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
