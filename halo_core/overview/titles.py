"""Gives runs and suites a name and a note. Folders and identities stay as they are."""

from __future__ import annotations

from pathlib import Path

from halo_core.errors import PathError, UserError
from halo_core.workspace.disk import unwritable
from halo_core.workspace.layout import Target, targets, title_of
from halo_core.workspace.lock import held
from halo_core.workspace.records import TITLE, TitleRecord

LONGEST_TITLE, LONGEST_NOTE = 100, 10_000
"""Maximum numbers of characters."""


def rename(target: Target, title: str) -> None:
    """Sets the name under which a run or suite is shown and found.

    Args:
        target: The run or suite.
        title: The name; "" for the folder's name.

    Raises:
        UserError: When it cannot be a name, or another run or suite of the workspace has it.
        PathError: When the workspace cannot be written to.
    """
    title = title.strip()
    _check(title, LONGEST_TITLE, "a name")
    if wrong := next((mark for mark in "/:\\\n\t" if mark in title), None):
        raise UserError(f"the name has {wrong!r}; expected a name without it", location=title)
    if (reason := unwritable(target.workspace)) is not None:
        raise PathError(
            f"this workspace cannot be written to: {reason}", location=str(target.workspace)
        )
    with held(target.workspace / "titles"):  # Two runs must not get one name at the same time.
        for other in targets(target.workspace):
            if other.folder != target.folder and title in (
                other.folder.name,
                title_of(other.folder)["title"] or other.folder.name,
            ):
                raise UserError(
                    f"the {other.kind} {other.folder.name} has this name; choose another",
                    location=title,
                )
        _write(target.folder, TitleRecord(title=title, note=title_of(target.folder)["note"]))


def set_note(target: Target, note: str) -> None:
    """Sets the note about a run or suite; "" for none.

    Raises:
        UserError: When it is too long or contains control characters.
    """
    note = note.strip()
    _check(note, LONGEST_NOTE, "a note")
    _write(target.folder, TitleRecord(title=title_of(target.folder)["title"], note=note))


def _check(text: str, longest: int, what: str) -> None:
    if len(text) > longest:
        raise UserError(f"{len(text)} characters; expected {what} of at most {longest}")
    # An escape sequence would change the terminal of everybody who lists the runs.
    if wrong := next((mark for mark in text if not (mark.isprintable() or mark in "\n\t")), None):
        raise UserError(f"it contains the control character {wrong!r}; expected {what} without it")


def _write(folder: Path, record: TitleRecord) -> None:
    try:
        if record["title"] or record["note"]:
            TITLE.write(folder, record)
        else:
            (folder / TITLE.name).unlink(missing_ok=True)
    except OSError as error:
        raise PathError(
            f"cannot be written: {error.strerror or error}", location=str(folder / TITLE.name)
        ) from error
