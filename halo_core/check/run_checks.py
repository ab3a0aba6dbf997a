"""Runs all rules on a target: one step per distribution and per component."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from halo_core.check.component_rules import check_class
from halo_core.check.deprecated_names import deprecated_names
from halo_core.check.distribution_rules import check_distribution
from halo_core.check.findings import Finding, subject_of
from halo_core.check.held_options import with_held
from halo_core.check.isolated import FIRST, isolated
from halo_core.check.listeners import begin
from halo_core.check.targets import Target
from halo_core.errors import PluginError
from halo_core.plugins.local_file import local_class
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry, import_target

WITH_TORCH = ("loss", "reference_point")
"""Kinds whose rules need torch. It is imported once, and not by the process of each component."""


class Step(NamedTuple):
    """The check of a distribution or a component.

    Attributes:
        subject: The distribution or component.
        findings: Yields its findings.
    """

    subject: str
    findings: Callable[[], Iterator[Finding]]


def steps_of(
    target: Target, registry: Registry, options: Mapping[str, Any], *, full: bool = False
) -> Sequence[Step]:
    """Returns the steps of a check, in their order.

    Args:
        target: The distributions and components.
        registry: The installed components.
        options: Options of the components.
        full: Whether rules are checked that take minutes.
    """
    steps = [Step(each.subject, partial(iter, [each])) for each in target.findings]
    for plugin in target.distributions:
        check = partial(check_distribution, plugin, registry)
        steps.append(Step(plugin.distribution, check))
    for registration in target.registrations:
        check = partial(_of_registration, registration, options, full, registry)
        steps.append(Step(subject_of(registration), check))
    for plugin in target.distributions:  # Last, because importing its components uses the names.
        check = partial(deprecated_names, [plugin], registry.registrations)
        steps.append(Step(plugin.distribution, check))
    return steps


def _of_registration(
    registration: Registration, options: Mapping[str, Any], full: bool, registry: Registry
) -> Iterator[Finding]:
    if registration.kind in WITH_TORCH:
        # Only the import: a process that has computed gradients on a GPU machine cannot fork.
        with suppress(ImportError):
            importlib.import_module("torch.testing")

    folder = Path.cwd()  # The child has another one.

    def work() -> Iterator[Finding]:
        subject = subject_of(registration)
        begin("imports", FIRST, "")
        try:
            found: object = local_class(registration) or import_target(registration)
        except PluginError as error:
            yield Finding(subject, "imports", "fail", error.message, error.location or "")
            return
        held = with_held(found, options, registry, folder)
        yield from check_class(registration, found, held, full=full, folder=folder)

    yield from isolated(subject_of(registration), work, registration.origin)
