"""Finds options that change nothing, and tries other legal values of options."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from halo_core.component import Component
from halo_core.option_fields import marked, values_by_alias
from halo_core.option_markers import Execution
from halo_core.testing.advice import advise
from halo_core.testing.option_values import other_values, with_lowest, with_option

ComponentT = TypeVar("ComponentT", bound=Component)

VARIANTS = 32
"""Number of components with another value of one option that are tried."""

LARGE = 1000
"""Largest number that is tried where it may be a number of things to make."""

PAIRS = 40
"""Number of components with other values of two options that are tried for one option."""


def legal_variants(component: ComponentT, most: int = VARIANTS) -> Iterator[ComponentT]:
    """Yields components with another value of one option, all within the declared bounds.

    The last one has the lowest value of each number that has one, because their sum may be 0.
    Values with which the component refuses to be made are passed over.

    Args:
        component: The component.
        most: Number of them.
    """
    yield from itertools.islice((other for _, _, other in _variants(component)), most)
    with suppress(ValueError):  # They may exclude each other.
        yield with_lowest(component)


def has_defaults(component: Component) -> bool:
    """Returns whether a component has the default of each of its options.

    Args:
        component: The component.
    """
    fields = type(component).model_fields
    if any(field.is_required() for field in fields.values()):
        return False
    return component == type(component)()


def near_variants(component: ComponentT) -> Iterator[tuple[str, Any, ComponentT]]:
    """Yields options, other values of them, and the component with each; no large numbers.

    A stage may make as many rows as a number says, so only numbers up to `LARGE`, or next to the
    component's own, are tried.

    Args:
        component: The component.
    """
    yield from _variants(component, near=True)


def advise_unused(
    component: ComponentT,
    told: Callable[[ComponentT], object],
    what: str,
    *,
    near: bool = False,
) -> None:
    """Advises on each option whose other values change nothing.

    An option may have an effect only with another value of a second one. So such an option is
    tried again with those of each other one.

    Args:
        component: The component.
        told: Returns what the component gives for fixed inputs, as something that can be compared.
        what: A name of the compared values, for the advice.
        near: Whether only the values of `near_variants` are tried.
    """
    unused = unused_options(component, told, near=near)
    if unused:
        names = ", ".join(map(repr, unused))
        verb = "changes" if len(unused) == 1 else "change"
        advise(
            component,
            f"no other value of {'option' if len(unused) == 1 else 'the options'} {names} {verb} "
            f"{what}. An option without an effect makes results look like those of an experiment "
            "that nobody made; use it, or remove it",
        )


def unused_options(
    component: ComponentT, told: Callable[[ComponentT], object], *, near: bool = False
) -> Sequence[str]:
    """Returns the options whose other values change nothing, by the names that specs use.

    Options without another value that could be tried are left out, and so are those that are
    marked with `Execution`.

    Args:
        component: The component.
        told: Returns what the component gives for fixed inputs, as something that can be compared.
        near: Whether only the values of `near_variants` are tried.
    """
    execution = marked(type(component), Execution)
    by_option: dict[str, list[ComponentT]] = {}
    for alias, _, other in itertools.islice(_variants(component, near=near), 4 * VARIANTS):
        if alias not in execution:
            by_option.setdefault(alias, []).append(other)
    usual = told(component)
    silent = [
        alias
        for alias, others in by_option.items()
        if all(_same(told, other, usual) for other in others)
    ]
    return [alias for alias in silent if not _matters_with_another(component, alias, told, near)]


def _matters_with_another(
    component: ComponentT, alias: str, told: Callable[[ComponentT], object], near: bool
) -> bool:
    """Returns whether an option changes something next to another value of a second option."""
    tried = 0
    for other_alias, _, base in _variants(component, near=near):
        if other_alias == alias:
            continue
        try:
            usual = told(base)
        except Exception:
            continue
        for own_alias, _, other in _variants(base, near=near):
            if own_alias != alias:
                continue
            tried += 1
            if not _same(told, other, usual):
                return True
            if tried >= PAIRS:
                return False
    return False


def _same(told: Callable[[ComponentT], object], other: ComponentT, usual: object) -> bool:
    try:
        return told(other) == usual
    except Exception:
        return False  # It has an effect, which a rule of its own reports if it is a wrong one.


def _variants(
    component: ComponentT, *, near: bool = False
) -> Iterator[tuple[str, Any, ComponentT]]:
    own = values_by_alias(component)
    for alias, value in other_values(component):
        if near and _is_large(value, own[alias]):
            continue
        try:
            other: Any = with_option(component, alias, value)
        except Exception:
            continue  # The component refuses it, or `check_option_values` reports it.
        yield alias, value, other


def _is_large(value: object, own: object) -> bool:
    if not isinstance(value, int | float) or abs(value) <= LARGE:
        return False
    return not isinstance(own, int | float) or abs(value) > 2 * abs(own)


__all__ = ["advise_unused", "has_defaults", "legal_variants", "near_variants", "unused_options"]
