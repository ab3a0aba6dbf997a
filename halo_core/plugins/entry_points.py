"""Finds the installed distributions that announce a plugin, without importing any of them.

`importlib.metadata` can do this, but importing it costs more than all the rest of `halo --help`.
Like it, this module reads ``entry_points.txt`` of every ``*.dist-info`` and ``*.egg-info`` folder
on `sys.path`. The first distribution of a name counts. Zipped packages are not searched.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from halo_core.errors import nearest

GROUP = "halo"
"""The entry-point group of plugins."""

_SUFFIXES = (".dist-info", ".egg-info")
_METADATA = ("METADATA", "PKG-INFO")
_LOOKS_LIKE_IT = ("hola", "haol", "ahlo", "haio", "ha1o", "hal0")
"""Groups that are less similar to ``halo`` than those of other programs, such as ``hello``."""


class Announcement(NamedTuple):
    """A distribution that has an entry point in the group ``halo``.

    Attributes:
        distribution: The distribution's name in its metadata.
        version: Its version.
        modules: The targets of its entry points, ``module`` or ``module:attribute``.
        requires: Its requirements in its metadata.
        folder: The folder of its metadata.
    """

    distribution: str
    version: str
    modules: tuple[str, ...]
    requires: tuple[str, ...]
    folder: str


def announcements(path: Iterable[str] | None = None) -> list[Announcement]:
    """Returns the distributions that announce plugins, sorted by name.

    Args:
        path: The folders to search; `sys.path` by default.
    """
    by_name: dict[str, Announcement] = {}
    seen: set[str] = set()
    for folder in _metadata_folders(sys.path if path is None else path):
        if is_leftover(folder):
            continue
        name = normalised(os.path.basename(folder).rsplit(".", 1)[0].split("-", 1)[0])
        if name in seen:
            continue
        seen.add(name)
        modules = tuple(dict.fromkeys(_entry_points_of(folder)))
        if modules:
            by_name[name] = _announcement(folder, modules)
    return [by_name[name] for name in sorted(by_name)]


def leftovers(path: Iterable[str] | None = None) -> list[str]:
    """Returns the folders of metadata that remain after an interrupted pip, and that do not count.

    Only those with the entry point of a plugin, or with "alo" in their names, as halo's own
    distributions and most plugins have it, can be mistaken for a plugin.

    Args:
        path: The folders to search; `sys.path` by default.
    """
    return [
        folder
        for folder in _metadata_folders(sys.path if path is None else path)
        if is_leftover(folder)
        and ("alo" in os.path.basename(folder) or any(_entry_points_of(folder)))
    ]


def misspelt_groups(path: Iterable[str] | None = None) -> list[tuple[str, str]]:
    """Returns the distributions whose entry points are in a group that is nearly ``halo``.

    halo does not find their plugins, and no error says so.

    Args:
        path: The folders to search; `sys.path` by default.

    Returns:
        Pairs of a metadata folder and the group, such as ``halo.plugins`` or ``Halo``.
    """
    found = []
    for folder in _metadata_folders(sys.path if path is None else path):
        text = _read(os.path.join(folder, "entry_points.txt"))
        groups = [line.strip("[] ") for line in text.splitlines() if line.startswith("[")]
        if GROUP not in groups and not is_leftover(folder):
            found += [(folder, group) for group in groups if is_near(group)]
    return found


def is_near(group: str) -> bool:
    """Returns whether an entry-point group is probably a misspelt ``halo``.

    Args:
        group: The group.
    """
    text = group.lower()
    if text.startswith(tuple(f"{GROUP}{sign}" for sign in (*".-_:", "plugin", "component"))):
        return True
    return bool(nearest(text, [GROUP], cutoff=0.8)) or text in _LOOKS_LIKE_IT


def is_leftover(folder: str) -> bool:
    """Returns whether a metadata folder does not belong to a distribution.

    pip renames a distribution that it replaces to a name that begins with ``~``. If it is
    interrupted, this folder stays, or one that is empty.

    Args:
        folder: The folder.
    """
    if os.path.basename(folder).startswith("~"):
        return True
    # A .egg-info may be a file, which is then the metadata itself.
    return os.path.isdir(folder) and not any(
        os.path.isfile(os.path.join(folder, name)) for name in _METADATA
    )


def metadata_of(distribution: str, path: Iterable[str] | None = None) -> str | None:
    """Returns the metadata folder of an installed distribution; None if it is not installed.

    Args:
        distribution: Its name.
        path: The folders to search; `sys.path` by default.
    """
    for folder in _metadata_folders(sys.path if path is None else path):
        name = os.path.basename(folder).rsplit(".", 1)[0].split("-", 1)[0]
        if normalised(name) == normalised(distribution) and not is_leftover(folder):
            return folder
    return None


@functools.cache  # Each cell of a suite asks for the names of all components.
def normalised(distribution: str) -> str:
    """Returns a distribution's name in lower case, with single hyphens.

    >>> normalised("Halo__Stranger.X")
    'halo-stranger-x'
    """
    for separator in "_.":
        distribution = distribution.replace(separator, "-")
    return "-".join(part for part in distribution.lower().split("-") if part)


def _metadata_folders(path: Iterable[str]) -> Iterator[str]:
    for entry in dict.fromkeys(path):
        try:
            names = os.listdir(entry or ".")
        except OSError:
            continue
        for name in sorted(names):
            if name.endswith(_SUFFIXES):
                yield os.path.join(entry, name)


def _entry_points_of(folder: str) -> Iterator[str]:
    return _entry_points(os.path.join(folder, "entry_points.txt"))


def _entry_points(file: str) -> Iterator[str]:
    section = ""
    text = _read(file)
    for line in text.splitlines() if f"[{GROUP}]" in text else ():
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == GROUP and "=" in line:
            yield line.partition("=")[2].partition("[")[0].strip()


def _announcement(folder: str, modules: tuple[str, ...]) -> Announcement:
    headers: dict[str, list[str]] = {}
    for file in _METADATA:
        for line in _read(os.path.join(folder, file)).splitlines():
            if not line.strip():
                break  # the description follows
            key, _, value = line.partition(":")
            headers.setdefault(key.lower(), []).append(value.strip())
    fallback = os.path.basename(folder).rsplit(".", 1)[0].split("-", 1)[0]
    return Announcement(
        distribution=headers.get("name", [fallback])[0],
        version=headers.get("version", ["?"])[0],
        modules=modules,
        requires=tuple(headers.get("requires-dist", ())),
        folder=folder,
    )


def _read(file: str) -> str:
    try:
        with open(file, "rb", buffering=0) as content:
            return content.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
