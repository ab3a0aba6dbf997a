"""Rules for the options of a component: numbers have bounds, and defaults are valid."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from halo_core.component import Component
from halo_core.plugins.describe import Option, options_of

NUMBERS = ("number", "integer")


def unbounded(cls: type[Component]) -> list[str]:
    """Returns a sentence for each number without a bound.

    A misspelt exponent, or a sign, is then an experiment that nobody meant.
    """
    return [
        f"the option {option.name!r} is a {option.type} without a bound; write Field(..., gt=0), "
        "or another of gt, ge, lt, le"
        for option in options_of(cls)
        if _is_number(option) and not option.constraint
    ]


def invalid_defaults(cls: type[Component]) -> list[str]:
    """Returns a sentence for each option whose default a spec could not contain."""
    required = [name for name, field in cls.model_fields.items() if field.is_required()]
    if required:
        return []
    try:
        made = cls()
        cls.model_validate_json(json.dumps(_plain(made)), context={"components": {}})
    except ValidationError as error:
        return [
            f"the default of {'.'.join(map(str, each['loc']))} is not valid: {each['msg']}"
            for each in error.errors()
            if each["loc"]  # Others are about options that exclude each other.
        ]
    return []


def sample_options(cls: type[Component]) -> dict[str, Any]:
    """Returns a small valid value for each required option that is a number, a choice or a flag.

    Returns nothing for a class without a JSON schema, which breaks a rule of its own.
    """
    try:
        schema = cls.model_json_schema(by_alias=True)
    except PydanticInvalidForJsonSchema:
        return {}
    samples = {}
    for name in schema.get("required", ()):
        value = _sample(schema["properties"][name])
        if value is not None:
            samples[name] = value
    return samples


def _sample(schema: dict[str, Any]) -> Any:
    """Returns a valid value of a JSON schema; None if it is not one of a few simple types."""
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("type") == "boolean":
        return False
    if schema.get("type") not in NUMBERS:
        return None
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if schema["type"] == "integer":
        return int(low if low is not None else 0) + int("exclusiveMinimum" in schema)
    if low is not None and high is not None:
        return (low + high) / 2
    return float(low + 1 if low is not None else high - 1 if high is not None else 1)


def _plain(component: Component) -> dict[str, Any]:
    """Returns the options as JSON values, without those whose value is a component."""
    options: dict[str, Any] = component.model_dump(mode="json", by_alias=True)
    held = {
        field.alias or name
        for name, field in type(component).model_fields.items()
        if isinstance(getattr(component, name), Component)
    }
    return {name: value for name, value in options.items() if name not in held}


def _is_number(option: Option) -> bool:
    parts = {part.strip() for part in option.type.split("|")}
    return bool(parts & set(NUMBERS))
