"""`halo plugins install`: installs what an entry of the catalogue names, after showing it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import click

from halo_core import __version__
from halo_core.cli.output import Output
from halo_core.cli.plugins_available import newest
from halo_core.errors import InstallError, Interrupted, PluginError, UserError, did_you_mean
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.catalogue import Catalogue, Entry, update_line
from halo_core.plugins.discovery import ALLOWLIST, is_met
from halo_core.plugins.entry_points import metadata_of, normalised
from halo_core.plugins.package_index import Found, look_up
from halo_core.plugins.pip_calls import (
    check_pip_may_install,
    failure,
    index_environment,
    pip_settings,
    stream_pip,
)
from halo_core.plugins.registry import Registry
from halo_core.printing import say
from halo_core.stop_flag import BySignal
from halo_core.supervised import run_supervised


def install_entry(output: Output, registry: Registry, name: str, *, yes: bool) -> None:
    """Installs the distribution of an entry.

    Args:
        output: The output of the command.
        registry: The installed plugins.
        name: The distribution, or a component that an entry lists.
        yes: Whether to install without asking.

    Raises:
        UserError: When no entry names it, or nobody can be asked.
        InstallError: When pip cannot find or install it.
        Interrupted: When a signal came while pip installed. pip has ended.
        PluginError: When it is installed, and broken.
    """
    catalogue = newest(output)
    entry = _entry_of(name, catalogue, registry)
    if metadata_of(entry.distribution) is not None:
        output.emit({"distribution": entry.distribution, "installed": False})
        output.say(
            f"{entry.distribution} is installed already: halo plugins. To update it: "
            f"{update_line(entry)}"
        )
        return
    check_pip_may_install()
    found = look_up(f"{entry.distribution}{entry.versions}", entry.index_url)
    _check_found(entry, found)
    facts = _facts(entry, found, catalogue)
    output.attach(**facts)
    output.say("\n".join(f"{label:14}{text}" for label, text in facts.items()))
    _ask(found, yes=yes, output=output)
    try:
        _install(entry, found, lambda line: say(line, err=output.json))
    except BySignal as error:
        there = "installed" if metadata_of(entry.distribution) else "not installed"
        raise Interrupted(
            f"stopped while pip was working, and pip has ended; {entry.distribution} is {there}",
            signal_number=error.signal_number,
        ) from None
    components = _components_now(entry.distribution)
    output.emit({**facts, "installed": True, "components": components})
    listed = ", ".join(components) or f"nothing, because {ALLOWLIST} leaves it out"
    output.say(f"\nInstalled {found.distribution} {found.version}. It provides {listed}")


def _entry_of(name: str, catalogue: Catalogue, registry: Registry) -> Entry:
    """Returns the entry that a name means. No distribution is derived from a name."""
    by_name = {entry.distribution: entry for entry in catalogue.entries}
    if normalised(name) in by_name:
        return by_name[normalised(name)]
    owners = {e.distribution for e in catalogue.entries if name in {c.name for c in e.components}}
    owners |= {names[name] for names in RESERVED.values() if name in names} & {*by_name}
    if len(owners) == 1:
        return by_name[owners.pop()]
    if owners:
        raise UserError(
            f"{name!r} is in {' and in '.join(sorted(owners))}; name the distribution",
            location=name,
        )
    known = [*by_name, *(c.name for e in catalogue.entries for c in e.components)]
    raise UserError(
        f"no entry of the catalogue of {catalogue.date} names it, so halo does not install it."
        f"{did_you_mean(name, known)} Search: halo plugins search WORD. If you know and trust a "
        "distribution, install it with pip",
        location=name,
    )


def _check_found(entry: Entry, found: Found) -> None:
    """Refuses another distribution, another file than the checked one, and another core."""
    what = f"{found.distribution} {found.version}"
    if normalised(found.distribution) != entry.distribution:
        raise InstallError(f"the index has {what} under the name {entry.distribution}")
    checked = entry.checked
    known = (
        dict(checked.files).get(found.file)
        if checked and checked.version == found.version
        else None
    )
    if known and found.sha256 and found.sha256 != known:
        raise InstallError(
            f"the index has another {found.file} than the one that was checked: its sha256 is "
            f"{found.sha256}, but the catalogue has {known}. It was not installed; report it"
        )
    for requirement in found.requires:
        if normalised(requirement).startswith("halo-core") and not is_met(requirement):
            raise InstallError(
                f"{what} needs {requirement}, but halo-core is {__version__}. Install versions "
                f"that go together: pip install -U halo-core, then halo plugins install "
                f"{entry.distribution}"
            )


def _facts(entry: Entry, found: Found, catalogue: Catalogue) -> dict[str, str]:
    checked = str(entry.checked) if entry.checked else "never"
    if entry.checked and entry.checked.version != found.version:
        checked += f" (not {found.version})"
    return {
        "distribution": found.distribution,
        "version": f"{found.version} (the entry allows {entry.versions or 'any'})",
        "author": found.author or "not stated",
        "license": found.license
        or (f"{entry.license} (the entry says so)" if entry.license else "not stated"),
        "index": found.index_url,
        "file": found.address,
        "sha256": found.sha256 or "not stated",
        "requires": ", ".join(text for text in found.requires if _holds(text)) or "nothing",
        "checked": checked,
        "catalogue": f"{catalogue.date}, {catalogue.source}",
    }


def _ask(found: Found, *, yes: bool, output: Output) -> None:
    if yes:
        return
    if output.json or not sys.stdin.isatty():
        why = "--json asks no questions" if output.json else "there is no terminal to ask in"
        raise UserError(f"{why}; to install it without a question, add --yes", location="install")
    question = f"\nA plugin is code that runs with your rights. Install {found.distribution}?"
    if not click.confirm(question, default=False):
        raise UserError("nothing was installed, because the answer was no", location="install")


def _install(entry: Entry, found: Found, say: Callable[[str], None]) -> None:
    """Installs the requirements, then the very file that was shown."""
    what = f"{found.distribution}=={found.version}"
    requirements = [text for text in found.requires if _is_needed(text)]
    hashed = f"{what} --hash=sha256:{found.sha256}" if found.sha256 else what
    environment = index_environment(entry.index_url, pip_settings())
    with _lines(f"halo-core=={__version__}") as constraint, _lines(hashed) as shown:
        if requirements:
            say(f"pip installs what {what} needs")
            pip = ["install", "--retries", "1", "--constraint", constraint, *requirements]
            done = stream_pip(pip, say)
            if done.code != 0:
                raise InstallError(failure(done, ", ".join(requirements), found.index_url))
        say(f"pip installs {what}")
        pip = ["install", "--no-deps", "--only-binary", ":all:", "--retries", "1"]
        done = stream_pip([*pip, "--requirement", shown], say, environment=environment)
        if done.code != 0:
            raise InstallError(failure(done, what, found.index_url))


def _is_needed(text: str) -> bool:
    """Returns whether pip installs a requirement. That of the core was checked, and stays."""
    from packaging.requirements import Requirement

    return normalised(Requirement(text).name) != "halo-core" and _holds(text)


def _holds(text: str) -> bool:
    """Returns whether a requirement is for this Python and machine, and for no extra."""
    from packaging.requirements import Requirement

    marker = Requirement(text).marker
    return marker is None or marker.evaluate({"extra": ""})


@contextlib.contextmanager
def _lines(*lines: str) -> Iterator[str]:
    """Writes a file for pip, and removes it."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", delete=False) as file:
        file.write("\n".join(lines) + "\n")
    try:
        yield file.name
    finally:
        os.unlink(file.name)


def _components_now(distribution: str) -> list[str]:
    """Returns the components of a distribution that was just installed, from a new process.

    Raises:
        PluginError: When it is broken, or is not a plugin.
    """
    command = [sys.executable, "-m", "halo_core.cli", "plugins", "--json"]
    done = run_supervised(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        listed: dict[str, Any] = json.loads(done.stdout)
        others = [*listed["left_out"], *listed["hooks_only"]]
    except (ValueError, KeyError):
        said = (done.stderr or done.stdout)[-300:].strip()
        raise PluginError(
            f"{distribution} was installed, and halo plugins fails since then: {said}. "
            f"To remove it: pip uninstall {distribution}"
        ) from None
    for broken in listed.get("broken", []):
        if normalised(broken["distribution"]) == distribution:
            raise PluginError(
                f"{distribution} was installed, and is broken: {broken['error']}. {broken['hint']}",
                location=broken["location"],
            )
    rows = [r for r in listed["plugins"] if normalised(r["distribution"]) == distribution]
    here = [each for each in others if normalised(each["distribution"]) == distribution]
    if not rows and not here:
        raise PluginError(
            f"{distribution} was installed, but this halo does not find it: it has no entry point "
            f"in the group 'halo', or pip installs for another Python than {sys.executable}"
        )
    hooks = [f"hook {name}" for each in here for name in each.get("hooks", ())]
    return [*(f"{row['kind'].replace('_', ' ')} {row['name']}" for row in rows), *hooks]
