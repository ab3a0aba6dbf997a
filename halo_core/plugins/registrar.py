"""The registrations of plugins. Each is a component with its kind, name and import string."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from halo_core.errors import PluginError
from halo_core.feedback import COLUMNS, Feedback
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.entry_points import normalised
from halo_core.plugins.import_string import described, wrong_name, wrong_target


class Registration(NamedTuple):
    """A component that a distribution offers.

    Attributes:
        kind: The kind, one of `halo_core.plugins.builtin_names.KINDS`.
        name: The name that the distribution registered, without a namespace.
        target: The import string ``module:attribute``.
        distribution: The distribution's name.
        version: Its version.
        origin: The file of the module that registered it.
        help: One line of help, for commands.
        converts: The kinds of feedback that it converts from and to, for data sources.
        picks_split: The option that names the split to read of another source, for data sources.
        makes_base_model: Whether a spec may use it under ``model:``, for stages.
        by_default: Whether it is used if a spec names no reports, for reports.
        place: The line that registered it, ``file:line``; empty if nothing registered it.
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
    place: str = ""

    @property
    def where(self) -> str:
        """The line that registered it; the file if there is no such line."""
        return self.place or self.origin

    @property
    def canonical(self) -> str:
        """The name that specs use: bare for a built-in component, otherwise ``namespace/name``."""
        if RESERVED[self.kind].get(self.name) == normalised(self.distribution):
            return self.name
        return f"{namespace(self.distribution)}/{self.name}"


def namespace(distribution: str) -> str:
    """Returns a distribution's namespace: its name without a leading ``halo-``.

    >>> namespace("halo-stranger"), namespace("Acme_Losses")
    ('stranger', 'acme-losses')
    """
    return normalised(distribution).removeprefix("halo-")


class Registrar:
    """The argument of `halo_register`, which collects the registrations of one distribution.

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

        A source that wraps another one (with exactly one option that takes a `DataSource`) may be
        inserted into specs that do not name it. If several plugins offer the same, the built-in
        one is inserted. If none is built in, a spec must name the one it wants.

        Args:
            name: The name that specs use.
            target: The import string ``module:attribute``.
            converts: Two kinds of feedback. The source is inserted where the first is given and
                the second is needed. The wrapped source must be its only required option.
            picks_split: The option that names a split. The source is inserted where a source inside
                another component has its own ``split``.

        Raises:
            PluginError: When `converts` is not two kinds of feedback.
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
            name: The name that specs use.
            target: The import string ``module:attribute``.
            makes_base_model: Whether a spec may use it as its model, ``model: {NAME: {...}}``. It
                then runs before all other stages, which start from its model.
        """
        self._add("stage", name, target, makes_base_model=makes_base_model)

    def tracker(self, name: str, target: str) -> None:
        """Registers a `halo_core.Tracker`."""
        self._add("tracker", name, target)

    def report(self, name: str, target: str, *, by_default: bool = False) -> None:
        """Registers a `halo_core.Report`.

        Args:
            name: The name that specs use.
            target: The import string ``module:attribute``.
            by_default: Whether it is used if a spec has no ``reports:``.
        """
        self._add("report", name, target, by_default=by_default)

    def command(self, name: str, target: str, *, help: str) -> None:
        """Registers a `click.Command` for the command line. It is imported when it runs."""
        self._add("command", name, target, help=help)

    def _add(self, kind: str, name: str, target: str, **more: Any) -> None:
        if mistake := self._mistake(kind, name, target):
            said = repr(name) if isinstance(name, str) else described(name)
            raise PluginError(f"{self._distribution} registers the {words(kind)} {said}{mistake}")
        call = sys._getframe(2)
        place = f"{call.f_code.co_filename}:{call.f_lineno}"
        who = (self._distribution, self._version, self.origin)
        self.registrations.append(Registration(kind, name, target, *who, place=place, **more))

    def _mistake(self, kind: str, name: object, target: object) -> str:
        if wrong := wrong_name(name, namespace(self._distribution)):
            return wrong
        if any((r.kind, r.name) == (kind, name) for r in self.registrations):
            return " twice"
        return wrong_target(target)


def words(kind: str) -> str:
    """Returns the words for a kind, such as ``reference point``."""
    return {"data": "data source"}.get(kind, kind.replace("_", " "))
