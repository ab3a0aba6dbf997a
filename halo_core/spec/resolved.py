"""A component of a spec with its name and its origin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from halo_core.component import Component, Origin, with_origin
from halo_core.plugins.registrar import Registration
from halo_core.spec.document import Keys


@dataclass(frozen=True)
class Resolved:
    """A component with its origin.

    Attributes:
        component: The component, built and checked.
        name: The canonical name: ``kto``, ``namespace/name`` or ``file:...``.
        registration: The registration that the name refers to.
        options: The given options as plain values, with nested components as `Resolved`.
        keys: Its place in the spec.
        written: The text in the spec, if that is not a name with options but a stage's id.
    """

    component: Component
    name: str
    registration: Registration
    options: Mapping[str, Any]
    keys: Keys = field(default=(), compare=False)
    written: str | None = None

    @property
    def short_name(self) -> str:
        """The name without the path of a ``file:``."""
        return self.name.rpartition(":")[2]

    def tree(self) -> dict[str, Any]:
        """Returns ``{use: NAME, ...all options}``, from which it can be resolved again."""
        children = dict(self.children())
        result: dict[str, Any] = {"use": self.name}
        for option, value in self.component.model_dump(mode="json", by_alias=True).items():
            result[option] = _tree(children, (option,), value)
        return result

    def children(self) -> Iterator[tuple[Keys, Resolved]]:
        """Yields the components among the options, with their keys."""
        yield from _components(self.options, ())

    def all(self) -> Iterator[Resolved]:
        """Yields this component and those inside it."""
        yield self
        for _, child in self.children():
            yield from child.all()

    def within(self) -> Iterator[tuple[Keys, Resolved]]:
        """Yields the components inside this one at any depth, with their keys."""
        for keys, child in self.children():
            yield keys, child
            yield from (((*keys, *more), inner) for more, inner in child.within())

    def exchanged(self, exchange: Callable[[Resolved], Resolved | None]) -> Resolved:
        """Returns this component with some of its inner components replaced.

        Args:
            exchange: Returns the replacement of a component; None to keep it.
        """
        other = exchange(self)
        if other is not None:
            return other
        options = {name: _exchanged(item, exchange) for name, item in self.options.items()}
        slots: dict[str, Component] = {}
        encoded = json.dumps(slotted(options, slots))
        component = type(self.component).build(encoded, slots)
        named = with_origin(component, origin_of(self.name, self.registration))
        return replace(self, component=named, options=options)


def origin_of(name: str, registration: Registration) -> Origin:
    """Returns the origin that a component is given.

    Args:
        name: The canonical name.
        registration: The registration that the name refers to.
    """
    return Origin(
        name,
        registration.distribution,
        registration.version,
        registration.origin,
        registration.target,
    )


def _components(value: Any, keys: Keys) -> Iterator[tuple[Keys, Resolved]]:
    if isinstance(value, Resolved):
        yield keys, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _components(item, (*keys, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _components(item, (*keys, i))


def _exchanged(value: Any, exchange: Callable[[Resolved], Resolved | None]) -> Any:
    if isinstance(value, Resolved):
        return value.exchanged(exchange)
    if isinstance(value, Mapping):
        return {key: _exchanged(item, exchange) for key, item in value.items()}
    if isinstance(value, list):
        return [_exchanged(item, exchange) for item in value]
    return value


def _tree(children: Mapping[Keys, Resolved], keys: Keys, value: Any) -> Any:
    if keys in children:
        return children[keys].written or children[keys].tree()
    if isinstance(value, dict):
        return {k: _tree(children, (*keys, k), v) for k, v in value.items()}
    if isinstance(value, list):
        return [_tree(children, (*keys, i), v) for i, v in enumerate(value)]
    return value


def slotted(value: Any, slots: dict[str, Component]) -> Any:
    """Returns an option's value as JSON, with each component in it replaced by a key of `slots`.

    Pydantic gets options as JSON, so its strict types are those of a spec. Components that are
    already built cannot be JSON.
    """
    if isinstance(value, Resolved):
        slot = f"component {len(slots)}"
        slots[slot] = value.component
        return slot
    if isinstance(value, dict):
        return {key: slotted(item, slots) for key, item in value.items()}
    if isinstance(value, list):
        return [slotted(item, slots) for item in value]
    return value
