"""The parts of the JSON schema that describe components: one definition for each kind.

A definition chooses the options by the value of `use`, with ``if`` and ``then``. With a list of
alternatives instead, an editor would report a wrong option as a component that fits none of them,
at the component and not at the option.
"""

from __future__ import annotations

from typing import Any

from halo_core.plugins.local_file import FILE_PREFIX
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry, import_target

Schema = dict[str, Any]


def kind_schemas(registry: Registry, kinds: tuple[str, ...]) -> Schema:
    """Returns a definition for each kind, and the definitions that components' options refer to."""
    definitions: Schema = {}
    for kind in kinds:
        of_kind = [r for r in registry.registrations if r.kind == kind]
        registrations = sorted(of_kind, key=lambda r: r.canonical)
        names = [name for r in registrations for name in registry.all_names(r)]
        definitions[kind] = {
            "type": ["string", "object"],
            "if": {"type": "object"},
            "then": {"required": ["use"], "properties": {"use": _name(names)}},
            # A text in `data` may also name a data set, or a stage that makes feedback.
            "else": {} if kind == "data" else _name(names),
            "allOf": [_if_used(r, registry.all_names(r), definitions) for r in registrations],
        }
    return definitions


def by_type(schema: Schema) -> Schema:
    """Returns a schema whose alternatives ``null`` and ``array`` are chosen by the value's type.

    A mistake in such a value is then reported at its own place. Other alternatives do not change.

    Args:
        schema: A schema, perhaps with ``anyOf``.
    """
    forms = list(schema.get("anyOf", ()))
    chosen: dict[str, Schema] = {}
    for kind in ("null", "array"):
        fitting = [form for form in forms if form.get("type") == kind]
        if len(fitting) == 1 and len(forms) > 1:
            chosen[kind] = fitting[0]
            forms.remove(fitting[0])
    if not chosen:
        return schema
    rest: Schema = forms[0] if len(forms) == 1 else {"anyOf": forms}
    for kind, form in chosen.items():
        rest = {"if": {"type": kind}, "then": form, "else": rest}
    return {**{key: value for key, value in schema.items() if key != "anyOf"}, **rest}


def _name(names: list[str]) -> Schema:
    return {"anyOf": [{"enum": names}, {"type": "string", "pattern": f"^{FILE_PREFIX}"}]}


def _if_used(registration: Registration, names: list[str], definitions: Schema) -> Schema:
    used = {"type": "object", "required": ["use"], "properties": {"use": {"enum": names}}}
    return {"if": used, "then": _component(registration, names, definitions)}


def _component(registration: Registration, names: list[str], definitions: Schema) -> Schema:
    """Returns the schema of ``{use: NAME, ...}``; adds the definitions its options refer to."""
    prefix = f"{registration.kind}.{registration.canonical}.".replace("/", ".")
    options = _pointed(import_target(registration).model_json_schema(), prefix)
    for name, definition in options.pop("$defs", {}).items():
        definitions[prefix + name] = definition
    extra = {"split": {"type": "string"}} if registration.kind == "data" else {}
    return {
        "type": "object",
        "required": ["use", *options.get("required", [])],
        "properties": {"use": {"enum": names}, **extra, **options.get("properties", {})},
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
    return by_type(pointed)
