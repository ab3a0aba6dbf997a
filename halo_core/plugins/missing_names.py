"""Advice for an author whose import, or import string, names something that does not exist."""

from __future__ import annotations

import os
import sys
from types import ModuleType

from halo_core.errors import did_you_mean, nearest


def missing_advice(error: BaseException, file: str, target: str = "") -> str:
    """Returns what to write in place of a name that does not exist.

    Args:
        error: The error of the import.
        file: The file of the plugin that was imported, or that registered the component.
        target: The import string ``module:attribute``, if it is the name of a component.

    Returns:
        The advice; "" if there is none.
    """
    module, _, attribute = target.partition(":")
    if isinstance(error, AttributeError):
        owner = error.obj
        if isinstance(owner, ModuleType) and (owner.__name__, error.name) == (module, attribute):
            return did_you_mean(attribute, own_names(owner)).strip()
        return ""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    package, siblings = _package_of(file)
    if package and error.name.partition(".")[0] in siblings:
        if error.name == module:
            return f"Nothing is relative: write '{package}.{target}'"
        return f"Nothing is relative: write from {package} import {error.name.partition('.')[0]}"
    parent, _, name = error.name.rpartition(".")
    near = nearest(name, _modules_in(parent))
    return f"Did you mean '{parent}.{near[0]}'?" if near else ""


def file_advice(error: BaseException, file: str) -> str:
    """Returns what to do if a file with a component cannot be imported.

    Args:
        error: The error of the import.
        file: The file, which a spec names as ``file:PATH:CLASS``.

    Returns:
        The advice, with a leading full stop and space; "" if there is none.
    """
    alone = ". A class in a file cannot import other files next to it: write all in one file, or a "
    alone += "package, which halo new plugin begins"
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if top in _names_in(os.path.dirname(file)):
            return alone
        return f". The package {top} is missing: pip install {top}"
    relative = isinstance(error, ImportError) and "relative import" in str(error)
    return alone if relative else ""


def own_names(module: ModuleType) -> list[str]:
    """Returns the names of the classes and functions that a module defines itself."""
    values = vars(module).items()
    return [name for name, value in values if getattr(value, "__module__", "") == module.__name__]


def _package_of(file: str) -> tuple[str, list[str]]:
    """Returns the dotted name of the package that a file is in, and the names next to the file."""
    folder, parts = os.path.dirname(file), []
    names = _names_in(folder)
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, part = os.path.split(folder)
        parts.append(part)
    return ".".join(reversed(parts)), names


def _modules_in(package: str) -> list[str]:
    """Returns the names of the modules in a package that was imported."""
    folders = getattr(sys.modules.get(package), "__path__", ())
    return [name for folder in folders for name in _names_in(folder)]


def _names_in(folder: str) -> list[str]:
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        return []
    files = [name.removesuffix(".py") for name in entries if name.endswith(".py")]
    packages = [n for n in entries if os.path.isfile(os.path.join(folder, n, "__init__.py"))]
    return [name for name in files + packages if name != "__init__"]
