"""Calls the optional hooks of the plugins, each one guarded: `halo_caches`, `halo_doctor`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pluggy

from halo_core.errors import HaloError, PluginError, error_text
from halo_core.hooks import Hooks
from halo_core.plugins.discovery import ALLOWLIST, discover
from halo_core.plugins.entry_points import announcements, normalised
from halo_core.plugins.error_place import raised_at
from halo_core.stop_flag import from_outside
from halo_core.watched import within


@dataclass(frozen=True)
class HookAnswer:
    """The answer of one distribution.

    Attributes:
        distribution: Its name.
        answers: The items that its hook returned.
        error: Its error; None if there was none.
    """

    distribution: str
    answers: Sequence[Any] = ()
    error: HaloError | None = None


def call_hook(hook: str, **arguments: Any) -> list[HookAnswer]:
    """Calls a hook of all plugins that can be used, and returns the answers of those that have it.

    Args:
        hook: The name of a hook in `halo_core.hooks.Hooks` that returns a list.
        arguments: The arguments of the hook.
    """
    registry = discover()
    broken = {plugin.distribution for plugin in registry.broken}
    allowed = os.environ.get(ALLOWLIST, "")
    names = {normalised(name.strip()) for name in allowed.split(",") if name.strip()}
    answers = []
    for plugin in announcements():
        if plugin.distribution in broken or (
            names and normalised(plugin.distribution) not in names
        ):
            continue
        for target in plugin.modules:
            module = importlib.import_module(target.partition(":")[0])
            if hasattr(getattr(module, hook, None), "halo_impl"):
                answers.append(_call(plugin.distribution, module, hook, arguments))
    return answers


def _call(distribution: str, module: Any, hook: str, arguments: dict[str, Any]) -> HookAnswer:
    manager = pluggy.PluginManager("halo")
    manager.add_hookspecs(Hooks)
    try:
        manager.register(module)
        with within(f"{hook} of {distribution}"):
            (answer,) = getattr(manager.hook, hook)(**arguments) or [[]]
        return HookAnswer(distribution, list(answer))
    except HaloError as error:
        return HookAnswer(distribution, error=error)
    except BaseException as error:
        if from_outside(error):
            raise
        where = raised_at(error.__traceback__, str(module.__file__))
        message = f"{hook} raised {error_text(error)}"
        return HookAnswer(distribution, error=PluginError(message, location=where))
