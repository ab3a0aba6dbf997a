"""The JSON schema of a spec with the installed components."""

from __future__ import annotations

from typing import Any, get_args

from halo_core.plugins.discovery import discover
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry, import_target
from halo_core.spec.inserted import base_model_stages, default_reports
from halo_core.spec.spec import Overlap

KINDS = (
    "loss",
    "reference_point",
    "reference_update",
    "data",
    "judge",
    "stage",
    "tracker",
    "report",
)


def spec_schema() -> dict[str, Any]:
    """Returns a JSON schema (draft 2020-12) with which editors check specs."""
    registry = discover()
    source = {"$ref": "#/$defs/data"}
    sets = {"anyOf": [source, {"type": "array", "items": source}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "halo spec",
        "type": "object",
        "required": ["name"],
        # A cell of the matrix may set what the spec itself leaves out.
        "anyOf": [{"required": ["model", "stages"]}, {"required": ["matrix"]}],
        "additionalProperties": False,
        "properties": {
            "name": {
                "type": "string",
                "description": "Name of the run: letters, digits, `-`, `_` and `.`.",
            },
            "seed": {
                "type": "integer",
                "minimum": 0,
                "maximum": 2**31 - 1,
                "default": 0,
                "description": "Seed of all random numbers in all stages.",
            },
            "model": _model(registry),
            "data": {
                "type": "object",
                "default": {},
                "description": "Data sets by name. Each one is a data source or a list of them.",
                "properties": {
                    "holdout": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
                },
                "additionalProperties": sets,
            },
            "overlap": {
                "enum": list(get_args(Overlap)),
                "type": "string",
                "default": "error",
                "description": "Test rows that are also training rows: an `error`, or `warn`.",
            },
            "stages": {
                "type": "object",
                "description": "Stages by id. They run in the order in which they are written.",
                "additionalProperties": {"$ref": "#/$defs/stage"},
            },
            "tracking": {
                "type": "array",
                "default": [],
                "description": "Trackers that receive the events of the run.",
                "items": {"$ref": "#/$defs/tracker"},
            },
            "reports": {
                "type": "array",
                "default": default_reports(registry),
                "description": "Pages that are written about the run.",
                "items": {"$ref": "#/$defs/report"},
            },
            "matrix": _matrix(),
        },
        "$defs": _kinds(registry),
    }


def _model(registry: Registry) -> dict[str, Any]:
    return {
        "description": "Model that the first stage starts from.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "hub": {"type": "string"},
            "revision": {"type": "string"},
            "path": {"type": "string"},
            **{name: {"type": "object"} for name in base_model_stages(registry)},
        },
    }


def _matrix() -> dict[str, Any]:
    settings = {"type": ["object", "null"]}
    name = {"type": ["string", "number", "boolean", "null"]}
    names = {"anyOf": [name, {"type": "array", "items": name}]}
    rule = {"type": "object", "minProperties": 1}
    values = {
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"type": ["string", "number", "boolean", "null"]},
    }
    return {
        "description": "Axes of a suite: named cells with paths of the spec and their values, or "
        "a path with a list of values.",
        "type": "object",
        "properties": {
            "exclude": {"type": "array", "items": {**rule, "additionalProperties": names}},
            "include": {
                "type": "array",
                "items": {**rule, "properties": {"set": settings}, "additionalProperties": name},
            },
        },
        "additionalProperties": {
            "type": "object",
            "minProperties": 1,
            "if": {"additionalProperties": {"not": {"type": "array"}}},
            "then": {"additionalProperties": settings},
            "else": {"maxProperties": 1, "additionalProperties": values},
        },
    }


def _kinds(registry: Registry) -> dict[str, Any]:
    """Returns a definition per kind, and the definitions that components' options refer to."""
    definitions: dict[str, Any] = {}
    for kind in KINDS:
        forms: list[dict[str, Any]] = [{"type": "string"}]
        for registration in registry.registrations:
            if registration.kind == kind:
                forms.append(_component(registration, definitions))
        definitions[kind] = {"anyOf": forms}
    return definitions


def _component(registration: Registration, definitions: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of ``{use: NAME, ...}``; adds the definitions its options refer to."""
    prefix = f"{registration.kind}.{registration.canonical}.".replace("/", ".")
    options = _pointed(import_target(registration).model_json_schema(), prefix)
    for name, definition in options.pop("$defs", {}).items():
        definitions[prefix + name] = definition
    extra = {"split": {"type": "string"}} if registration.kind == "data" else {}
    use = {"const": registration.canonical}
    return {
        "type": "object",
        "required": ["use", *options.get("required", [])],
        "properties": {"use": use, **extra, **options.get("properties", {})},
        "additionalProperties": False,
    }


def _pointed(schema: Any, prefix: str) -> Any:
    """Returns a component's schema, with references that point to the spec's definitions."""
    if isinstance(schema, list):
        return [_pointed(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "x-halo" in schema:
        return {"$ref": f"#/$defs/{schema['x-halo']}", "description": schema["description"]}
    pointed = {key: _pointed(value, prefix) for key, value in schema.items()}
    if isinstance(schema.get("$ref"), str):
        pointed["$ref"] = schema["$ref"].replace("#/$defs/", f"#/$defs/{prefix}")
    return pointed
