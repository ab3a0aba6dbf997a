"""Options that several commands share: a spec with its overrides, and components."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.local_path import LocalPath
from halo_core.devices import EXAMPLE_DEVICES, Devices
from halo_core.errors import SpecErrors, UserError
from halo_core.plugins.allowed_files import OPTION, allow
from halo_core.redact import redact_setting

if TYPE_CHECKING:
    from halo_core.run.plan import Plan
    from halo_core.spec.document import Document
    from halo_core.spec.resolved import Resolved
    from halo_core.spec.spec import Spec
    from halo_core.spec.suite import Suite
    from halo_core.suite.plan import SuitePlan


@dataclass(frozen=True)
class RunRequest:
    """The spec that a command checks, plans or runs, and the workspace. The file is read once.

    Attributes:
        spec_file: The file of a spec or a suite.
        overrides: Values from ``--set``, as dotted path to YAML text.
        workspace: The workspace's folder; "" if none is needed.
        cells: Cells of a suite to use; empty for all.
        again: Stages to compute again.
        spare: An empty folder for rows, if the workspace is only planned in; see `Workspace`.
    """

    spec_file: Path
    overrides: Mapping[str, str]
    workspace: str = ""
    cells: Sequence[str] = ()
    again: Sequence[str] = ()
    spare: Path | None = None

    @cached_property
    def _document(self) -> Document:
        from halo_core.spec.document import read_document

        return read_document(self.spec_file)

    def is_suite(self) -> bool:
        """Returns whether the file holds a suite.

        Raises:
            UserError: When it cannot be read.
        """
        from halo_core.spec.suite import is_suite

        return is_suite(self._document, self.overrides)

    def spec(self) -> Spec:
        """Returns the checked spec, from the file as first read.

        Raises:
            UserError: When it has mistakes.
        """
        from halo_core.spec.spec import load_spec

        return load_spec(self.spec_file, self.overrides, document=self._document)

    def suite(self) -> Suite:
        """Returns the checked suite, from the file as first read.

        Raises:
            UserError: When it has mistakes.
        """
        from halo_core.spec.suite import load_suite

        file, cells = self.spec_file, self.cells
        return load_suite(file, self.overrides, only=cells, document=self._document)

    def plan(self) -> Plan:
        """Returns the plan of a spec.

        Raises:
            UserError: When the spec has mistakes, or the workspace cannot be written to.
        """
        from halo_core.run.plan import make_plan
        from halo_core.workspace.layout import open_workspace

        return make_plan(self.spec(), open_workspace(self.workspace, self.spare))

    def suite_plan(self, devices: Devices = EXAMPLE_DEVICES) -> SuitePlan:
        """Returns the plan of a suite.

        Args:
            devices: The devices that it is made for.

        Raises:
            UserError: When the suite has mistakes, or the workspace cannot be written to.
        """
        from halo_core.suite.plan import make_suite_plan
        from halo_core.workspace.layout import open_workspace

        return make_suite_plan(self.suite(), open_workspace(self.workspace, self.spare), devices)


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument `spec_file` and ``--set PATH=VALUE``, passed as `overrides`."""
    command = _set_option(command)
    return click.argument("spec_file", metavar="SPEC", type=LocalPath())(command)


def optional_spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument `spec_file`, which may be None, and ``--set PATH=VALUE``."""
    command = _set_option(command)
    argument = click.argument("spec_file", metavar="[SPEC]", type=LocalPath(), required=False)
    return argument(command)


def _set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Set a value of the spec, as in --set stages.kto.loss.beta=0.2. Repeatable.",
    )(allow_option(command))


def allow_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--allow-file DIR``, which has its effect before the command is called."""
    return click.option(
        OPTION,
        multiple=True,
        metavar="DIR",
        expose_value=False,
        callback=_allow,
        help="Allow the spec to run the Python files in this folder, which is not its own. "
        "Repeatable. See also the variable HALO_FILES.",
    )(command)


def _allow(_: click.Context, __: click.Parameter, folders: Sequence[str]) -> None:
    try:
        allow(folders)
    except UserError as error:
        raise UserError(error.message, location=f"{OPTION} {error.location}") from None


def cell_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--cell ID``, passed to the command as `cells`."""
    return click.option(
        "--cell",
        "cells",
        multiple=True,
        metavar="ID",
        help="Use only this cell of a suite, as in small/kto. * matches any text, ? one "
        "character. Repeatable.",
    )(command)


def refuse_for_spec(**given: Any) -> None:
    """Refuses options that only a suite has.

    Args:
        given: Maps an option, without its dashes, to its value.

    Raises:
        UserError: When one of them is set.
    """
    for name, value in given.items():
        if value:
            raise UserError(
                "this spec is not a suite: it has no matrix. Leave the option out, or add a matrix",
                location=f"--{name.replace('_', '-')}",
            )


def parse_overrides(overrides: Sequence[str]) -> dict[str, str]:
    """Returns the overrides as dotted path to YAML text.

    Raises:
        UserError: When one is not PATH=VALUE.
    """
    parsed = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            where = f"--set {redact_setting(text)}"
            raise UserError("expected PATH=VALUE, as in seed=2", location=where)
        parsed[path] = value
    return parsed


def component_given(
    kind: str, text: str, *, option: str, overrides: Sequence[str] = ()
) -> Resolved:
    """Returns the component that ``NAME`` or ``{use: NAME, ...options}`` describes.

    Relative paths among its options are relative to the current folder.

    Args:
        kind: The expected kind, such as ``judge``.
        text: A name, or a mapping in YAML.
        option: The command-line option that has this value, such as ``--judge``, for messages.
        overrides: ``PATH=VALUE`` texts that take precedence over `text`. Each path starts with
            the option's name without dashes: ``judge.model=gpt-4o``.

    Raises:
        SpecErrors: With every mistake, when it is not such a component.
        UserError: When `text` is not YAML, or an override's path does not start with the option.

    >>> component_given("judge", "longest", option="--judge").name
    'longest'
    """
    from halo_core.plugins.discovery import discover
    from halo_core.spec.document import Document, apply_overrides, parse_value
    from halo_core.spec.mistakes import Mistakes
    from halo_core.spec.resolver import Resolver

    slot = option.lstrip("-")
    try:
        document = Document(option, Path.cwd(), {slot: parse_value(text)})
    except UserError as error:
        raise UserError(error.message, location=f"{option} {text}") from None
    written = document.tree[slot]
    if isinstance(written, dict):
        document.places.update({(slot, name): option for name in written})
    parsed = parse_overrides(overrides)
    for path in parsed:
        if path.partition(".")[0] != slot:
            raise UserError(
                f"expected a path below {slot}, as in {slot}.OPTION=VALUE",
                location=f"--set {redact_setting(f'{path}={parsed[path]}')}",
            )
    apply_overrides(document, parsed)
    mistakes = Mistakes(document)
    component = Resolver(discover(), mistakes).resolve(kind, document.tree[slot], (slot,))
    mistakes.raise_if_any(option)
    if component is None:
        raise SpecErrors([])
    return component
