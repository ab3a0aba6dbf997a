"""Components that a spec uses without naming them: conversions, splits, model stages, reports.

The registrations say which component to use, so finding it imports nothing. If there are several,
the built-in one is used. If none of them is built in, the spec must name one.
"""

from __future__ import annotations

from collections.abc import Sequence

from halo_core.component import Component
from halo_core.errors import HaloError, PluginError, UserError
from halo_core.feedback import Feedback
from halo_core.option_fields import fields_by_alias, interface_kind, takes_lists
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry, import_target


def conversion(registry: Registry, given: Feedback, wanted: Feedback) -> Registration | None:
    """Returns the conversion from one kind of feedback to another; None if there is none.

    Raises:
        UserError: When there are several, and none of them is built in.
    """
    fitting = [r for r in registry.registrations if r.converts == (given, wanted)]
    return _only(registry, fitting, f"turn {given} into {wanted} feedback")


def absent_conversion(registry: Registry, given: Feedback, wanted: Feedback) -> HaloError | None:
    """Returns why the built-in conversion is missing and what to do; None if there is none.

    Built-in conversions are called ``GIVEN-to-WANTED``.
    """
    name = f"{given}-to-{wanted}"
    if name not in RESERVED["data"]:
        return None
    try:
        registry.find("data", name)
    except HaloError as error:
        return error
    return None


def asked_conversion(registry: Registry, given: Feedback, wanted: Feedback) -> str | None:
    """Returns the name of the built-in conversion that a spec must ask for; None if there is none.

    Such a conversion makes a choice that changes what is learned, so it is never inserted.
    """
    name = f"{given}-to-{wanted}"
    known = name in RESERVED["data"] and name in registry.names("data")
    return name if known and registry.find("data", name).converts is None else None


def split_picker(registry: Registry) -> Registration | None:
    """Returns the component that reads a source with a ``split`` within another component.

    Raises:
        UserError: When there are several, and none of them is built in.
    """
    fitting = [r for r in registry.registrations if r.picks_split]
    return _only(registry, fitting, "read one split of another source")


def _only(registry: Registry, fitting: Sequence[Registration], what: str) -> Registration | None:
    chosen = [r for r in fitting if registry.is_built_in(r)] or fitting
    if len(chosen) > 1:
        names = sorted(map(registry.written, chosen))
        raise UserError(
            f"{' and '.join(names)} {what}; name the one you want, as in "
            f"{{use: {names[0]}, ...}}, or leave one out with HALO_PLUGINS"
        )
    return chosen[0] if chosen else None


def source_option(component_class: type[Component], registration: Registration) -> str:
    """Returns the option of a wrapping data source that holds the wrapped source.

    Raises:
        PluginError: When it has no such option, or several.
    """
    fields = fields_by_alias(component_class).items()
    options = [name for name, info in fields if interface_kind(info) == "data"]
    if len(options) != 1 or takes_lists(dict(fields)[options[0]]) != {False}:
        raise PluginError(
            f"{registration.canonical} is registered as a wrapper of a data source, so it needs "
            f"exactly one option that takes a data source; it has {', '.join(options) or 'none'}",
            location=registration.where,
        )
    return options[0]


def base_model_stages(registry: Registry) -> list[str]:
    """Returns the names of the stages that a spec may have under ``model:``."""
    return sorted(registry.written(r) for r in registry.registrations if r.makes_base_model)


def only_needed_option(registry: Registry, name: str) -> str | None:
    """Returns the option of a stage that is a text and the only one that must be set, if any.

    A spec may then have the value of this option instead of the options: ``model: {gguf: FILE}``.
    """
    try:
        component_class = import_target(registry.find("stage", name))
    except HaloError:
        return None  # Resolving the stage reports it.
    needed = [o for o, info in fields_by_alias(component_class).items() if info.is_required()]
    fields = fields_by_alias(component_class)
    return needed[0] if len(needed) == 1 and fields[needed[0]].annotation is str else None


def default_reports(registry: Registry) -> list[str]:
    """Returns the names of the reports of a run whose spec names none."""
    return sorted(registry.written(r) for r in registry.registrations if r.by_default)
