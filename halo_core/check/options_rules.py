"""Rules for the options of a component: numbers have bounds, and defaults are valid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

from halo_core.component import Component
from halo_core.data import DataSource
from halo_core.errors import PathError
from halo_core.option_fields import marks, parts_of
from halo_core.option_markers import Location
from halo_core.plugins.describe import Option, options_of
from halo_core.secret import ENV
from halo_core.tracker import Tracker
from halo_core.workspace.user_paths import user_path

NUMBERS = ("number", "integer")

BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
"""Keys of a JSON schema that bound a number."""

SECRET = re.compile(r"(?i)(?:\w*_)?(?:api_?key|secret|password|passwd|passphrase|credentials?)")
"""Names of options that say that their value is a secret."""

VARIABLE = "HALO_CHECK_SECRET"
"""Name of the variable of a required secret of a tracker, for which a check makes a value."""


def unbounded(cls: type[Component]) -> list[str]:
    """Returns a sentence for each number without a bound, also in a list.

    A misspelt exponent, or a sign, is then an experiment that nobody meant.
    """
    schema = cls.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    problems = [
        f"the option {option.name!r} is a {option.type} without a bound; write Field(..., gt=0), "
        "or another of gt, ge, lt, le"
        for option in options_of(cls)
        if _is_number(option) and not option.constraint
    ]
    validators = cls.__pydantic_decorators__
    if validators.field_validators or validators.model_validators:
        return problems  # They may bound the items of lists, which a schema of two forms cannot.
    for name, part in schema.get("properties", {}).items():
        if any(_has_free_number(inner, definitions) for inner in _items_of(part, definitions)):
            problems.append(
                f"the option {name!r} has numbers without a bound; write "
                "Annotated[float, Field(gt=0)] for them, or another of gt, ge, lt, le"
            )
    return problems


def _items_of(
    schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Yields the schemas of the items of a list.

    The values of a mapping are left out: their names are those of something else, such as an
    optimiser, and so are their bounds.
    """
    schema = _followed(schema, definitions)
    if isinstance(schema.get("items"), Mapping) and schema["items"]:
        yield schema["items"]
    yield from schema.get("prefixItems", ())
    for part in schema.get("anyOf", ()):
        yield from _items_of(part, definitions)


def _has_free_number(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    schema = _followed(schema, definitions)
    # Whole numbers of a list may be steps or positions, which have no bounds.
    if schema.get("type") == "number" and "enum" not in schema and "const" not in schema:
        return not any(name in schema for name in BOUNDS)
    parts = [*schema.get("anyOf", ()), *_items_of(schema, definitions)]
    return any(_has_free_number(part, definitions) for part in parts)


def _followed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    found: Mapping[str, Any] = definitions.get(reference.rpartition("/")[2], schema)
    return found if reference else schema


def unclear_types(cls: type[Component]) -> list[str]:
    """Returns a sentence for each option that takes anything, or whose type has another one here.

    A path without its marker is relative to wherever halo is started, and a moved folder computes
    everything again. A secret as a text is in all records of a run.
    """
    problems = []
    properties = cls.model_json_schema(by_alias=True).get("properties", {})
    for name, field in cls.model_fields.items():
        alias = field.alias or name
        if not {"type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"} & {*properties[alias]}:
            problems.append(
                f"the option {alias!r} takes any value, so a mistake in a spec has no message; "
                "give it a type"
            )
        parts = set(parts_of(field.annotation))
        if any(isinstance(part, type) and issubclass(part, PurePath) for part in parts):
            if not marks(field, Location):
                problems.append(
                    f"the option {alias!r} is a path without a marker, so it is relative to the "
                    "folder where halo is started, and a part of the identity of results; write "
                    "Annotated[Path, Location()]"
                )
        if str in parts and SECRET.fullmatch(alias):
            problems.append(
                f"the option {alias!r} is a text, and its name is that of a secret; a run records "
                "its options, so write halo_core.Secret, or rename it"
            )
    return problems


def invalid_defaults(cls: type[Component]) -> list[str]:
    """Returns a sentence for each option whose default a spec could not contain."""
    required = [name for name, field in cls.model_fields.items() if field.is_required()]
    if required:
        return []
    try:
        made = cls()
        if made != cls():
            return [
                "the defaults are other ones each time (default_factory); a run could not be "
                "repeated, and its results would never be found again"
            ]
        cls.model_validate_json(json.dumps(_plain(made)), context={"components": {}})
    except ValidationError as error:
        return [
            f"the default of {'.'.join(map(str, each['loc']))} is not valid: {each['msg']}"
            for each in error.errors()
            if each["loc"]  # Others are about options that exclude each other.
        ]
    return []


def as_in_a_spec(cls: type[Component], options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns options with the types that a spec would give them, and with absolute paths.

    Args:
        cls: The class of the component.
        options: The options as YAML values. Unknown and invalid ones come back as they are.
        folder: The folder that relative paths are relative to.

    Raises:
        PathError: When an option of a data source names a file that does not exist.
    """
    fields = {field.alias or name: field for name, field in cls.model_fields.items()}
    typed = dict(options)
    for name, value in options.items():
        if name in fields and marks(fields[name], Location):
            value = _located(value, folder)
            if issubclass(cls, DataSource):
                _check_there(name, value)
            typed[name] = value
        elif issubclass(cls, DataSource) and _is_file_of(value, folder):
            # A rule tells the author that the marker is missing.
            typed[name] = str(user_path(value, folder))
            continue
        if name in fields:
            with suppress(ValidationError, TypeError, PydanticUserError):
                kind: Any = fields[name].annotation
                typed[name] = TypeAdapter(kind).validate_json(json.dumps(value))
    return typed


def _is_file_of(value: object, folder: Path) -> bool:
    """Returns whether a text names a file, and does not only have the name of one by chance."""
    named = isinstance(value, str) and ("." in value or "/" in value)
    return named and (folder / str(value)).is_file()


def _located(value: Any, folder: Path) -> Any:
    """Returns the absolute paths of an option that is marked with `Location`, as in a spec."""
    if isinstance(value, str):
        return str(user_path(value, folder))
    return [_located(each, folder) for each in value] if isinstance(value, list) else value


def _check_there(name: str, value: Any) -> None:
    for path in value if isinstance(value, list) else [value]:
        if isinstance(path, str) and not Path(path).exists():
            raise PathError(f"{name}: {path} does not exist", location="--set")


def sample_options(cls: type[Component]) -> dict[str, Any]:
    """Returns a small valid value for each required option that is a number, a choice or a flag.

    A secret of a tracker is `VARIABLE`.

    Returns nothing for a class without a JSON schema, which breaks a rule of its own.
    """
    try:
        schema = cls.model_json_schema(by_alias=True)
    except PydanticInvalidForJsonSchema:
        return {}
    samples = {}
    for name in schema.get("required", ()):
        part = schema["properties"][name]
        # The rules for trackers give the variable a value; a judge with a secret costs money.
        secret = issubclass(cls, Tracker) and part.get("x-halo-secret")
        value = {ENV: VARIABLE} if secret else _sample(part)
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
