"""Tries other texts as values of options, which must work or be refused when a spec is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from halo_core.component import Component
from halo_core.errors import error_text
from halo_core.option_fields import marked
from halo_core.option_markers import Location
from halo_core.testing.component import expect
from halo_core.testing.option_values import with_option

ComponentT = TypeVar("ComponentT", bound=Component)

TEXTS = ("another text", "")
"""Texts that are tried as values of an option that takes any text."""


def check_texts(component: ComponentT, use: Callable[[ComponentT], object], doing: str) -> None:
    """Checks that a component works with other texts as options, or refuses to be made with them.

    An error because a file does not exist is left out.

    Args:
        component: The component.
        use: Uses it.
        doing: Words for this use, for the message.

    Raises:
        AssertionError: When it can be made with a text, and a use of it raises.
    """
    for alias, text in _other_texts(component):
        try:
            other: Any = with_option(component, alias, text)
        except Exception:
            continue  # Refused, or `check_option_values` reports it.
        try:
            use(other)
        except Exception as error:
            cause = error.__cause__ if isinstance(error, AssertionError) else error
            if not isinstance(cause, Exception) or isinstance(cause, OSError):
                continue  # Another rule, or a file that does not exist.
            told = (
                f"with {alias}={text!r}, {doing} raises {error_text(cause)}; expected a validator "
                "of the option that refuses the text with a ValueError, before a training starts"
            )
            expect(False, component, told)


def _other_texts(component: Component) -> Iterator[tuple[str, str]]:
    """Yields options that take any text, by the names that specs use, each with another text."""
    cls = type(component)
    schema, places = cls.model_json_schema(by_alias=True), marked(cls, Location)
    for name, field in cls.model_fields.items():
        alias = field.alias or name
        part = schema["properties"][alias]
        free = part.get("type") == "string" and not {"enum", "const", "format"} & {*part}
        if free and alias not in places and isinstance(getattr(component, name), str):
            yield from ((alias, text) for text in TEXTS)


__all__ = ["check_texts"]
