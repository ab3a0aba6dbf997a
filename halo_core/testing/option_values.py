"""Other valid values of a component's options, so that rules can see what an option changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from halo_core.component import Component

ComponentT = TypeVar("ComponentT", bound=Component)


def other_values(component: Component) -> Iterator[tuple[str, Any]]:
    """Yields options by the names that specs use, each with another value than it has.

    These are numbers at their bounds and next to their value, some beyond it where a bound is
    missing, switches, choices, and lists of numbers in another order, empty, or with a number that
    comes twice. At the end, each number gets the value of each other one, because two may have to
    differ. A text is left out, because it may have to name something that exists.

    Args:
        component: The component. Its class must have a JSON schema.
    """
    cls = type(component)
    schema = cls.model_json_schema(by_alias=True)
    for name, field in cls.model_fields.items():
        alias, value = field.alias or name, getattr(component, name)
        part = _followed(schema["properties"][alias], schema.get("$defs", {}))
        for other in _others(part, value, schema.get("$defs", {})):
            if other != value or type(other) is not type(value):
                yield alias, other
    yield from _equal_numbers(component, schema)


def _equal_numbers(
    component: Component, schema: Mapping[str, Any]
) -> Iterator[tuple[str, int | float]]:
    """Yields numbers that another option of the same type has."""
    numbers = {
        field.alias or name: getattr(component, name)
        for name, field in type(component).model_fields.items()
        if type(getattr(component, name)) in (int, float)
    }
    for alias, value in numbers.items():
        part = _followed(schema["properties"][alias], schema.get("$defs", {}))
        same = {n for n in numbers.values() if type(n) is type(value) and n != value}
        yield from ((alias, other) for other in sorted(same) if _is_within(part, other))


def _is_within(schema: Mapping[str, Any], number: float) -> bool:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    return (
        (low is None or number >= low)
        and (high is None or number <= high)
        and (above is None or number > above)
        and (below is None or number < below)
    )


def with_option(component: Component, alias: str, value: Any) -> Component:
    """Returns a component with another value of one option.

    Args:
        component: The component.
        alias: The name of the option in specs.
        value: The value, as a spec would give it.

    Raises:
        ValidationError: When the options are not valid together.
    """
    fields = type(component).model_fields
    options = {field.alias or name: getattr(component, name) for name, field in fields.items()}
    return type(component).model_validate({**options, alias: value})


def with_lowest(component: ComponentT) -> ComponentT:
    """Returns a component in which each number is at its lower bound, if the bound is allowed.

    Args:
        component: The component. Its class must have a JSON schema.

    Raises:
        ValueError: When the options are not valid together.
    """
    cls = type(component)
    schema = cls.model_json_schema(by_alias=True)
    fields = cls.model_fields.items()
    options = {field.alias or name: getattr(component, name) for name, field in fields}
    for alias, value in options.items():
        part = _followed(schema["properties"][alias], schema.get("$defs", {}))
        if type(value) in (int, float) and "minimum" in part:
            options[alias] = type(value)(part["minimum"])
    return cls.model_validate(options)


def _others(schema: Mapping[str, Any], value: Any, definitions: Mapping[str, Any]) -> Iterator[Any]:
    if "anyOf" in schema:
        for part in schema["anyOf"]:
            yield from _others(_followed(part, definitions), value, definitions)
    elif "enum" in schema:
        yield from schema["enum"]
    elif schema.get("type") == "boolean":
        yield not value
    elif schema.get("type") == "integer":
        yield from _numbers(schema, value if type(value) is int else 0, 1)
    elif schema.get("type") == "array":
        yield from _lists(_followed(schema.get("items") or {}, definitions), value)
    elif schema.get("type") == "number":
        near = value if isinstance(value, float) and abs(value) < 1e9 else 0.0
        yield from (float(each) for each in _numbers(schema, near, max(abs(near) / 2, 1e-3)))


def _numbers(schema: Mapping[str, Any], near: Any, step: Any) -> Iterator[Any]:
    """Yields the bounds that are allowed, the one in the middle, and those next to another one."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    first, last = (low if low is not None else above), (high if high is not None else below)
    middle = None
    if first is not None and last is not None:
        middle = (first + last) // 2 if type(step) is int else (first + last) / 2
    beyond: list[Any] = [] if first is not None else [0, -1] if type(step) is int else [-far(near)]
    if last is None and type(step) is float:  # A large whole number may be one of rows to make.
        beyond.append(far(near))
    for number in (near + step, near - step, low, high, middle, *beyond):
        if number is not None and _is_within(schema, number):
            yield number


def far(near: float) -> float:
    """Returns a number that is far from another one, but not so far that a square overflows."""
    return max(2.0, 10 * abs(near))


def _lists(item: Mapping[str, Any], value: Any) -> Iterator[Any]:
    """Yields other lists of numbers."""
    if item.get("type") in ("integer", "number") and isinstance(value, list | tuple) and value:
        kind = type(value)
        yield from (kind(value[::-1]), kind([*value, value[-1]]), kind())


def _followed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    return definitions.get(reference.rpartition("/")[2], schema) if reference else schema


__all__ = ["other_values", "with_lowest", "with_option"]
