"""Components in a user's file, for development: ``file:./my_loss.py:MyLoss``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from halo_core.errors import PathError, PluginError, UserError, did_you_mean
from halo_core.plugins.error_place import raised_at
from halo_core.plugins.missing_names import file_advice, own_names
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import advice, import_problem
from halo_core.stdout import stdout_to_stderr
from halo_core.stop_flag import from_outside
from halo_core.watched import within
from halo_core.workspace.user_paths import user_path

FILE_PREFIX = "file:"


def local_registration(kind: str, name: str, folder: Path) -> Registration:
    """Imports a file and returns the registration that a ``file:`` name means.

    Args:
        kind: The expected kind.
        name: A name ``file:PATH:ATTRIBUTE``.
        folder: The folder that relative paths are relative to.

    Raises:
        UserError: When the name does not have this form.
        PathError: When the file does not exist or is not a Python file.
        PluginError: When the file cannot be imported or has no such attribute.
    """
    path, attribute = file_and_attribute(absolute_name(name, folder))
    if not path.name or not attribute.isidentifier():
        raise UserError(f"got {name!r}; expected file:PATH:CLASS, as in file:./my_loss.py:MyLoss")
    if not path.is_file():
        raise PathError(f"no such file: {path}")
    module = import_file(path)
    if not hasattr(module, attribute):
        near = did_you_mean(attribute, own_names(module))
        raise PluginError(
            f"{path.name} has no {attribute!r}{near and f'.{near}'}", location=str(path)
        )
    target = f"{FILE_PREFIX}{path}:{attribute}"
    return Registration(kind, name, target, f"{FILE_PREFIX}{path.name}", "local", str(path))


def absolute_name(name: str, folder: Path) -> str:
    """Returns a ``file:`` name with an absolute path. A name without an attribute is unchanged.

    >>> absolute_name("file:./judge.py:score", Path("/specs"))
    'file:/specs/judge.py:score'
    """
    file, _, attribute = name.removeprefix(FILE_PREFIX).rpartition(":")
    if not file:
        return name
    return f"{FILE_PREFIX}{user_path(file, folder)}:{attribute}"


def file_and_attribute(name: str) -> tuple[Path, str]:
    """Returns the file and the attribute of a ``file:`` name. Without a file, it is ``.``."""
    file, _, attribute = name.removeprefix(FILE_PREFIX).rpartition(":")
    return Path(file), attribute


def local_class(registration: Registration) -> type | None:
    """Returns the class that a ``file:`` registration names, or None for any other.

    Raises:
        PluginError: When the file cannot be imported.
    """
    if not registration.target.startswith(FILE_PREFIX):
        return None
    file, _, attribute = registration.target.removeprefix(FILE_PREFIX).rpartition(":")
    component_class: type = getattr(import_file(Path(file)), attribute)
    return component_class


def class_in_file(name: str) -> Registration:
    """Returns the registration of a class or command in a file, with the kind of its interface.

    Args:
        name: A name ``file:PATH:CLASS``, relative to the current folder.

    Raises:
        UserError: When the name does not have this form.
        PathError: When the file does not exist or is not a Python file.
        PluginError: When the file cannot be imported or has no such class of components.
    """
    import click

    from halo_core.component import Component, interface_of

    found = local_registration("loss", name, Path.cwd())
    cls: object = local_class(found)
    if isinstance(cls, click.Command):
        return found._replace(kind="command")
    if not (isinstance(cls, type) and issubclass(cls, Component)):
        attribute = name.rpartition(":")[2]
        raise PluginError(
            f"{attribute} is {_described(cls)}; expected a class that subclasses Loss, DataSource, "
            "Judge, Stage, Tracker, or another interface of halo_core, or a click.Command",
            location=found.origin,
        )
    return found._replace(kind=interface_of(cls).kind)


def _described(found: object) -> str:
    """Returns what an attribute of a file is, without its place in the memory."""
    if isinstance(found, type):
        return f"the class {found.__module__}.{found.__qualname__}"
    return f"a {type(found).__name__}" if " at 0x" in repr(found) else repr(found)


def import_file(path: Path) -> ModuleType:
    """Returns the module that a file defines, imported once per process.

    Raises:
        PathError: When it is not a Python file.
        PluginError: When the import raises. The location is the line in the file.
    """
    name = f"halo_file_{path.stem}_{abs(hash(str(path))):x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        problem = "not a Python file; expected one whose name ends in .py"
        raise PathError(problem, location=str(path))
    module = importlib.util.module_from_spec(spec)
    # The module is added before it runs, as in Python's own import, because pydantic looks up the
    # module of a class by its name.
    sys.modules[name] = module
    try:
        with within(f"the import of {path}"), stdout_to_stderr():
            spec.loader.exec_module(module)
    except BaseException as error:
        if from_outside(error):
            raise
        del sys.modules[name]
        place = raised_at(error.__traceback__, str(path))
        said = import_problem(error) + (file_advice(error, str(path)) if not advice(error) else "")
        raise PluginError(said, location=place) from error
    return module
