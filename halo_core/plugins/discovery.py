"""Loads the plugins of the installed distributions, each one separately and guarded.

A plugin that cannot be imported, has a misspelt hook, uses another's name or requires another core
becomes a `BrokenPlugin`. The other plugins are not affected.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Sequence
from types import ModuleType

import pluggy

from halo_core import __version__
from halo_core.errors import PluginError, text_of
from halo_core.hooks import Hooks
from halo_core.plugins.entry_points import Announcement, announcements, normalised
from halo_core.plugins.error_place import raised_at
from halo_core.plugins.import_string import full_module
from halo_core.plugins.missing_names import missing_advice
from halo_core.plugins.registrar import Registrar, Registration
from halo_core.plugins.registry import BrokenPlugin, HooksOnly, LeftOut, Registry, advice
from halo_core.stdout import stdout_to_stderr
from halo_core.stop_flag import from_outside
from halo_core.watched import within

ALLOWLIST = "HALO_PLUGINS"
"""Environment variable with the distributions to use, separated by commas; empty for all."""


@functools.cache
def discover() -> Registry:
    """Returns the registry of this environment.

    ``HALO_PLUGINS``, a comma-separated list of distributions, leaves out all others.
    """
    return load(announcements(), allowlist=os.environ.get(ALLOWLIST, ""))


def load(announced: Sequence[Announcement], *, allowlist: str = "") -> Registry:
    """Returns the registry of some distributions.

    Args:
        announced: The distributions.
        allowlist: Names of distributions, separated by commas; empty for all.
    """
    allowed = {normalised(name.strip()) for name in allowlist.split(",") if name.strip()}
    registrations: list[Registration] = []
    broken: list[BrokenPlugin] = []
    left_out: list[LeftOut] = []
    hooks_only: list[HooksOnly] = []
    manager = pluggy.PluginManager("halo")
    manager.add_hookspecs(Hooks)
    for plugin in announced:
        if allowed and normalised(plugin.distribution) not in allowed:
            left_out.append(LeftOut(plugin.distribution, plugin.version))
            continue
        result = _load(plugin, manager)
        if isinstance(result, BrokenPlugin):
            broken.append(result)
        elif isinstance(result, HooksOnly):
            hooks_only.append(result)
        else:
            registrations.extend(result)
    return Registry(registrations, broken, left_out, hooks_only)


def _load(
    plugin: Announcement, manager: pluggy.PluginManager
) -> Sequence[Registration] | HooksOnly | BrokenPlugin:
    registrar = Registrar(plugin.distribution, plugin.version, plugin.folder)
    where = f"{plugin.folder}/entry_points.txt"
    hooks: list[str] = []
    try:
        _check_core_version(plugin)
        for target in plugin.modules:
            _check_entry_point(target, plugin)
            with within(f"the plugin {plugin.distribution}"), stdout_to_stderr():
                module = importlib.import_module(target.partition(":")[0])
                _check_attribute(target, module, plugin)
                where = module.__file__ or where
                registrar.origin = where
                hooks += _register(module, registrar, manager)
    # SystemExit too: a module that exits during its import must not end halo.
    except BaseException as error:
        if from_outside(error):
            raise
        advised = _for_author(error, plugin, where)
        return BrokenPlugin(
            plugin.distribution,
            plugin.version,
            _said(error),
            _location(error, where),
            _hint(error, plugin.distribution, advised),
            advised,
        )
    if not registrar.registrations:
        return HooksOnly(plugin.distribution, plugin.version, tuple(hooks))
    return registrar.registrations


def _register(module: ModuleType, registrar: Registrar, manager: pluggy.PluginManager) -> list[str]:
    """Registers the components of a module, and returns the names of its other hooks.

    Raises:
        PluginError: When it has neither.
    """
    before = len(registrar.registrations)
    _check_hook_names(module)
    try:
        manager.register(module)
        manager.hook.halo_register(registry=registrar)
    finally:  # one plugin at a time, so that an error has a certain owner
        if manager.is_registered(module):
            manager.unregister(module)
    implemented = (name for name, value in vars(module).items() if hasattr(value, "halo_impl"))
    others = sorted(name for name in implemented if name != "halo_register")
    if len(registrar.registrations) == before and not others:
        raise PluginError(
            "it registers nothing; expected a function halo_register(registry), or another hook, "
            "marked @hookimpl",
            location=module.__file__,
        )
    return others


def _check_hook_names(module: ModuleType) -> None:
    for name, value in vars(module).items():
        if not hasattr(value, "halo_impl") or name in vars(Hooks):
            continue
        line = value.__code__.co_firstlineno
        raise _UnknownHookError(
            f"unknown hook {name!r}; expected {_hooks()}",
            location=f"{module.__file__}:{line}",
        )


def _hooks() -> str:
    names = [name for name, value in vars(Hooks).items() if hasattr(value, "halo_spec")]
    return f"{', '.join(names)}".replace("halo_register", "halo_register(registry)")


class _UnknownHookError(PluginError):
    pass


class _CoreVersionError(PluginError):
    pass


def _check_core_version(plugin: Announcement) -> None:
    for requirement in plugin.requires:
        if not normalised(requirement).startswith("halo-core"):
            continue
        try:
            met = is_met(requirement)
        except ValueError as error:  # InvalidRequirement, or an undefined name in its marker.
            raise PluginError(
                f"{plugin.distribution} {plugin.version} has a requirement that is not valid: "
                f"{requirement!r}",
                location=plugin.folder,
            ) from error
        if not met:
            raise _CoreVersionError(
                f"{plugin.distribution} {plugin.version} needs {requirement}, "
                f"but halo-core is {__version__}",
                location=plugin.folder,
            )


def is_met(text: str) -> bool:
    """Returns whether this core meets a requirement; True if it is about another distribution.

    Args:
        text: The requirement, as metadata writes it.
    """
    if text.replace(" ", "").endswith(f"halo-core=={__version__}"):
        return True
    # Imported only if the line above does not decide, because it costs milliseconds at each start.
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    if normalised(requirement.name) != "halo-core":
        return True
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return True
    return requirement.specifier.contains(__version__, prereleases=True)


def _check_entry_point(target: str, plugin: Announcement) -> None:
    if full_module(target):
        return
    example = f"{normalised(plugin.distribution).replace('-', '_')}.plugin"
    raise PluginError(
        f"its entry point is {target!r}; expected the full name of a module, as in {example!r}",
        location=f"{plugin.folder}/entry_points.txt",
    )


def _check_attribute(target: str, module: ModuleType, plugin: Announcement) -> None:
    """Checks that a module has what its entry point names, although only the module is used."""
    name, _, path = target.partition(":")
    found: object = module
    for attribute in path.split(".") if path.strip() else ():
        if not hasattr(found, attribute.strip()):
            raise PluginError(
                f"its entry point is {target!r}, but {name} has no {attribute.strip()!r}; expected "
                f"only the module: {name!r}",
                location=f"{plugin.folder}/entry_points.txt",
            )
        found = getattr(found, attribute.strip())


def _said(error: BaseException) -> str:
    text = error.message if isinstance(error, PluginError) else text_of(error)
    line = " ".join(text.split())
    name = type(error).__name__.removeprefix("_")
    return f"{name}: {line}" if line else name


def _location(error: BaseException, where: str) -> str:
    if isinstance(error, PluginError) and error.location:
        return error.location
    if isinstance(error, pluggy.PluginValidationError):
        return where
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    return raised_at(error.__traceback__, where)


def _hint(error: BaseException, distribution: str, advised: str) -> str:
    """Returns advice for the user of a plugin."""
    if isinstance(error, _CoreVersionError):
        return f"Install versions that go together: pip install -U halo-core {distribution}"
    if advice(error):
        return f"{advised}; or update it: pip install -U {distribution}"
    if advised.startswith("Its own module"):
        return (
            f"{advised}; as a user, reinstall it with pip install --force-reinstall {distribution}"
        )
    return (
        advised or f"Report it to the authors of {distribution}, or: pip uninstall {distribution}"
    )


def _for_author(error: BaseException, plugin: Announcement, where: str) -> str:
    """Returns advice for the author of a plugin; "" if the error says it all."""
    if removed := advice(error):
        return removed.removeprefix(". ")
    if isinstance(error, ModuleNotFoundError):
        return _missing_module(error, plugin, _location(error, where).rpartition(":")[0])
    if isinstance(error, pluggy.PluginValidationError | _UnknownHookError):
        return f"The hooks are {_hooks()}: see the page 'Write a plugin' of the docs"
    if isinstance(error, AttributeError) and isinstance(error.obj, Registrar):
        methods = [name for name, value in vars(Registrar).items() if callable(value)]
        known = sorted(name for name in methods if not name.startswith("_"))
        return f"The methods of the registry are {', '.join(known)}"
    return ""


def _missing_module(error: ModuleNotFoundError, plugin: Announcement, file: str) -> str:
    missing = (error.name or "").partition(".")[0]
    own = {target.partition(".")[0].partition(":")[0] for target in plugin.modules}
    advised = missing_advice(error, file)
    if missing in own:
        check = f". {advised} Check" if advised else ": check"
        return (
            f"Its own module {error.name} is missing{check} the name in the import and in the "
            "entry point"
        )
    return advised or (
        f"The package {missing} is missing: pip install {missing}, and as an author add it to "
        f"the dependencies of {plugin.distribution}"
    )
