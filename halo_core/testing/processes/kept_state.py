"""Finds what a component keeps between calls: in itself, its class, its module and its functions.

A component is a recipe without state. A value that it keeps is lost when a training continues
after a stop, differs between processes, and is shared by all components of its class.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import random
import sys
from collections import Counter, deque
from collections.abc import Mapping, Sequence, Set as AbstractSet
from types import FunctionType, ModuleType
from typing import Any

from halo_core.component import Component
from halo_core.guarded.loss_calls import is_tensor

DEEPEST = 6
"""Depth of containers in containers that are compared."""

LARGEST = 10_000
"""Number of items of a container, and of numbers of a tensor, that are compared."""

Kept = Mapping[str, object]
"""The values that a component could keep, by the place of each."""


def kept_by(component: Component, modules: Sequence[ModuleType]) -> Kept:
    """Returns a copy of all values that a component could keep something in.

    These are the values of the instance, of the classes and functions of its package, and of the
    package's modules.

    Args:
        component: The component.
        modules: The modules; see `modules_of`. Compare the same ones, because a call may import
            further ones.
    """
    found: dict[str, object] = {"itself": _copied(vars(component))}
    private = getattr(component, "__pydantic_private__", None)
    if private:
        found["itself, in private attributes"] = _copied(private)
    shown = [_shown(module) for module in modules]
    files = Counter(shown)
    for module, file in zip(modules, shown, strict=True):
        where = file if files[file] == 1 else module.__name__
        for name, value in vars(module).items():
            if not name.startswith("__"):
                found |= _of_name(f"{name!r} of {where}", value, module)
    return found


def changed_places(before: Kept, after: Kept) -> list[str]:
    """Returns the places whose values differ, in their order."""
    return [place for place, value in after.items() if before.get(place) != value]


def _of_name(place: str, value: object, module: ModuleType) -> dict[str, object]:
    """Returns the values that could change, of a name of a module."""
    if isinstance(value, type):
        if value.__module__ != module.__name__:
            return {}
        found = {}
        for name, each in vars(value).items():
            if isinstance(each, FunctionType):
                found[f"the function {name} in {place}"] = _of_function(each)
            elif not name.startswith("__") and name != "_abc_impl":
                found[f"{name!r} of the class {place}"] = _copied(each)
        return found
    if isinstance(value, FunctionType):
        return {place: _of_function(value)} if value.__module__ == module.__name__ else {}
    return {} if isinstance(value, ModuleType) else {place: _copied(value)}


def _of_function(function: FunctionType) -> object:
    keeps = (function.__closure__, function.__defaults__, function.__kwdefaults__, vars(function))
    if not any(keeps):
        return None  # Most functions: a copy of four empty values takes ten times as long.
    cells = [_contents(cell) for cell in function.__closure__ or ()]
    return _copied([function.__defaults__, function.__kwdefaults__, vars(function), cells])


def _contents(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # It is empty.


def modules_of(component: Component) -> Sequence[ModuleType]:
    """Returns the imported modules of a component's own packages, without halo's core."""
    names = [
        each.__module__
        for each in inspect.getmro(type(component))
        if issubclass(each, Component) and not each.__module__.startswith("halo_core.")
    ]
    packages = {name.partition(".")[0] for name in names}
    below = tuple(f"{package}." for package in packages)
    return [
        module
        for name, module in list(sys.modules.items())
        if name in packages or name.startswith(below)
        if isinstance(module, ModuleType)
    ]


def caches_of(component: Component) -> dict[str, int]:
    """Returns the sizes of the caches without a limit, by the names of their functions.

    Args:
        component: A component, whose class and modules have the functions.
    """
    sizes = {}
    for module in modules_of(component):
        for value in [*vars(module).values(), *vars(type(component)).values()]:
            if isinstance(value, functools._lru_cache_wrapper):
                if value.cache_parameters()["maxsize"] is None:
                    sizes[getattr(value, "__name__", "a function")] = value.cache_info().currsize
    return sizes


def _copied(value: object, depth: int = 0, above: tuple[int, ...] = ()) -> object:
    """Returns a copy of a value that equals another copy exactly if the value has not changed."""
    if value is None or isinstance(value, bool | int | str | bytes):
        return value
    if isinstance(value, float):
        return repr(value)  # NaN equals itself then.
    if depth > DEEPEST or id(value) in above:
        return type(value).__name__
    inner = (*above, id(value))
    if is_tensor(value):
        if value.is_meta or str(value.layout) != "torch.strided":
            return id(value)  # It has no list of numbers.
        return tuple(value.shape), repr(value.detach().flatten()[:LARGEST].tolist())
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, Mapping):
        items = list(value.items())
        return len(items), [
            (_copied(k, depth + 1, inner), _copied(v, depth + 1, inner)) for k, v in items[:LARGEST]
        ]
    if isinstance(value, list | tuple | deque):
        return len(value), [_copied(v, depth + 1, inner) for v in list(value)[:LARGEST]]
    if isinstance(value, AbstractSet):
        return len(value), sorted(repr(_copied(v, depth + 1, inner)) for v in value)
    if isinstance(value, type | ModuleType | FunctionType) or callable(value):
        return id(value)
    if isinstance(value, logging.Logger):
        return id(value)  # It keeps levels that it has looked up.
    own = dict(getattr(value, "__dict__", {}))
    for name in getattr(type(value), "__slots__", ()):
        own[name] = getattr(value, name, None)
    if own:
        return type(value).__name__, _copied(own, depth + 1, inner)
    return repr(value) if type(value).__module__ == "itertools" else id(value)


def _shown(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return os.path.basename(file) if file else module.__name__


__all__ = ["caches_of", "changed_places", "kept_by", "modules_of"]
