"""Reads the types and markers of a component's options from its class."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from halo_core.component import Component, is_interface
from halo_core.option_markers import Execution, Location, Refers
from halo_core.secret import is_secret

MarkerT = TypeVar("MarkerT")


def fields_by_alias(component_class: type[Component]) -> dict[str, FieldInfo]:
    """Returns a component's options by the names that specs use."""
    return _by_alias(component_class)


def values_by_alias(component: Component) -> dict[str, Any]:
    """Returns the values of a component's options by the names that specs use."""
    fields = type(component).model_fields
    return {info.alias or name: getattr(component, name) for name, info in fields.items()}


def marks(info: FieldInfo, marker: type) -> bool:
    """Returns whether an option carries a marker such as `Location`, at any depth."""
    return any(item is marker or isinstance(item, marker) for item in _metadata(info))


def marker_of(info: FieldInfo, marker: type[MarkerT]) -> MarkerT | None:
    """Returns an option's marker of some class, at any depth; None if it has none."""
    return next((item for item in _metadata(info) if isinstance(item, marker)), None)


def refers_to(info: FieldInfo) -> str | None:
    """Returns what an option refers to (``model``, ``samples``, ``data``), or None."""
    reference = marker_of(info, Refers)
    return reference.product if reference else None


def interface_kind(info: FieldInfo) -> str | None:
    """Returns the kind of component that an option takes (``loss``), or None."""
    return _read(info).kind


def nested_options(info: FieldInfo, path: Sequence[str | int]) -> list[str]:
    """Returns the names that an option's value can have at a place inside it.

    Args:
        info: The option.
        path: The keys from the option's value to the place: ``()`` for the value itself. Keys of
            mappings and positions in lists count.
    """
    models = list(_nested_models(info.annotation))
    for key in path:
        by_name = [_by_alias(model) for model in models]
        fields = [named[str(key)] for named in by_name if key in named]
        # A key of a mapping, or a position in a list, leads to the same models.
        if fields:
            models = [model for field in fields for model in _nested_models(field.annotation)]
    return list(dict.fromkeys(name for model in models for name in _by_alias(model)))


def takes_lists(info: FieldInfo) -> set[bool]:
    """Returns {True} if an option takes a list of components, {False} if one, or both values."""
    return _takes_lists(info.annotation)


def is_collection(info: FieldInfo) -> bool:
    """Returns whether an option takes a list or a mapping of any kind."""
    return any(get_origin(part) in (list, dict, tuple, set) for part in parts_of(info.annotation))


def execution_options(component: Component) -> set[str]:
    """Returns the options left out of the identity: `Execution`, `Location` and `Secret`."""
    fields = fields_by_alias(type(component))
    left_out = {*marked(type(component), Location), *secrets_of(type(component))}
    executes = marked(type(component), Execution)
    return left_out | {alias for alias in executes if _only_executes(component, fields[alias])}


def _only_executes(component: Component, info: FieldInfo) -> bool:
    marker = marker_of(info, Execution)
    return marker is None or marker.unless is None or not getattr(component, marker.unless)


@functools.cache
def secrets_of(component_class: type[Component]) -> tuple[str, ...]:
    """Returns the options of a complete component's class that are secrets, in their order."""
    fields = fields_by_alias(component_class)
    return tuple(alias for alias, info in fields.items() if is_secret(info.annotation))


@functools.cache
def marked(component_class: type[Component], marker: type) -> tuple[str, ...]:
    """Returns the options of a component's class that carry a marker, in their order.

    Call it only for a class that is complete, such as the class of an instance.
    """
    fields = fields_by_alias(component_class)
    return tuple(alias for alias, info in fields.items() if marks(info, marker))


def _metadata(info: FieldInfo) -> Sequence[Any]:
    return _read(info).metadata


def parts_of(annotation: Any) -> Iterator[Any]:
    """Yields a type and all types in its arguments, at any depth."""
    yield annotation
    for argument in get_args(annotation):
        yield from parts_of(argument)


class _Read(NamedTuple):
    """The markers and the kind in an option's type. To read them takes long, so they are kept."""

    info: FieldInfo
    annotation: Any
    metadata: tuple[Any, ...]
    kind: str | None


_known: dict[int, _Read] = {}
"""By the identity of the option, which pydantic's options do not hash. Each entry holds its option,
so that no other option can get its identity."""


def _read(info: FieldInfo) -> _Read:
    known = _known.get(id(info))
    # pydantic replaces an annotation when it is resolved later than the class was defined.
    if known is None or known.annotation is not info.annotation:
        parts = list(parts_of(info.annotation))
        inner = (item for part in parts for item in getattr(part, "__metadata__", ()))
        kinds = (
            part.kind
            for part in parts
            if isinstance(part, type) and issubclass(part, Component) and is_interface(part)
        )
        known = _Read(info, info.annotation, (*info.metadata, *inner), next(kinds, None))
        _known[id(info)] = known
    return known


def _by_alias(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _nested_models(annotation: Any) -> Iterator[type[BaseModel]]:
    for part in parts_of(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            if not issubclass(part, Component):
                yield part


def _takes_lists(annotation: Any) -> set[bool]:
    if get_origin(annotation) in (Union, UnionType):
        return {takes for part in get_args(annotation) for takes in _takes_lists(part)}
    return set() if annotation is type(None) else {get_origin(annotation) is list}
