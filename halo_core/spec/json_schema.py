"""The JSON schema of a spec, made from the components that are installed."""

from __future__ import annotations

from typing import Any

from halo_core.discovery import discover
from halo_core.registry import Registry, import_target

KINDS = ("loss", "reference_point", "data", "judge", "stage", "tracker", "report")


def spec_schema() -> dict[str, Any]:
    """Returns a JSON schema (draft 2020-12) that editors check specs with."""
    registry = discover()
    source = {"$ref": "#/$defs/data"}
    sets = {"anyOf": [source, {"type": "array", "items": source}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "halo spec",
        "type": "object",
        "required": ["name", "model", "stages"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string"},
            "seed": {"type": "integer", "minimum": 0},
            "model": _model(),
            "data": {
                "type": "object",
                "properties": {
                    "holdout": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
                },
                "additionalProperties": sets,
            },
            "stages": {"type": "object", "additionalProperties": {"$ref": "#/$defs/stage"}},
            "tracking": {"type": "array", "items": {"$ref": "#/$defs/tracker"}},
            "reports": {"type": "array", "items": {"$ref": "#/$defs/report"}},
        },
        "$defs": {kind: _kind(registry, kind) for kind in KINDS},
    }


def _model() -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "hub": {"type": "string"},
            "revision": {"type": "string"},
            "path": {"type": "string"},
            "scratch": {"type": "object"},
        },
    }


def _kind(registry: Registry, kind: str) -> dict[str, Any]:
    """Returns the schema of ``NAME`` or ``{use: NAME, ...}`` for a kind."""
    forms: list[dict[str, Any]] = [{"type": "string"}]
    for registration in registry.registrations:
        if registration.kind != kind:
            continue
        options = _point_to_kinds(import_target(registration).model_json_schema())
        properties = options.get("properties", {})
        use = {"const": registration.canonical}
        extra = {"split": {"type": "string"}} if kind == "data" else {}
        forms.append(
            {
                "type": "object",
                "required": ["use", *options.get("required", [])],
                "properties": {"use": use, **extra, **properties},
                "additionalProperties": False,
                "$defs": options.get("$defs", {}),
            }
        )
    return {"anyOf": forms}


def _point_to_kinds(schema: Any) -> Any:
    """Replaces the place-holder of each component option by a reference to its kind."""
    if isinstance(schema, dict):
        if "x-halo" in schema:
            return {"$ref": f"#/$defs/{schema['x-halo']}", "description": schema["description"]}
        return {key: _point_to_kinds(value) for key, value in schema.items()}
    return [_point_to_kinds(item) for item in schema] if isinstance(schema, list) else schema
