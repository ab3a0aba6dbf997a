"""Makes the components that options of a checked component contain, such as a wrapped source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halo_core.component import Component
from halo_core.errors import UserError
from halo_core.option_fields import fields_by_alias, interface_kind
from halo_core.plugins.registry import Registry
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolver import Resolver


def with_held(
    cls: object, options: Mapping[str, Any], registry: Registry, folder: Path
) -> dict[str, Any]:
    """Returns options in which ``{use: NAME, ...}`` and names are components, as in a spec.

    Args:
        cls: The class of the component, or something else, whose options stay as they are.
        options: The options as YAML values.
        registry: The installed components.
        folder: The folder that relative paths are relative to.

    Raises:
        UserError: When a component is unknown, or one of its options is not valid.
    """
    if not (isinstance(cls, type) and issubclass(cls, Component)):
        return dict(options)
    fields = fields_by_alias(cls)
    made = dict(options)
    for name, value in options.items():
        kind = interface_kind(fields[name]) if name in fields else None
        if kind is None or value is None:
            continue
        mistakes = Mistakes(Document("--set", folder, {name: value}))
        resolver = Resolver(registry, mistakes)
        items = value if isinstance(value, list) else [value]
        found = [resolver.resolve(kind, item, (name,)) for item in items]
        if mistakes.errors:
            told = "; ".join(error.message for error in mistakes.errors)
            raise UserError(f"{name}: {told}", location="--set")
        parts = [each.component for each in found if each is not None]
        made[name] = parts if isinstance(value, list) else parts[0]
    return made
