"""The rules for a distribution: its entry point, its plugin module, its requirement of the core."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

from halo_core.check.findings import Finding, State
from halo_core.plugins.core_range import core_requirement
from halo_core.plugins.entry_points import GROUP, Announcement, is_near, metadata_of, normalised
from halo_core.plugins.registry import Registry
from halo_core.supervised import run_supervised

SLOW_IMPORT = 0.1
"""CPU seconds of the import of a plugin module above which a warning advises less."""

_NAME = re.compile(r"[^A-Za-z0-9._-]")
"""A character that ends the name in a requirement."""

_PROBE = """
import sys, time, json
module, path = json.loads(sys.argv[1])
sys.path[:] = path
import halo_core.plugins.discovery, pluggy, halo_core.hooks, halo_core.plugins.registrar
import halo_core
halo_core.hookimpl, halo_core.Registrar
before, start = set(sys.modules), time.process_time()
__import__(module)
print(json.dumps([time.process_time() - start, sorted(set(sys.modules) - before)]))
"""


def check_distribution(plugin: Announcement, registry: Registry) -> Iterator[Finding]:
    """Yields the findings of a distribution that announces a plugin.

    Args:
        plugin: The distribution.
        registry: The installed components.
    """
    from halo_core.testing.component import HEAVY

    subject = plugin.distribution
    broken = [each for each in registry.broken if each.distribution == plugin.distribution]
    for each in broken:
        advised = f". {each.advice}" if each.advice else ""
        yield Finding(subject, "loads", "fail", f"{each.error}{advised}", each.location)
    if broken:
        return
    yield Finding(subject, "loads", "pass")
    for target in plugin.modules:
        yield from _imports(subject, target.partition(":")[0], HEAVY)
    yield _requirement(plugin)


def without_entry_point(name: str) -> Finding | None:
    """Returns the finding of an installed distribution without a plugin.

    Args:
        name: The name of a distribution.

    Returns:
        None if no distribution of this name is installed.
    """
    folder = metadata_of(name)
    if folder is None:
        return None
    groups = _groups(os.path.join(folder, "entry_points.txt"))
    near = [group for group in groups if is_near(group)]
    reason = f"it has no entry point in the group {GROUP!r}, so halo does not find its plugin; "
    if near:
        reason += f"its groups are {', '.join(near)}: rename the group in pyproject.toml to "
    else:
        reason += "write in pyproject.toml: "
    reason += f'[project.entry-points.{GROUP}] {normalised(name).replace("-", "_")} = "MODULE"'
    return Finding(name, "entry-point", "fail", reason, folder)


def _groups(file: str) -> list[str]:
    try:
        with open(file, encoding="utf-8") as content:
            return [line.strip().strip("[]") for line in content if line.startswith("[")]
    except OSError:
        return []


def _imports(subject: str, module: str, heavy: tuple[str, ...]) -> Iterator[Finding]:
    """Yields what a fresh interpreter finds when it imports a plugin module."""
    asked = json.dumps([module, sys.path])
    probe = [sys.executable, "-c", _PROBE, asked]
    done = run_supervised(probe, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        yield Finding(subject, "plugin-imports", "fail", f"importing {module} fails: {last}")
        return
    seconds, modules = json.loads(done.stdout.splitlines()[-1])
    found = [name for name in heavy if name in modules]
    if found:
        reason = (
            f"{module} imports {', '.join(found)}, and every `halo` command would wait for it; "
            "register import strings, and import inside of the methods"
        )
        yield Finding(subject, "plugin-imports", "fail", reason)
        return
    yield Finding(subject, "plugin-imports", "pass")
    state: State = "warn" if seconds > SLOW_IMPORT else "pass"
    reason = f"{module} takes {seconds * 1000:.0f} ms of CPU; every `halo` command waits for it"
    yield Finding(subject, "import-time", state, reason if state == "warn" else "")


def _requirement(plugin: Announcement) -> Finding:
    # The marker after the semicolon is left out, because it has signs of its own.
    written = [each.partition(";")[0].strip() for each in plugin.requires]
    wanted = [each for each in written if normalised(_NAME.split(each)[0]) == "halo-core"]
    # A requirement with @ names one build, which is a limit, too.
    if any(sign in each for each in wanted for sign in ("<", "~=", "==", "@")):
        return Finding(plugin.distribution, "requirement", "pass")
    reason = (
        f"it requires {wanted[0] if wanted else 'no halo-core'}, without an upper limit; a later "
        f"core may have another interface: write {core_requirement()}"
    )
    return Finding(plugin.distribution, "requirement", "warn", reason, plugin.folder)
