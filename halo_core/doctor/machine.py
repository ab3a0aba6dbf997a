"""Facts about this machine: versions, plugins, processors, memory and disks. Imports no torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

from halo_core.errors import HaloError
from halo_core.finding import Finding
from halo_core.memory_limits import MACHINE, ROOT, memory_limits
from halo_core.overview.sizes import size_text
from halo_core.plugins.discovery import ALLOWLIST, discover
from halo_core.plugins.hook_calls import call_hook
from halo_core.usable_cores import usable_cores
from halo_core.workspace.disk import free_bytes

_SHOWN_VARIABLES = ("HALO_WORKSPACE", ALLOWLIST, "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE")
"""Environment variables whose values are shown. None of them holds a secret."""


def machine_findings(workspace: Path) -> list[Finding]:
    """Returns the facts that the core knows, and those of the plugins.

    Args:
        workspace: The workspace, which may not exist yet.
    """
    found = [*_versions(), *_plugins(), *_processors(), *_memory(), *_disks(workspace)]
    found += [
        Finding("environment", name, os.environ[name])
        for name in _SHOWN_VARIABLES
        if os.environ.get(name)
    ]
    return [*found, *plugin_findings()]


def plugin_findings() -> list[Finding]:
    """Returns what the hooks `halo_doctor` of the plugins find."""
    found: list[Finding] = []
    for answer in call_hook("halo_doctor"):
        if answer.error is not None:
            found.append(_broken(answer.distribution, answer.error))
            continue
        for finding in answer.answers:
            if isinstance(finding, Finding):
                found.append(finding)
            else:
                problem = f"halo_doctor gave {finding!r}; expected a halo_core.Finding"
                found.append(Finding("plugins", answer.distribution, "", problem))
    return found


def _broken(distribution: str, error: HaloError) -> Finding:
    return Finding("plugins", distribution, "", f"it cannot report its facts: {error}")


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "python", f"{platform.python_version()} ({platform.platform()})")
    yield Finding("versions", "halo-core", importlib.metadata.version("halo-core"))


def _plugins() -> Iterator[Finding]:
    registry = discover()
    versions = {r.distribution: r.version for r in registry.registrations}
    for name, version in sorted(versions.items()):
        yield Finding("plugins", name, version)
    for broken in registry.broken:
        problem = f"it is broken: {broken.error}. {broken.hint}"
        yield Finding("plugins", broken.distribution, broken.version, problem)
    for absent in registry.left_out:
        yield Finding("plugins", absent.distribution, f"{absent.version}, left out by {ALLOWLIST}")


def _processors() -> Iterator[Finding]:
    cores = f"{usable_cores()} cores for this process"
    yield Finding("devices", "processor", f"{platform.machine()}, {cores}")


def _memory() -> Iterator[Finding]:
    for limit in memory_limits(ROOT):
        name = "host" if limit.of == MACHINE else limit.of
        size = size_text(limit.size)
        free = f"{size_text(limit.left)} free of {size}"
        yield Finding("memory", name, f"limit of {size}" if limit.used is None else free)


def _disks(workspace: Path) -> Iterator[Finding]:
    for name, folder in (("workspace", workspace), ("temporary", Path(tempfile.gettempdir()))):
        yield Finding("disk", name, f"{size_text(free_bytes(folder))} free ({folder})")
