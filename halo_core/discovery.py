"""Walks the entry points of the installed distributions, one by one, each guarded.

A plugin that cannot be imported, has a misspelt hook, takes another's name or asks for another
core becomes a `BrokenPlugin`; the others are not affected.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
from collections.abc import Sequence

import pluggy

from halo_core.errors import PluginError
from halo_core.hooks import Hooks
from halo_core.registry import BrokenPlugin, Registrar, Registration, Registry, raised_at

GROUP = "halo"
ALLOWLIST = "HALO_PLUGINS"


@functools.cache
def discover() -> Registry:
    """Returns the registry of this environment.

    ``HALO_PLUGINS``, a comma-separated list of distributions, leaves out all others.
    """
    allowed = _allowlist()
    registrations: list[Registration] = []
    broken: list[BrokenPlugin] = []
    seen: set[tuple[str, str]] = set()
    for entry in importlib.metadata.entry_points(group=GROUP):
        distribution = entry.dist.name if entry.dist else "unknown"
        if (distribution, entry.value) in seen or (allowed and distribution not in allowed):
            continue
        seen.add((distribution, entry.value))
        result = _load(entry, distribution)
        if isinstance(result, BrokenPlugin):
            broken.append(result)
        else:
            registrations.extend(result)
    return Registry(registrations, broken)


def _allowlist() -> set[str]:
    return {name.strip() for name in os.environ.get(ALLOWLIST, "").split(",") if name.strip()}


def _load(
    entry: importlib.metadata.EntryPoint, distribution: str
) -> Sequence[Registration] | BrokenPlugin:
    version = entry.dist.version if entry.dist else "?"
    where = f"entry point {entry.name} = {entry.value}"
    try:
        _check_core_version(entry.dist, distribution)
        module = importlib.import_module(entry.value)
        where = module.__file__ or where
        registrar = Registrar(distribution, version, where)
        manager = pluggy.PluginManager("halo")
        manager.add_hookspecs(Hooks)
        manager.register(module)
        manager.check_pending()
        manager.hook.halo_register(registry=registrar)
        if not registrar.registrations:
            raise PluginError("it registers nothing: no function marked @hookimpl halo_register")
    except (Exception, SystemExit) as error:
        return BrokenPlugin(
            distribution,
            version,
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            raised_at(error.__traceback__, where) if _is_own(error) else where,
            _hint(error, distribution),
        )
    return registrar.registrations


def _is_own(error: BaseException) -> bool:
    return not isinstance(error, pluggy.PluginValidationError | _CoreMismatch)


class _CoreMismatch(PluginError):
    pass


def _check_core_version(
    distribution: importlib.metadata.Distribution | None, name: str
) -> None:
    requirements = (distribution.requires if distribution else None) or []
    core = [text for text in requirements if text.replace("_", "-").startswith("halo-core")]
    if not core:
        return
    from packaging.requirements import Requirement

    installed = importlib.metadata.version("halo-core")
    for requirement in map(Requirement, core):
        if not requirement.specifier.contains(installed, prereleases=True):
            raise _CoreMismatch(f"{name} needs {requirement}, but halo-core is {installed}")


def _hint(error: BaseException, distribution: str) -> str:
    if isinstance(error, _CoreMismatch):
        return f"Install the versions that go together: pip install -U halo-core {distribution}"
    if isinstance(error, ModuleNotFoundError):
        return f"A dependency is missing: pip install {error.name}, or reinstall {distribution}"
    if isinstance(error, pluggy.PluginValidationError):
        return "The hook is called halo_register(registry): see halo_core.hooks"
    return f"Report it to the authors of {distribution}, or: pip uninstall {distribution}"
