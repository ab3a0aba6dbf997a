"""The JSON schema of a spec with the installed components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from halo_core.plugins.discovery import discover
from halo_core.plugins.registry import Registry
from halo_core.spec.component_schema import by_type, kind_schemas
from halo_core.spec.inserted import base_model_stages, default_reports, only_needed_option
from halo_core.spec.rounds import MOST_ROUNDS
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


def spec_schema(registry: Registry | None = None) -> dict[str, Any]:
    """Returns a JSON schema (draft 2020-12) with which editors check specs.

    Args:
        registry: The components that specs can use; the installed ones by default.
    """
    registry = registry or discover()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "halo spec",
        "type": "object",
        "required": ["name"],
        # A cell of the matrix may set what the spec itself leaves out.
        "if": {"not": {"required": ["matrix"]}},
        "then": {"required": ["model", "stages"]},
        "additionalProperties": False,
        "properties": {
            "name": {
                "type": "string",
                "description": "First part of the name of the run and of its folder: a letter or a "
                "digit, then letters, digits, `-`, `_` and `.`. halo adds a hash.",
            },
            "seed": {
                "type": "integer",
                "minimum": 0,
                "maximum": 2**31 - 1,
                "default": 0,
                "description": "Seed of all random numbers in all stages.",
            },
            "model": _model(registry),
            "data": _data(),
            "overlap": {
                "enum": list(get_args(Overlap)),
                "type": "string",
                "default": "error",
                "description": "Reaction to test rows that are also training rows: `error` or "
                "`warn`.",
            },
            "stages": {
                "type": "object",
                "description": "Stages by id. They run in the order in which they are written.",
                "additionalProperties": {"$ref": "#/$defs/stage"},
            },
            "rounds": _rounds(),
            "tracking": _list("tracker", [], "Trackers that receive the events of the run."),
            "reports": _list(
                "report", default_reports(registry), "Pages that are written about the run."
            ),
            "matrix": _matrix(),
        },
        "$defs": kind_schemas(registry, KINDS),
    }


def _data() -> dict[str, Any]:
    source = {"$ref": "#/$defs/data"}
    return {
        "type": "object",
        "default": {},
        "description": "Data sets by name. Each one is a data source or a list of them.",
        "properties": {"holdout": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}},
        "additionalProperties": by_type({"anyOf": [source, {"type": "array", "items": source}]}),
    }


def _list(kind: str, default: Sequence[str], description: str) -> dict[str, Any]:
    """Returns the schema of a list of components of a kind."""
    return {
        "type": "array",
        "default": default,
        "description": description,
        "items": {"$ref": f"#/$defs/{kind}"},
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
            **{name: _made(name, registry) for name in base_model_stages(registry)},
        },
    }


def _made(name: str, registry: Registry) -> dict[str, Any]:
    short = only_needed_option(registry, name) is not None
    return {"type": ["object", "string"] if short else "object"}


def _rounds() -> dict[str, Any]:
    return {
        "description": "Stages that run several times, one round after another, and the number of "
        "rounds.",
        "type": "object",
        "required": ["n", "stages"],
        "additionalProperties": False,
        "properties": {
            "n": {
                "type": "integer",
                "minimum": 1,
                "maximum": MOST_ROUNDS,
                "description": "Number of rounds.",
            },
            "stages": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "uniqueItems": True,
                "description": "Ids of the stages of a round, which follow one another.",
            },
            "from": {
                "type": "string",
                "description": "Model that the first round starts from. Default: the nearest "
                "earlier one.",
            },
        },
    }


def _matrix() -> dict[str, Any]:
    settings = {"type": ["object", "null"]}
    name = {"type": ["string", "number", "boolean", "null"]}
    names = by_type({"anyOf": [name, {"type": "array", "items": name}]})
    rule = {"type": "object", "minProperties": 1}
    values = {
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"type": ["string", "number", "boolean", "null"]},
    }
    return {
        "description": "Axes of settings that vary. Each axis has named values. Each combination "
        "of one value per axis is a run, which is called a cell.",
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
