"""Which components exist, by kind and name, and where they come from.

A bare name is a built-in (`halo_core.reserved`). Any other component is written
``namespace/name``, the namespace being its distribution's name without a leading ``halo-``.
"""

from __future__ import annotations

import difflib
import importlib
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from halo_core.errors import PluginError, UserError
from halo_core.reserved import KINDS, RESERVED


@dataclass(frozen=True)
class Registration:
    """A component that a distribution offers.

    Attributes:
        kind: One of `halo_core.reserved.KINDS`.
        name: As the distribution registered it, without a namespace.
        target: ``module:attribute``.
        distribution: The distribution's name.
        version: Its version.
        origin: The file of the module that registered it.
        help: One line; commands only.
    """

    kind: str
    name: str
    target: str
    distribution: str
    version: str
    origin: str
    help: str = ""

    @property
    def canonical(self) -> str:
        """The name that specs use: bare for a built-in, else ``namespace/name``."""
        if RESERVED[self.kind].get(self.name) == self.distribution:
            return self.name
        return f"{namespace(self.distribution)}/{self.name}"


@dataclass(frozen=True)
class BrokenPlugin:
    """A distribution whose plugin could not be used.

    Attributes:
        distribution: Its name.
        version: Its version.
        error: The exception, on one line.
        location: ``file:line`` where it was raised, or the entry point.
        hint: What to do.
    """

    distribution: str
    version: str
    error: str
    location: str
    hint: str


def namespace(distribution: str) -> str:
    """Returns a distribution's namespace: its name without a leading ``halo-``."""
    return distribution.removeprefix("halo-")


class Registrar:
    """What `halo_register` is given: collects one distribution's registrations.

    Args:
        distribution: The distribution's name.
        version: Its version.
        origin: The file of its plugin module.
    """

    def __init__(self, distribution: str, version: str, origin: str) -> None:
        self._distribution = distribution
        self._version = version
        self._origin = origin
        self.registrations: list[Registration] = []

    def loss(self, name: str, target: str) -> None:
        """Registers a `halo_core.Loss`."""
        self._add("loss", name, target)

    def reference_point(self, name: str, target: str) -> None:
        """Registers a `halo_core.RefPointEstimator`."""
        self._add("reference_point", name, target)

    def data(self, name: str, target: str) -> None:
        """Registers a `halo_core.DataSource`."""
        self._add("data", name, target)

    def judge(self, name: str, target: str) -> None:
        """Registers a `halo_core.Judge`."""
        self._add("judge", name, target)

    def stage(self, name: str, target: str) -> None:
        """Registers a `halo_core.Stage`."""
        self._add("stage", name, target)

    def tracker(self, name: str, target: str) -> None:
        """Registers a `halo_core.Tracker`."""
        self._add("tracker", name, target)

    def report(self, name: str, target: str) -> None:
        """Registers a `halo_core.Report`."""
        self._add("report", name, target)

    def command(self, name: str, target: str, *, help: str) -> None:
        """Registers a command of the command line: a `click.Command`, imported when it is run."""
        self._add("command", name, target, help)

    def _add(self, kind: str, name: str, target: str, help: str = "") -> None:
        owner = RESERVED[kind].get(name)
        if owner is not None and owner != self._distribution:
            raise PluginError(
                f"{self._distribution} registers the {kind} {name!r}, a name of {owner}. "
                f"Choose another; users will write {namespace(self._distribution)}/NAME"
            )
        if "/" in name or ":" in name or not name:
            raise PluginError(
                f"{self._distribution} registers the {kind} {name!r}; a name has no '/' or ':'"
            )
        if any(r.kind == kind and r.name == name for r in self.registrations):
            raise PluginError(f"{self._distribution} registers the {kind} {name!r} twice")
        if ":" not in target:
            raise PluginError(
                f"{self._distribution} registers the {kind} {name!r} as {target!r}; "
                "expected 'module:attribute'"
            )
        self.registrations.append(
            Registration(
                kind, name, target, self._distribution, self._version, self._origin, help
            )
        )


class Registry:
    """All registrations of an environment, and the plugins that failed.

    Args:
        registrations: Of all plugins that loaded.
        broken: Of those that did not.
    """

    def __init__(
        self, registrations: Iterable[Registration], broken: Iterable[BrokenPlugin] = ()
    ) -> None:
        self.registrations = tuple(registrations)
        self.broken = tuple(broken)

    def find(self, kind: str, name: str) -> Registration:
        """Returns the registration that a name in a spec means.

        Args:
            kind: The kind wanted.
            name: A bare built-in name, ``namespace/name`` or ``distribution/name``.

        Raises:
            UserError: When there is none, or two distributions share the namespace.
            PluginError: When the distribution that should have it is broken.
        """
        found = [r for r in self.registrations if r.kind == kind and name in _names(r)]
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            options = " or ".join(f"{r.distribution}/{r.name}" for r in found)
            raise UserError(f"the {_words(kind)} {name!r} is ambiguous: write {options}")
        raise self._unknown(kind, name)

    def names(self, kind: str) -> list[str]:
        """Returns the names of the installed components of a kind, sorted."""
        return sorted(r.canonical for r in self.registrations if r.kind == kind)

    def _unknown(self, kind: str, name: str) -> UserError | PluginError:
        owner = RESERVED[kind].get(name)
        prefix = name.partition("/")[0] if "/" in name else None
        for plugin in self.broken:
            if plugin.distribution == owner or prefix in (
                plugin.distribution,
                namespace(plugin.distribution),
            ):
                return PluginError(
                    f"the {_words(kind)} {name!r} is in {plugin.distribution} "
                    f"{plugin.version}, which is broken: {plugin.error}. {plugin.hint}",
                    location=plugin.location,
                )
        if owner is not None:
            return UserError(
                f"the {_words(kind)} {name!r} is in {owner}, which is not installed: "
                f"pip install {owner}"
            )
        installed = self.names(kind)
        near = difflib.get_close_matches(name, [*installed, *RESERVED[kind]], n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        listing = ", ".join(installed) if installed else "none"
        return UserError(
            f"no {_words(kind)} named {name!r}.{guess} Installed: {listing}. "
            "Others: halo plugins --available"
        )


def _names(registration: Registration) -> set[str]:
    return {registration.canonical, f"{registration.distribution}/{registration.name}"}


def _words(kind: str) -> str:
    return {"data": "data source"}.get(kind, kind.replace("_", " "))


def import_target(registration: Registration) -> Any:
    """Returns what a registration's import string names.

    Raises:
        PluginError: When the module cannot be imported or has no such attribute.
    """
    module, _, attribute = registration.target.partition(":")
    where = f"{registration.distribution} {registration.version}"
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise PluginError(
            f"{where}: the {_words(registration.kind)} {registration.name!r} cannot be "
            f"imported from {registration.target!r}: {type(error).__name__}: {error}",
            location=raised_at(error.__traceback__, registration.origin),
        ) from error


def raised_at(trace: TracebackType | None, fallback: str) -> str:
    """Returns ``file:line`` of the innermost frame that is neither halo's core nor importlib's."""
    for frame in reversed(traceback.extract_tb(trace)):
        if "importlib" not in frame.filename and "/halo_core/" not in frame.filename:
            return f"{frame.filename}:{frame.lineno}"
    return fallback


__all__ = [
    "KINDS",
    "BrokenPlugin",
    "Registrar",
    "Registration",
    "Registry",
    "import_target",
    "namespace",
    "raised_at",
]
