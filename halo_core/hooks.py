"""The hooks of halo. All plugins register through `halo_register`, including the built-in ones.

A distribution names a module in the entry-point group ``halo``. The module must import fast:

    from halo_core import hookimpl

    @hookimpl
    def halo_register(registry):
        registry.loss("my-loss", "halo_something.components:MyLoss")

Nothing heavy is imported until a run uses the component.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from halo_core.plugins.registrar import Registrar

hookspec = pluggy.HookspecMarker("halo")
hookimpl = pluggy.HookimplMarker("halo")
"""Marks a function of a plugin's module as one of the hooks, such as `halo_register`."""


class Hooks:
    """The hook specifications."""

    @hookspec
    def halo_register(self, registry: Registrar) -> Any:
        """Registers the components of a distribution by import strings.

        A plugin without it has no components; it must have another hook.
        """

    @hookspec
    def halo_caches(self, cache: Path) -> Any:
        """Returns what the distribution keeps in the cache of a workspace, for `halo runs gc`.

        The hook is optional.

        Args:
            cache: The folder of the cache, ``<workspace>/cache``.

        Returns:
            A list of `halo_core.CacheEntry`.
        """

    @hookspec
    def halo_doctor(self) -> Any:
        """Returns facts about this machine for `halo doctor`: versions, devices, kernels.

        The hook is optional. It may import heavy libraries, and it must not show secrets.

        Returns:
            A list of `halo_core.Finding`.
        """
