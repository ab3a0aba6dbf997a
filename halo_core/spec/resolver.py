"""Turns ``NAME`` or ``{use: NAME, ...options}`` into a component, and reports every mistake."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from halo_core.component import Component, interface_of, with_origin
from halo_core.data import DataSource
from halo_core.errors import HaloError, PluginError, UserError, did_you_mean, error_text
from halo_core.guarded.blame import class_place
from halo_core.guarded.loss_claims import check_claims
from halo_core.loss import Loss
from halo_core.option_fields import (
    fields_by_alias,
    interface_kind,
    marker_of,
    marks,
    nested_options,
    takes_lists,
)
from halo_core.option_markers import Default, Location, OtherNames
from halo_core.plugins.error_place import raised_at
from halo_core.plugins.import_string import described
from halo_core.plugins.local_file import (
    FILE_PREFIX,
    absolute_name,
    local_class,
    local_registration,
)
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry, import_target
from halo_core.secret import MISTAKE as SECRET_MISTAKE
from halo_core.spec.document import Keys, dotted
from halo_core.spec.inserted import source_option, split_picker
from halo_core.spec.mistakes import Mistakes, unknown_name
from halo_core.spec.option_problems import OptionProblem, option_problems
from halo_core.spec.resolved import Resolved, origin_of, slotted
from halo_core.spec.shared_by_suite import SharedBySuite, same_component
from halo_core.stop_flag import from_outside
from halo_core.workspace.user_paths import user_path


class Resolver:
    """Resolves the components of one document.

    Args:
        registry: The installed components.
        mistakes: Collects the mistakes.
        shared: Components of other cells of the same suite, if there are any. It grows.

    Attributes:
        feedback: Maps the ids of earlier stages that make feedback to their data sources.
    """

    def __init__(
        self, registry: Registry, mistakes: Mistakes, shared: SharedBySuite | None = None
    ) -> None:
        self.registry = registry
        self.mistakes = mistakes
        self.shared = shared
        self.feedback: dict[str, Resolved] = {}

    def resolve(self, kind: str, value: Any, keys: Keys) -> Resolved | None:
        """Returns the component that a value of the spec describes, or None after a mistake.

        Args:
            kind: The expected kind.
            value: ``NAME``, ``{use: NAME, ...}``, or a component that is already resolved. A data
                source may have its own ``split``.
            keys: The place of the value.
        """
        if isinstance(value, Resolved):
            return value
        # A name of a stage may mean another component in another cell.
        if self.shared is None or self.feedback:
            return self._resolve(kind, value, keys)
        same = same_component(self.mistakes.document, kind, value, keys)
        if same not in self.shared.components:
            before = self.mistakes.count
            found = self._resolve(kind, value, keys)
            if found is None or self.mistakes.count > before:
                return found  # Each cell has its own mistakes.
            self.shared.components[same] = found
        return self.shared.components[same]

    def _resolve(self, kind: str, value: Any, keys: Keys) -> Resolved | None:
        if kind == "data" and isinstance(value, dict) and "split" in value:
            return self._split_of(value, keys)
        if kind == "data" and isinstance(value, str) and value in self.feedback:
            return self.feedback[value]
        used = self._use(kind, value, keys)
        if used is None:
            return None
        registration, options = used
        component_class = self._import(kind, registration, keys)
        if component_class is None:
            return None
        return self._build(component_class, registration, options, keys)

    def class_of(self, kind: str, value: Any) -> type[Component] | None:
        """Returns the class that a value of the spec names; None, without a mistake, if none."""
        # The mistakes of this value were reported when it was resolved, so these are discarded.
        quiet = Resolver(self.registry, Mistakes(self.mistakes.document))
        used = quiet._use(kind, value, ())
        return None if used is None else quiet._import(kind, used[0], ())

    def _split_of(self, value: dict[str, Any], keys: Keys) -> Resolved | None:
        """Returns a source inside another component that names the split to read."""
        split = value["split"]
        source = self.resolve("data", {k: v for k, v in value.items() if k != "split"}, keys)
        if not isinstance(split, str):
            self.mistakes.add((*keys, "split"), f"got {split!r}; expected a split's name")
            return None
        if source is None:
            return None
        splits = _splits(source.component)
        if splits and split not in splits:
            self.mistakes.unknown((*keys, "split"), "split", split, splits)
            return None
        try:
            picker = split_picker(self.registry)
        except UserError as error:
            self.mistakes.take((*keys, "split"), error)
            return None
        if picker is None or picker.picks_split is None:
            problem = "no installed plugin reads one split of another source; leave it out"
            self.mistakes.add((*keys, "split"), problem)
            return None
        return self.wrapped(picker, source, {picker.picks_split: split}, keys)

    def wrapped(
        self, wrapper: Registration, source: Resolved, options: Mapping[str, Any], keys: Keys
    ) -> Resolved | None:
        """Returns a data source wrapped in another one that the spec does not name.

        Args:
            wrapper: The registration of the wrapper.
            source: The source to wrap.
            options: The wrapper's options, without the source.
            keys: The place of the source.
        """
        component_class = self._import("data", wrapper, keys)
        if component_class is None:
            return None
        try:
            option = source_option(component_class, wrapper)
        except PluginError as error:
            self.mistakes.take(keys, error)
            return None
        return self._build(component_class, wrapper, {option: source, **options}, keys)

    def _use(self, kind: str, value: Any, keys: Keys) -> tuple[Registration, dict[str, Any]] | None:
        written = {"use": value} if isinstance(value, str) else value
        if isinstance(written, dict) and "use" not in written and self.misspelt_use(written, keys):
            return None
        if not isinstance(written, dict) or not isinstance(written.get("use"), str):
            came = "null" if value is None else repr(value)
            self.mistakes.add(keys, f"got {came}; expected {_form(kind)}")
            return None
        name = written["use"]
        try:
            if name.startswith(FILE_PREFIX):
                self.mistakes.document.check_code(name, keys)
                folder = self.mistakes.document.folder_of(keys)
                registration = local_registration(kind, name, folder)
            else:
                registration = self.registry.find(kind, name)
        except HaloError as error:
            self.mistakes.take((*keys, "use") if isinstance(value, dict) else keys, error)
            return None
        return registration, {k: v for k, v in written.items() if k != "use"}

    def misspelt_use(self, written: Mapping[str, Any], keys: Keys) -> bool:
        """Reports a key that probably means ``use``, and returns whether there is one."""
        for key in written:
            if did_you_mean(str(key), ["use"]):
                self.mistakes.add((*keys, key), f"unknown key {key!r}. Did you mean 'use'?")
                return True
        return False

    def _import(self, kind: str, registration: Registration, keys: Keys) -> type[Component] | None:
        try:
            imported = local_class(registration) or import_target(registration)
            if not (isinstance(imported, type) and issubclass(imported, Component)):
                raise PluginError(
                    f"{registration.target} is {described(imported)}; expected a class of "
                    "components",
                    location=registration.where,
                )
            if interface_of(imported).kind != kind:
                raise PluginError(
                    f"{registration.target} is a {interface_of(imported).kind}, "
                    f"registered as a {kind}",
                    location=registration.where,
                )
        except PluginError as error:
            self.mistakes.take(keys, error)
            return None
        return imported

    def _build(
        self,
        component_class: type[Component],
        registration: Registration,
        given: dict[str, Any],
        keys: Keys,
    ) -> Resolved | None:
        options: dict[str, Any] = {}
        failed: set[str] = set()
        by_alias = fields_by_alias(component_class)
        for option, value in given.items():
            if option not in by_alias:
                self.mistakes.unknown_key((*keys, option), "option", by_alias)
                failed.add(option)
                continue
            before = self.mistakes.count
            options[option] = self._option(by_alias[option], value, (*keys, option))
            if self.mistakes.count > before:
                failed.add(option)
        self._choose(by_alias, options, failed, keys)
        # The component is built even after a mistake, so that pydantic's findings are reported too.
        slots: dict[str, Component] = {}
        encoded = json.dumps(slotted(options, slots))
        try:
            component = component_class.build(encoded, slots)
        except ValidationError as error:
            self._report(option_problems(error, options), component_class, failed, keys)
            return None
        except BaseException as error:
            if from_outside(error):
                raise
            self.mistakes.take(keys, _cannot_be_built(component_class, registration, error))
            return None
        if failed:
            return None
        name = _name(registration)
        component = with_origin(component, origin_of(name, registration))
        if isinstance(component, Loss):
            try:
                check_claims(component)
            except HaloError as error:
                self.mistakes.take(keys, error)
                return None
        return Resolved(component, name, registration, options, keys)

    def _choose(
        self,
        by_alias: Mapping[str, FieldInfo],
        options: dict[str, Any],
        failed: set[str],
        keys: Keys,
    ) -> None:
        """Adds the default components of missing options, as other options choose them."""
        for option, info in by_alias.items():
            default, kind = marker_of(info, Default), interface_kind(info)
            left_out = options.get(option) is None and option not in failed
            if default is None or kind is None or not left_out:
                continue
            before, chooser = self.mistakes.count, options.get(default.of)
            name = chosen_by(chooser.component) if isinstance(chooser, Resolved) else None
            if name is not None:
                options[option] = self.resolve(kind, name, (*keys, option))
            if self.mistakes.count > before:
                failed.add(option)

    def _option(self, info: FieldInfo, value: Any, keys: Keys) -> Any:
        kind = interface_kind(info)
        if value is None:
            return None
        if kind is not None:
            if isinstance(value, list) not in takes_lists(info):
                one = not isinstance(value, list)
                wanted = f"a list, each item {_form(kind)}" if one else _form(kind)
                self.mistakes.add(keys, f"got {value!r}; expected {wanted}")
                return None
            if isinstance(value, list):
                return [self.resolve(kind, item, (*keys, i)) for i, item in enumerate(value)]
            return self.resolve(kind, value, keys)
        if marks(info, Location) and isinstance(value, str):
            return self._path(value, keys)
        if marks(info, Location) and isinstance(value, list):
            return [
                self._path(v, (*keys, i)) if isinstance(v, str) else v for i, v in enumerate(value)
            ]
        return value

    def _path(self, value: str, keys: Keys) -> str:
        folder = self.mistakes.document.folder_of(keys)
        try:
            if value.startswith(FILE_PREFIX):
                self.mistakes.document.check_code(value, keys)
                return absolute_name(value, folder)
            return str(user_path(value, folder))
        except UserError as error:
            self.mistakes.take(keys, error)
            return value

    def _report(
        self,
        problems: Sequence[OptionProblem],
        component_class: type[Component],
        failed: set[str],
        keys: Keys,
    ) -> None:
        by_alias = fields_by_alias(component_class)
        for problem in problems:
            place = problem.place
            option = str(place[0]) if place else ""
            if option in failed:
                continue
            info = by_alias.get(option)
            where = (*keys, *place)
            if problem.type == "missing":
                describe = f": {info.description}" if info else ""
                message = f"{dotted(place)!r} is missing{describe}"
                mapping = (*keys, *place[:-1])
                self.mistakes.missing(mapping, [str(place[-1])], message, at=keys)
            elif problem.type == SECRET_MISTAKE:
                self.mistakes.add_hidden(where, problem.message)
            elif problem.type == "extra_forbidden":
                self.mistakes.add(where, _unknown_option(info, place))
                known = nested_options(info, place[1:-1]) if info else []
                self.mistakes.note_misspelt(where, known)
            else:
                self.mistakes.add(where, problem.message)


def chosen_by(component: Component) -> str | None:
    """Returns the reference point that a loss chooses for itself; None if it needs none."""
    if not isinstance(component, Loss) or "reference_point" not in component.needed():
        return None
    return component.resolved_reference_point()


def _name(registration: Registration) -> str:
    local = registration.target.startswith(FILE_PREFIX)
    return registration.target if local else registration.canonical


def _cannot_be_built(
    component_class: type[Component], registration: Registration, error: BaseException
) -> PluginError:
    """Returns the error of a component whose own option checks raised an unexpected error."""
    place = raised_at(error.__traceback__, registration.origin)
    if os.sep + "pydantic" in place:
        place = class_place(component_class)
    return PluginError(
        f"{_name(registration)} ({registration.distribution} {registration.version}) could not "
        f"check its options: it raised {error_text(error)}",
        location=place,
    )


def _splits(source: Component) -> tuple[str, ...]:
    """Returns the splits of a data source; none if they are not known.

    An error here happens again, and is reported, when the whole data set is inspected.
    """
    try:
        return cast(DataSource, source).inspect().splits
    except BaseException as error:
        if from_outside(error):
            raise
        return ()


def _unknown_option(info: FieldInfo | None, place: Keys) -> str:
    """Returns the message for an unknown option inside the value of another option."""
    name = str(place[-1])
    known = nested_options(info, place[1:-1]) if info else []
    other = marker_of(info, OtherNames) if info else None
    advice = other.advise(name) if other else ""
    if not advice:
        return unknown_name("option", name, known)
    return f"unknown option {name!r}.{advice} Known: {', '.join(sorted(known))}"


def _form(kind: str) -> str:
    """Returns how a component of a kind is written in a spec."""
    what = "data source" if kind == "data" else kind.replace("_", " ")
    return f"a {what}: NAME or {{use: NAME, ...}}"
