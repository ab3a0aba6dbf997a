"""The roles and defaults that mark a stage's options, checked at its definition."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from halo_core.component import Component
from halo_core.errors import PluginError
from halo_core.option_fields import (
    fields_by_alias,
    interface_kind,
    is_collection,
    marker_of,
    refers_to,
)
from halo_core.option_markers import PREVIOUS, Default, Refers

MUST_SAY = ("model", "samples")
"""Products of stages that must declare whether rows are training data or test data."""


def roles_of(stage_class: type[Component]) -> dict[str, str]:
    """Returns the role of each option: ``start``, ``learn``, or a component's kind (``loss``).

    Options without a role are left out.
    """
    roles = {alias: _role(info) for alias, info in fields_by_alias(stage_class).items()}
    return {alias: role for alias, role in roles.items() if role is not None}


def _role(info: FieldInfo) -> str | None:
    reference = marker_of(info, Refers)
    return reference.role if reference else interface_kind(info)


def check_options(stage_class: type[Component], produces: str) -> None:
    """Checks that the core can act on the markers of a stage's options.

    Args:
        stage_class: The stage.
        produces: The stage's product.

    Raises:
        PluginError: When it cannot.
    """
    where = f"{stage_class.__module__}.{stage_class.__qualname__}"
    fields = fields_by_alias(stage_class)
    roles = roles_of(stage_class)
    starts = [alias for alias, role in roles.items() if role == "start"]
    if len(starts) > 1:
        raise PluginError(
            f"the options {_list(starts)} are all StartRef; expected one, and ModelRef for others",
            location=where,
        )
    data = [alias for alias, info in fields.items() if refers_to(info) == "data"]
    unsaid = [alias for alias in data if alias not in roles]
    if produces in MUST_SAY and unsaid:
        raise PluginError(
            f"it makes {produces} and does not say what it does with the rows of {_list(unsaid)}: "
            "mark training data as LearnRef, and test data as TestRef",
            location=where,
        )
    many = [alias for alias, info in fields.items() if refers_to(info) and _is_many(info)]
    if many:
        raise PluginError(
            f"{_list(many)}: an option can name only one model, samples or verdicts; expected an "
            "option for each",
            location=where,
        )
    for alias, info in fields.items():
        default = marker_of(info, Default)
        problem = default and _problem(stage_class, alias, default)
        if problem:
            raise PluginError(f"option {alias!r}, {default}: {problem}", location=where)


def _problem(stage_class: type[Component], alias: str, default: Default) -> str | None:
    """Returns what is wrong with the default of an option; None if it is valid."""
    fields = fields_by_alias(stage_class)
    if fields[alias].is_required():
        return "the option is required; make it optional, with None as its default"
    if default.when is not None and not hasattr(stage_class, default.when):
        return f"the stage has no attribute {default.when!r}"
    if refers_to(fields[alias]) == "model":
        models = [a for a, i in fields.items() if _names_a_model(i) and a != alias]
        if default.of in (PREVIOUS, *models):
            return None
        return f"expected {PREVIOUS!r} or another option that names a model: {_list(models)}"
    if interface_kind(fields[alias]) == "reference_point":
        losses = [a for a, i in fields.items() if interface_kind(i) == "loss"]
        return None if default.of in losses else f"expected an option for a loss: {_list(losses)}"
    return "only an option that names a model, or takes a reference point, can have it"


def _is_many(info: FieldInfo) -> bool:
    """Returns whether an option refers to several things at once. Only rows may do so."""
    return refers_to(info) != "data" and is_collection(info)


def _names_a_model(info: FieldInfo) -> bool:
    """Returns whether an option refers to a model and has no default from another option."""
    default = marker_of(info, Default)
    return refers_to(info) == "model" and (default is None or default.of == PREVIOUS)


def _list(names: list[str]) -> str:
    return ", ".join(map(repr, names)) or "it has none"
