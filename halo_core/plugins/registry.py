"""Which components exist, by kind and name, and where they come from.

A bare name is a built-in (`halo_core.plugins.builtin_names`). Any other component is written
``namespace/name``, the namespace being its distribution's name without a leading ``halo-``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any, NamedTuple

from halo_core.errors import PluginError, UserError, nearest
from halo_core.feedback import COLUMNS, Feedback
from halo_core.plugins.builtin_names import KINDS, RESERVED
from halo_core.plugins.entry_points import normalised


class Registration(NamedTuple):
    """A component that a distribution offers.

    Attributes:
        kind: One of `halo_core.plugins.builtin_names.KINDS`.
        name: As the distribution registered it, without a namespace.
        target: ``module:attribute``.
        distribution: The distribution's name.
        version: Its version.
        origin: The file of the module that registered it.
        help: One line; commands only.
        converts: The kinds of feedback from which and to which it converts; data sources only.
        picks_split: Its option that names the split which it reads of another; data sources only.
        makes_base_model: Whether a spec may have it under ``model:``; stages only.
        by_default: Whether a run has it whose spec names none; reports only.
    """

    kind: str
    name: str
    target: str
    distribution: str
    version: str
    origin: str
    help: str = ""
    converts: tuple[Feedback, Feedback] | None = None
    picks_split: str | None = None
    makes_base_model: bool = False
    by_default: bool = False

    @property
    def canonical(self) -> str:
        """The name that specs use: bare for a built-in, else ``namespace/name``."""
        if RESERVED[self.kind].get(self.name) == normalised(self.distribution):
            return self.name
        return f"{namespace(self.distribution)}/{self.name}"


class BrokenPlugin(NamedTuple):
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


class LeftOut(NamedTuple):
    """A distribution that ``HALO_PLUGINS`` does not name.

    Attributes:
        distribution: Its name.
        version: Its version.
    """

    distribution: str
    version: str


def namespace(distribution: str) -> str:
    """Returns a distribution's namespace: its name without a leading ``halo-``.

    >>> namespace("halo-stranger"), namespace("Acme_Losses")
    ('stranger', 'acme-losses')
    """
    return normalised(distribution).removeprefix("halo-")


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
        self.origin = origin
        self.registrations: list[Registration] = []

    def loss(self, name: str, target: str) -> None:
        """Registers a `halo_core.Loss`."""
        self._add("loss", name, target)

    def reference_point(self, name: str, target: str) -> None:
        """Registers a `halo_core.RefPointEstimator`."""
        self._add("reference_point", name, target)

    def reference_update(self, name: str, target: str) -> None:
        """Registers a `halo_core.ReferenceUpdate`."""
        self._add("reference_update", name, target)

    def data(
        self,
        name: str,
        target: str,
        *,
        converts: tuple[Feedback, Feedback] | None = None,
        picks_split: str | None = None,
    ) -> None:
        """Registers a `halo_core.DataSource`.

        One that wraps another source (it has exactly one option that takes a `DataSource`) may be
        inserted into specs that do not name it. Where several plugins offer the same, the built-in
        one is inserted; without a built-in one, a spec must name the one it wants.

        Args:
            name: As specs write it.
            target: ``module:attribute``.
            converts: Kinds of feedback: where a source of the first one is given and the second one
                is needed, it is inserted. It needs no option but the source.
            picks_split: The option that names a split: it is inserted where a source within another
                component has a ``split`` of its own.
        """
        if converts is not None and not (len(converts) == 2 and {*converts} <= {*COLUMNS}):
            raise PluginError(
                f"{self._distribution} registers the data source {name!r} with converts="
                f"{converts!r}; expected two of {', '.join(COLUMNS)}"
            )
        self._add("data", name, target, converts=converts, picks_split=picks_split)

    def judge(self, name: str, target: str) -> None:
        """Registers a `halo_core.Judge`."""
        self._add("judge", name, target)

    def stage(self, name: str, target: str, *, makes_base_model: bool = False) -> None:
        """Registers a `halo_core.Stage`.

        Args:
            name: As specs write it.
            target: ``module:attribute``.
            makes_base_model: Whether a spec may have it as its model, ``model: {NAME: {...}}``: it
                then runs before all other stages, and they start from what it makes.
        """
        self._add("stage", name, target, makes_base_model=makes_base_model)

    def tracker(self, name: str, target: str) -> None:
        """Registers a `halo_core.Tracker`."""
        self._add("tracker", name, target)

    def report(self, name: str, target: str, *, by_default: bool = False) -> None:
        """Registers a `halo_core.Report`.

        Args:
            name: As specs write it.
            target: ``module:attribute``.
            by_default: Whether a run has it whose spec has no ``reports:``.
        """
        self._add("report", name, target, by_default=by_default)

    def command(self, name: str, target: str, *, help: str) -> None:
        """Registers a command of the command line: a `click.Command`, imported when it is run."""
        self._add("command", name, target, help=help)

    def _add(self, kind: str, name: str, target: str, **more: Any) -> None:
        mistake = self._mistake(kind, name, target)
        if mistake:
            raise PluginError(f"{self._distribution} registers the {words(kind)} {name!r}{mistake}")
        self.registrations.append(
            Registration(kind, name, target, self._distribution, self._version, self.origin, **more)
        )

    def _mistake(self, kind: str, name: str, target: str) -> str | None:
        if not _is_name(name):
            return "; expected letters, digits, '.', '_' and '-' only"
        if any((r.kind, r.name) == (kind, name) for r in self.registrations):
            return " twice"
        module, _, attribute = target.partition(":")
        if not all(part.isidentifier() for part in [*module.split("."), attribute]):
            return f" as {target!r}; expected 'module:attribute'"
        return None


def _is_name(text: str) -> bool:
    return text.isascii() and text[:1].isalnum() and all(c.isalnum() or c in "._-" for c in text)


class Registry:
    """All registrations of an environment, and the plugins that are not used.

    Args:
        registrations: Of all plugins that loaded.
        broken: The plugins that did not.
        left_out: Those that ``HALO_PLUGINS`` does not name.
    """

    def __init__(
        self,
        registrations: Iterable[Registration],
        broken: Iterable[BrokenPlugin] = (),
        left_out: Iterable[LeftOut] = (),
    ) -> None:
        self.registrations = tuple(registrations)
        self.broken = tuple(broken)
        self.left_out = tuple(left_out)

    def find(self, kind: str, name: str) -> Registration:
        """Returns the registration that a name in a spec means.

        Args:
            kind: The kind wanted.
            name: A bare built-in name, ``namespace/name`` or ``distribution/name``.

        Raises:
            UserError: When there is none, or two distributions share the namespace.
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
        """Returns the names of the installed components of a kind as specs write them, sorted."""
        return sorted(self.written(r) for r in self.registrations if r.kind == kind)

    def is_built_in(self, registration: Registration) -> bool:
        """Returns whether a registration is one of halo's own, which bare names belong to."""
        return registration.name == registration.canonical

    def written(self, registration: Registration) -> str:
        """Returns the name by which `find` finds a registration in this environment."""
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
        owner = owner or _catalogued(kind, name)
        if owner is not None:
            return UserError(
                f"the {words(kind)} {name!r} is in {owner}, which is not installed: "
                f"pip install {owner}"
            )
        return UserError(self._no_such(kind, name))

    def check_namespace(self, name: str) -> None:
        """Does nothing unless a name belongs to the namespace of a broken distribution.

        Raises:
            PluginError: When it does; what kind of component it names cannot be known then.
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

    def _no_such(self, kind: str, name: str) -> str:
        installed = self.names(kind)
        near = nearest(name, [*installed, *RESERVED[kind]])
        tails = [full for full in installed if full.rpartition("/")[2] == name]
        guess = next(iter([*tails, *near]), None)
        return (
            f"no {words(kind)} named {name!r}.{f' Did you mean {guess!r}?' if guess else ''} "
            f"Installed: {', '.join(installed) or 'none'}. Others: halo plugins --available"
        )


def _full_name(registration: Registration) -> str:
    return f"{normalised(registration.distribution)}/{registration.name}"


def _prefix(name: str) -> str | None:
    return normalised(name.partition("/")[0]) if "/" in name else None


def _belongs(prefix: str | None, distribution: str) -> bool:
    return prefix in (normalised(distribution), namespace(distribution))


def _catalogued(kind: str, name: str) -> str | None:
    from halo_core.plugins.catalogue import catalogue

    for entry in catalogue():
        if any((c.kind, c.name) == (kind, name) for c in entry.components):
            return entry.distribution
    return None


def words(kind: str) -> str:
    """Returns a kind as people say it: ``reference point``."""
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
            f"{where}: the {words(registration.kind)} {registration.name!r} cannot be "
            f"imported from {registration.target!r}: {type(error).__name__}: {error}",
            location=raised_at(error.__traceback__, registration.origin),
        ) from error


def raised_at(trace: TracebackType | None, fallback: str) -> str:
    """Returns ``file:line`` of the innermost frame that does not only pass an error on.

    halo's core, importlib, pluggy and pydantic do: pydantic is what makes a component's class.
    """
    import traceback

    own = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
    passed_through = (own, "<frozen", os.path.dirname(importlib.__file__))
    for frame in reversed(traceback.extract_tb(trace)):
        within = frame.filename.startswith(passed_through) or any(
            folder in frame.filename for folder in ("/pluggy/", "/pydantic/")
        )
        if not within:
            return f"{frame.filename}:{frame.lineno}"
    return fallback


__all__ = [
    "KINDS",
    "BrokenPlugin",
    "LeftOut",
    "Registrar",
    "Registration",
    "Registry",
    "import_target",
    "namespace",
    "raised_at",
    "words",
]
