"""The licences that a new plugin can have, and the author in their texts."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

from halo_core.errors import UserError

NONE = "none"


class Licence(NamedTuple):
    """A licence.

    Attributes:
        spdx: Its identifier in package metadata.
        names_author: Whether its text names the author.
    """

    spdx: str
    names_author: bool


LICENCES: Mapping[str, Licence] = {
    "mit": Licence("MIT", True),
    "apache-2.0": Licence("Apache-2.0", False),
    "bsd-3-clause": Licence("BSD-3-Clause", True),
}
"""The licences, by the word after ``--license``. Their texts are files of the templates."""


def licence_text(word: str, author: str, year: int) -> str:
    """Returns the text of a licence.

    Args:
        word: Its word in `LICENCES`.
        author: The author; may be empty if the text does not name one.
        year: The year of the copyright.

    Raises:
        UserError: When the text names an author, and there is none.
    """
    if LICENCES[word].names_author and not author:
        raise UserError(
            f"the licence {word} names the author, and neither --author nor git (user.name) does; "
            "add --author 'Your Name'",
            location="--author",
        )
    template = files("halo_core.new") / "templates" / "licenses" / f"{word}.txt"
    text = template.read_text(encoding="utf-8")
    return text.replace("<year>", str(year)).replace("<author>", author)


def author_of(given: str | None) -> str:
    """Returns the name of the author: the given one, or that of git; "" if there is none.

    Raises:
        UserError: When the given name is empty, or has a character that cannot be printed.
    """
    name = (_of_git() if given is None else given).strip()
    if given is not None and not name:
        raise UserError("the name is empty; expected a name, as in 'Ana Diaz'", location="--author")
    if not name.isprintable():
        where = "--author" if given is not None else "git config user.name"
        raise UserError(
            f"{name!r} has a character that cannot be printed; expected a name, as in 'Ana Diaz'",
            location=where,
        )
    return name


def _of_git() -> str:
    try:
        done = subprocess.run(
            ["git", "config", "user.name"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
