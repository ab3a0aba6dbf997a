"""Refuses symbolic links through which halo would write, cut or remove outside of a workspace.

A link in a folder of the workspace, which a plugin or another user has put there, could lead to any
file. So halo looks for links before it writes into a folder, and opens files without following one.
The workspace itself may be reached through a link. Links are read through.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from halo_core.errors import PathError

REFUSED = (
    "halo writes through no link in a workspace. Remove the link; for another disk, name another "
    "workspace with --workspace"
)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


def opened(path: Path, mode: str, *, buffering: int = -1) -> IO[bytes]:
    """Opens a binary file that is not a link.

    Args:
        path: The file.
        mode: The mode, as for `open`.
        buffering: The size of the buffer, as for `open`.

    Raises:
        PathError: When it is one.
        OSError: Any other error of the system.
    """
    check_not_a_link(path)
    return open(
        path,
        mode,
        buffering,
        opener=lambda name, flags: os.open(name, flags | _NO_FOLLOW, 0o666),
    )


def check_not_a_link(path: Path) -> None:
    """Looks at one path, which may not exist.

    Raises:
        PathError: When it is a link, also one that leads nowhere.
    """
    if path.is_symlink():
        raise PathError(f"is a link to {os.readlink(path)}; {REFUSED}", location=str(path))


def check_no_links(root: Path, folder: Path, *, within: bool = True) -> None:
    """Looks for links before halo writes into a folder of a workspace.

    The folder, its locks and unfinished copies next to it, and all folders from the workspace to it
    must not be links. No link inside it may lead out of the workspace.

    Args:
        root: The workspace.
        folder: A folder below it, which may not exist.
        within: Whether to look at what the folder contains, too.

    Raises:
        PathError: When there is such a link.
    """
    for path in reversed([folder, *folder.parents]):
        if path != root and path.is_relative_to(root):
            check_not_a_link(path)
    beside = f".{folder.name}."
    for name in _names(folder.parent):
        if name.startswith(beside):
            check_not_a_link(folder.parent / name)
    if within:
        check_links_within(root, folder)


def check_links_within(root: Path, folder: Path, *, deep: bool = True) -> None:
    """Looks for links in a folder that lead out of a workspace.

    Args:
        root: The workspace.
        folder: The folder, which may not exist.
        deep: Whether to look into the folders in it, too.

    Raises:
        PathError: When there is such a link.
    """
    real = root.resolve()
    for link in _links(folder, deep):
        if not _target(link).is_relative_to(real):
            check_not_a_link(link)


def _target(link: Path) -> Path:
    try:
        return link.resolve()
    except (OSError, RuntimeError):  # Links that lead to each other lead nowhere.
        return link.parent.resolve() / link.name


def _links(folder: Path, deep: bool) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    yield Path(entry.path)
                elif deep and entry.is_dir(follow_symlinks=False):
                    yield from _links(Path(entry.path), deep)
    except FileNotFoundError:  # Another process may remove what it has finished.
        return


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
