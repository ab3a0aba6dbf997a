"""The installed components by kind and name, and their origins.

A bare name is a built-in component (`halo_core.plugins.builtin_names`). Any other component is
written ``namespace/name``. The namespace is its distribution's name without a leading ``halo-``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from halo_core import __version__
from halo_core.errors import HaloError, PluginError, UserError, error_text, nearest
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.entry_points import normalised
from halo_core.plugins.error_place import raised_at
from halo_core.plugins.missing_names import missing_advice
from halo_core.plugins.registrar import Registration, namespace, words
from halo_core.stdout import stdout_to_stderr
from halo_core.stop_flag import from_outside
from halo_core.watched import within


class BrokenPlugin(NamedTuple):
    """A distribution whose plugin cannot be used.

    Attributes:
        distribution: Its name.
        version: Its version.
        error: The exception, on one line.
        location: The ``file:line`` that raised it, or the entry point.
        hint: Advice for the user.
        advice: Advice for the author of the plugin; empty if the error says it all.
    """

    distribution: str
    version: str
    error: str
    location: str
    hint: str
    advice: str = ""


class HooksOnly(NamedTuple):
    """A distribution that has hooks and no components.

    Attributes:
        distribution: Its name.
        version: Its version.
        hooks: The names of its hooks.
    """

    distribution: str
    version: str
    hooks: tuple[str, ...]


class LeftOut(NamedTuple):
    """A distribution that ``HALO_PLUGINS`` does not name.

    Attributes:
        distribution: Its name.
        version: Its version.
    """

    distribution: str
    version: str


class Registry:
    """All registrations in an environment, and the plugins that are not used.

    Args:
        registrations: The registrations of all loaded plugins.
        broken: The plugins that could not be loaded.
        left_out: The plugins that ``HALO_PLUGINS`` does not name.
        hooks_only: The loaded plugins without components.
    """

    def __init__(
        self,
        registrations: Iterable[Registration],
        broken: Iterable[BrokenPlugin] = (),
        left_out: Iterable[LeftOut] = (),
        hooks_only: Iterable[HooksOnly] = (),
    ) -> None:
        self.registrations = tuple(registrations)
        self.broken = tuple(broken)
        self.left_out = tuple(left_out)
        self.hooks_only = tuple(hooks_only)

    def find(self, kind: str, name: str) -> Registration:
        """Returns the registration that a name in a spec refers to.

        Args:
            kind: The expected kind.
            name: A bare built-in name, ``namespace/name`` or ``distribution/name``.

        Raises:
            UserError: When there is no such component, or two distributions share the namespace.
            PluginError: When the distribution that should have it is broken.
        """
        of_kind = [r for r in self.registrations if r.kind == kind]
        full = [r for r in of_kind if name == _full_name(r)]
        short = [r for r in of_kind if name == r.canonical and r not in full]
        if len(full) + len(short) == 1 and (full or not self._is_shared(short[0])):
            return (full or short)[0]
        if full or short:
            raise UserError(self._ambiguous(kind, name, [*full, *short]))
        raise self._unknown(kind, name)

    def names(self, kind: str) -> list[str]:
        """Returns the sorted names of the installed components of a kind, as specs write them."""
        return sorted(self.written(r) for r in self.registrations if r.kind == kind)

    def all_names(self, registration: Registration) -> list[str]:
        """Returns the names with which `find` finds a registration, the one specs use first."""
        full = _full_name(registration)
        names = [self.written(registration), full]
        return [name for name in dict.fromkeys(names) if self._finds(registration, name)]

    def _finds(self, registration: Registration, name: str) -> bool:
        try:
            return self.find(registration.kind, name) is registration
        except HaloError:
            return False

    def is_built_in(self, registration: Registration) -> bool:
        """Returns whether a registration is one of halo's own components, which have bare names."""
        return registration.name == registration.canonical

    def written(self, registration: Registration) -> str:
        """Returns the name with which `find` finds a registration in this environment."""
        if self._is_shared(registration):
            return _full_name(registration)
        return registration.canonical

    def _is_shared(self, registration: Registration) -> bool:
        return "/" in registration.canonical and len(self._sharers(registration)) > 1

    def _sharers(self, registration: Registration) -> list[str]:
        wanted = namespace(registration.distribution)
        return sorted(
            {r.distribution for r in self.registrations if namespace(r.distribution) == wanted}
        )

    def _ambiguous(self, kind: str, name: str, found: list[Registration]) -> str:
        sharers = self._sharers(found[0])
        options = sorted({_full_name(r) for r in found} - ({name} if len(found) > 1 else set()))
        return (
            f"the {words(kind)} {name!r} is ambiguous: {' and '.join(sharers)} share the namespace "
            f"{namespace(found[0].distribution)!r}. Write {' or '.join(options)}, or leave one "
            "out with HALO_PLUGINS"
        )

    def _unknown(self, kind: str, name: str) -> UserError | PluginError:
        owner = RESERVED[kind].get(name)
        prefix = _prefix(name) or owner
        broken = self._in_broken(prefix, f"the {words(kind)} {name!r}")
        if broken is not None:
            return broken
        for absent in self.left_out:
            if _belongs(prefix, absent.distribution):
                return UserError(
                    f"the {words(kind)} {name!r} is in {absent.distribution}, which HALO_PLUGINS "
                    f"leaves out: add {absent.distribution} to HALO_PLUGINS"
                )
        if owner is not None:
            return UserError(
                f"the {words(kind)} {name!r} is in {owner}, which is not installed: "
                f"pip install {owner}"
            )
        if catalogued := self.catalogued(name, kind):
            return UserError(f"the {words(kind)} {name!r} is in {catalogued}")
        return UserError(self._no_such(kind, name))

    def check_namespace(self, name: str) -> None:
        """Does nothing unless a name belongs to the namespace of a broken distribution.

        Raises:
            PluginError: When it does, because the kind of component it names is then unknown.
        """
        error = self._in_broken(_prefix(name), repr(name))
        if error is not None:
            raise error

    def _in_broken(self, prefix: str | None, what: str) -> PluginError | None:
        for plugin in self.broken:
            if _belongs(prefix, plugin.distribution):
                return PluginError(
                    f"{what} is in {plugin.distribution} {plugin.version}, which is broken: "
                    f"{plugin.error}. {plugin.hint}",
                    location=plugin.location,
                )
        return None

    def catalogued(self, name: str, kind: str | None = None) -> str:
        """Returns which distribution of the catalogue has a component that is not installed.

        Args:
            name: The name that specs use.
            kind: The kind of the component; None for any kind.

        Returns:
            The end of a sentence, with what to do; empty if no entry has such a component.
        """
        from halo_core.plugins.catalogue import known_catalogue, update_line

        here = {normalised(r.distribution): r.version for r in self.registrations}
        for entry in known_catalogue().entries:
            if not any(kind in (None, c.kind) and c.name == name for c in entry.components):
                continue
            owner = entry.distribution
            if owner in here:
                return (
                    f"{owner} {entry.version}, but {here[owner]} is installed: {update_line(entry)}"
                )
            return f"{owner}, which is not installed: halo plugins install {owner}"
        return ""

    def _no_such(self, kind: str, name: str) -> str:
        others = [r for r in self.registrations if name in (r.canonical, _full_name(r))]
        if others:
            said = " and a ".join(dict.fromkeys(words(r.kind) for r in others))
            return (
                f"no {words(kind)} named {name!r}: it is a {said}, of {others[0].distribution}. "
                f"Installed: {', '.join(self.names(kind)) or 'none'}"
            )
        installed = self.names(kind)
        known = dict.fromkeys([*installed, *RESERVED[kind], *_catalogued_names(kind)])
        tails = [full for full in known if full.rpartition("/")[2] == name]
        guess = next(iter([*tails, *nearest(name, known)]), None)
        meant = f" Did you mean {guess!r}?" if guess else ""
        if guess and guess not in {*installed, *RESERVED[kind]}:
            meant += f" It is in {self.catalogued(guess, kind)}."
        return (
            f"no {words(kind)} named {name!r}.{meant} "
            f"Installed: {', '.join(installed) or 'none'}. Others: halo plugins --available"
        )


def _full_name(registration: Registration) -> str:
    return f"{normalised(registration.distribution)}/{registration.name}"


def _prefix(name: str) -> str | None:
    return normalised(name.partition("/")[0]) if "/" in name else None


def _catalogued_names(kind: str) -> list[str]:
    """Returns the names of all components of a kind in the catalogue that this machine has."""
    from halo_core.plugins.catalogue import known_catalogue

    entries = known_catalogue().entries
    return [c.name for entry in entries for c in entry.components if c.kind == kind]


def _belongs(prefix: str | None, distribution: str) -> bool:
    return prefix in (normalised(distribution), namespace(distribution))


def import_target(registration: Registration) -> Any:
    """Imports and returns the target of a registration's import string.

    Raises:
        PluginError: When the module cannot be imported or has no such attribute.
    """
    module, _, attribute = registration.target.partition(":")
    where = f"{registration.distribution} {registration.version}"
    try:
        with within(f"the import of {module} of {where}"), stdout_to_stderr():
            return getattr(importlib.import_module(module), attribute)
    except BaseException as error:
        if from_outside(error):
            raise
        raise PluginError(
            f"{where}: the {words(registration.kind)} {registration.name!r} cannot be "
            f"imported from {registration.target!r}: {import_problem(error)}"
            f"{_missing(error, registration)}",
            location=raised_at(error.__traceback__, registration.where),
        ) from error


def import_problem(error: BaseException) -> str:
    """Returns what is wrong with a plugin whose import raised an error, with advice."""
    if isinstance(error, HaloError):  # A class breaks its interface. It is located by its name.
        name = (error.location or "").rpartition(".")[2]
        return f"class {name}: {error.message}" if name.isidentifier() else error.message
    return f"{error_text(error)}{advice(error)}"


def _missing(error: BaseException, registration: Registration) -> str:
    """Returns advice on a name that does not exist, with a leading full stop and space."""
    if advice(error):
        return ""
    advised = missing_advice(error, registration.origin, registration.target)
    if advised:
        return f". {advised}"
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    package = error.name.partition(".")[0]
    if package == registration.target.partition(":")[0].partition(".")[0]:
        return ""
    return f". The package {package} is missing: pip install {package}"


def advice(error: BaseException) -> str:
    """Returns advice on an import of a module that the core no longer has.

    Returns:
        A sentence with a leading space; "" for any other error.
    """
    if not isinstance(error, ModuleNotFoundError) or not (error.name or "").startswith("halo_core"):
        return ""
    return (
        f". halo-core {__version__} has no such module: import public names from halo_core itself, "
        "as in from halo_core import Loss, Registrar, hookimpl"
    )
