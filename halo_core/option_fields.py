"""Reads the types and markers of a component's options from its class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from halo_core.component import Component, Execution, Location, Refers, is_interface
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
    for part in _parts(info.annotation):
        if isinstance(part, type) and issubclass(part, Component) and is_interface(part):
            return part.kind
    return None


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
    return any(get_origin(part) in (list, dict, tuple, set) for part in _parts(info.annotation))


def execution_options(component: Component) -> set[str]:
    """Returns the options left out of the identity: `Execution`, `Location` and `Secret`."""
    return {
        alias
        for alias, info in fields_by_alias(type(component)).items()
        if _only_executes(component, info) or marks(info, Location) or is_secret(info.annotation)
    }


def _only_executes(component: Component, info: FieldInfo) -> bool:
    marker = marker_of(info, Execution)
    if marker is None or marker.unless is None:
        return marks(info, Execution)
    return not getattr(component, marker.unless)


def _metadata(info: FieldInfo) -> Iterator[Any]:
    yield from info.metadata
    for part in _parts(info.annotation):
        yield from getattr(part, "__metadata__", ())


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _by_alias(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _nested_models(annotation: Any) -> Iterator[type[BaseModel]]:
    for part in _parts(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            if not issubclass(part, Component):
                yield part


def _takes_lists(annotation: Any) -> set[bool]:
    if get_origin(annotation) in (Union, UnionType):
        return {takes for part in get_args(annotation) for takes in _takes_lists(part)}
    return set() if annotation is type(None) else {get_origin(annotation) is list}
