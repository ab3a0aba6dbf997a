"""Makes the tables of the spec's reference page from the schema and the installed components."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import get_origin

from pydantic.fields import FieldInfo

from halo_core.option_fields import fields_by_alias, interface_kind, marker_of
from halo_core.option_markers import PREVIOUS, Default, Refers
from halo_core.plugins.describe import component_class, facts_of
from halo_core.plugins.discovery import discover
from halo_core.plugins.registrar import Registration
from halo_core.spec.json_schema import spec_schema
from halo_core.spec.spec import TOP_LEVEL

YAML_TYPES = {"string": "text", "integer": "number", "object": "mapping", "array": "list"}


def keys_table() -> str:
    """Returns the table of the top-level keys of a spec, in their order."""
    schema = spec_schema()
    either = schema["then"]["required"]
    rows = []
    for key in TOP_LEVEL:
        about = schema["properties"][key]
        if key in schema["required"] or key in either:
            default = "required"
        else:
            default = f"`{json.dumps(about['default'])}`" if "default" in about else "none"
        rows.append([f"`{key}`", YAML_TYPES[about["type"]], default, about["description"]])
    return _table(["key", "type", "default", "meaning"], rows)


def references_table() -> str:
    """Returns the table of options that name a stage, data or samples, with their defaults."""
    rows = []
    for registration in _built_in("stage", "judge"):
        for option, info in fields_by_alias(component_class(registration)).items():
            names = marker_of(info, Refers)
            default = marker_of(info, Default)
            if names is None and default is None:
                continue
            what = _named(info, names) if names else f"a {interface_kind(info)}".replace("_", " ")
            component = f"{registration.kind} `{registration.name}`"
            meaning = _without_default(info.description or "")
            rows.append([component, f"`{option}`", what, meaning, _left_out(info, default)])
    return _table(["component", "option", "value", "meaning", "default"], rows)


def losses_table() -> str:
    """Returns the table of losses, with their feedback and their default reference point."""
    rows = []
    for registration in _built_in("loss"):
        facts = facts_of(component_class(registration))
        point = facts.get("default_reference_point", "")
        rows.append([f"`{registration.name}`", str(facts.get("feedback", "")), _named_point(point)])
    return _table(["loss", "feedback", "reference point"], rows)


def conversions_table() -> str:
    """Returns the table of conversions that halo inserts."""
    rows = [
        [*registration.converts, f"`{registration.name}`"]
        for registration in _built_in("data")
        if registration.converts
    ]
    return _table(["feedback of the data", "feedback of the loss", "conversion"], rows)


def _built_in(*kinds: str) -> Iterator[Registration]:
    registry = discover()
    found = [r for r in registry.registrations if r.kind in kinds and registry.is_built_in(r)]
    yield from sorted(found, key=lambda r: (kinds.index(r.kind), r.name))


def _named(info: FieldInfo, reference: Refers) -> str:
    if reference.product == "data":
        is_mapping = get_origin(info.annotation) is dict
        return "a mapping from names to data sets" if is_mapping else "a data set"
    what = "a model" if reference.product == "model" else reference.product
    return " or ".join([f"a stage that makes {what}", *(f"`{also}`" for also in reference.also)])


def _named_point(name: str) -> str:
    if not name:
        return "none"
    return name if " " in name else f"`{name}`"


def _without_default(description: str) -> str:
    """Returns a description without its sentences about the default, which has its own column."""
    sentences = re.split(r"(?<=\.) ", description)
    return " ".join(sentence for sentence in sentences if not sentence.startswith("If left out"))


def _left_out(info: FieldInfo, default: Default | None) -> str:
    if info.is_required():
        return "required"
    if default is None:
        return f"`{info.default}`" if isinstance(info.default, str) else "none"
    if default.of == PREVIOUS:
        return "the nearest earlier stage that makes a model, otherwise the spec's `model`"
    if interface_kind(info):
        return f"the default of the {default.of}"
    only = ", if the loss compares with a reference" if default.when else ""
    return f"the same as `{default.of}`{only}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
