"""Runs all rules on a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from halo_core.check.component_rules import check_class
from halo_core.check.deprecated_names import deprecated_names
from halo_core.check.distribution_rules import check_distribution
from halo_core.check.findings import Finding, subject_of
from halo_core.check.targets import Target
from halo_core.errors import PluginError
from halo_core.plugins.local_file import local_class
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry, import_target


def run_checks(target: Target, registry: Registry, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yields the findings, one distribution and one component after another.

    Args:
        target: The distributions and components.
        registry: The installed components.
        options: Options of the components.
    """
    yield from target.findings
    for plugin in target.distributions:
        yield from check_distribution(plugin, registry)
    for registration in target.registrations:
        yield from _of_registration(registration, options)
    yield from deprecated_names(target.distributions, registry.registrations)


def _of_registration(registration: Registration, options: Mapping[str, Any]) -> Iterator[Finding]:
    subject = subject_of(registration)
    try:
        found: object = local_class(registration) or import_target(registration)
    except PluginError as error:
        yield Finding(subject, "imports", "fail", error.message, error.location or "")
        return
    yield from check_class(registration, found, options)
