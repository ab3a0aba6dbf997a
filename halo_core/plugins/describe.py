"""Describes a component from its class: summary, facts and options, as plain values.

`halo plugins show` prints the description, and the catalogue's index contains it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from halo_core.component import Component
from halo_core.errors import PluginError
from halo_core.plugins.import_string import described
from halo_core.plugins.local_file import local_class
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import import_target
from halo_core.secret import Secret

FACTS = ("feedback", "needs", "default_reference_point", "observes", "produces", "citation")
"""The class variables that declare what a component works with, in the order of display."""
_BOUNDS = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches {}",
}


@dataclass(frozen=True)
class Option:
    """One option of a component.

    Attributes:
        name: The name that specs use.
        type: The type, for example ``number``, ``"token" | "sequence"``, ``loss``.
        constraint: The constraint, for example ``> 0, < 0.5``; empty if there is none.
        required: Whether it must be given.
        default: The default as a JSON value.
        description: Its meaning, unit and source.
    """

    name: str
    type: str
    constraint: str
    required: bool
    default: Any
    description: str


def component_class(registration: Registration) -> type[Component]:
    """Returns the class that a registration names.

    Raises:
        PluginError: When it cannot be imported or is not a component.
    """
    imported = local_class(registration) or import_target(registration)
    if not (isinstance(imported, type) and issubclass(imported, Component)):
        raise PluginError(
            f"{registration.target} is {described(imported)}; expected a class of components",
            location=registration.where,
        )
    return imported


def summary_of(documented: object) -> str:
    """Returns the first line of the documentation of a class or function."""
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def facts_of(component: type[Component]) -> dict[str, Any]:
    """Returns the class variables that declare what a component works with, without empty ones."""
    declared = {name: getattr(component, name, None) for name in FACTS}
    facts = {name: component.described.get(name) or value for name, value in declared.items()}
    # A property belongs to a component with its options, not to the class.
    known = {k: v for k, v in facts.items() if v and not isinstance(v, property)}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in known.items()}


def options_of(component: type[BaseModel], prefix: str = "") -> list[Option]:
    """Returns the options of a component in the order of its fields. Nested names have dots.

    Args:
        component: The component, or a model that is the type of an option.
        prefix: Put before the names.
    """
    schema = component.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    options: list[Option] = []
    for name, info in component.model_fields.items():
        alias = info.alias or name
        field = schema["properties"][alias]
        options.append(
            Option(
                name=prefix + alias,
                type=_type(field, definitions),
                constraint=", ".join(_bounds(field, definitions)),
                required=info.is_required(),
                default=_default(info),
                description=info.description or "",
            )
        )
        for nested in _models(info.annotation):
            options += options_of(nested, f"{prefix}{alias}.")
    return options


def _default(info: FieldInfo) -> Any:
    if info.is_required():
        return None
    default = info.get_default(call_default_factory=True, validated_data={})
    return to_jsonable_python(default, fallback=_secret)


def _secret(value: object) -> Mapping[str, str]:
    if not isinstance(value, Secret):
        raise TypeError(f"a default cannot be a {type(value).__name__}")
    return value.tree()


def _models(annotation: Any) -> list[type[BaseModel]]:
    if get_args(annotation):
        return [model for part in get_args(annotation) for model in _models(part)]
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return [annotation] if is_model and not issubclass(annotation, Component) else []


def _type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    schema = _followed(schema, definitions)
    if "x-halo" in schema:
        return str(schema["x-halo"])
    if "x-halo-secret" in schema:
        return "secret {env: NAME}"
    if "const" in schema or "enum" in schema:
        return " | ".join(_quoted(value) for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " | ".join(_type(part, definitions) for part in schema["anyOf"])
    kind = schema.get("type", "any")
    if kind == "array" and schema.get("items"):
        return f"list of {_type(schema['items'], definitions)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"mapping to {_type(schema['additionalProperties'], definitions)}"
    return {"array": "list", "object": "mapping"}.get(kind, str(kind))


def _bounds(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> list[str]:
    schema = _followed(schema, definitions)
    own = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
    parts = [bound for part in schema.get("anyOf", ()) for bound in _bounds(part, definitions)]
    return list(dict.fromkeys(own + parts))


def _followed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Mapping[str, Any] = definitions[reference.rpartition("/")[2]]
    return target


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
