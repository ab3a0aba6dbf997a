"""The names of a new plugin and of its components. Each bad name gets one sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from halo_core.errors import UserError, did_you_mean
from halo_core.new.kinds import KINDS, Kind
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.catalogue import known_catalogue
from halo_core.plugins.entry_points import announcements, metadata_of, normalised
from halo_core.plugins.registrar import namespace, words

LONGEST = 30
"""Number of characters of a name, so that the lines of the package do not get too long."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LIBRARIES = ("halo-core", "halo-models", "halo-statistics")
_PREFIX = "halo-"


class Part(NamedTuple):
    """A component of a new plugin.

    Attributes:
        kind: Its kind.
        name: Its name in its plugin.
    """

    kind: Kind
    name: str

    @property
    def module(self) -> str:
        """Name of its module."""
        return f"{self.name.replace('-', '_')}_{self.kind.ending}"

    @property
    def attribute(self) -> str:
        """Name of its class, or of the function of a command."""
        if self.kind.registers == "command":
            return "command"
        return f"{capitalised(self.name)}{self.kind.ending.capitalize()}"


def capitalised(name: str) -> str:
    """Returns a name as the beginning of the name of a class.

    >>> capitalised("two-words")
    'TwoWords'
    """
    return "".join(word.capitalize() for word in name.split("-"))


def plugin_name(text: str) -> str:
    """Returns the name of a plugin without its ``halo-``, which is its namespace in specs.

    Args:
        text: The name that somebody wants, with or without ``halo-``.

    Raises:
        UserError: When it is not a good name, or the distribution exists already.
    """
    if text.lower().rstrip("-_. ") == "halo" and text.lower() != "halo":
        raise UserError(
            f"{text!r} has no name after the prefix of distributions; add one of your own, as in "
            "halo new plugin halo-manners",
            location="NAME",
        )
    _check_form(text, "NAME", "manners")
    if text == "halo":
        raise UserError(
            "halo is the project itself; give the plugin a name of its own, as in halo new plugin "
            "manners",
            location="NAME",
        )
    name = text.removeprefix(_PREFIX)
    _check_form(name, "NAME", "manners")
    distribution = f"{_PREFIX}{name}"
    own = {owner for owners in RESERVED.values() for owner in owners.values()}
    if distribution in own or distribution in _LIBRARIES:
        problem = f"{distribution} is one of halo's own distributions"
    elif any(normalised(entry.distribution) == distribution for entry in known_catalogue().entries):
        problem = f"{distribution} is in the catalogue already (halo plugins --available)"
    elif (folder := metadata_of(distribution)) is not None:
        problem = f"{distribution} is installed here already, in {folder}"
    elif others := [a.distribution for a in announcements() if namespace(a.distribution) == name]:
        problem = f"the components of {others[0]}, which is installed here, are called {name}/..."
    else:
        return name
    raise UserError(f"{problem}; choose another name", location="NAME")


def parts_of(kinds: Sequence[str], plugin: str) -> list[Part]:
    """Returns the components of a plugin, in the order in which they were asked for.

    Args:
        kinds: Each is a kind, or a kind and a name as in ``loss=hinge``.
        plugin: The name of the plugin, which is that of a component without a name.

    Raises:
        UserError: When there is none, a kind is unknown, or a name is bad or taken.
    """
    if not kinds:
        raise UserError(
            f"give at least one kind of component, as in --kind loss; kinds: {', '.join(KINDS)}",
            location="--kind",
        )
    parts: list[Part] = []
    for text in kinds:
        part = _part(text, plugin)
        _check_free(part, parts, plugin)
        parts.append(part)
    return parts


def _part(text: str, plugin: str) -> Part:
    option, equals, name = text.partition("=")
    kind = KINDS.get(option) or KINDS.get(option.replace("_", "-"))
    if kind is None:
        several = " Repeat the option for several: --kind loss --kind judge." if "," in text else ""
        raise UserError(
            f"no kind {option!r}.{did_you_mean(option, list(KINDS))}{several} Kinds: "
            f"{', '.join(KINDS)}",
            location="--kind",
        )
    if equals:
        _check_form(name, f"--kind {kind.option}=", f"{kind.option}=hinge")
    return Part(kind, name or kind.default_name or plugin)


def _check_free(part: Part, parts: Sequence[Part], plugin: str) -> None:
    kind, name = part
    where = f"--kind {kind.option}"
    for other in parts:
        if (other.kind.registers, other.name) == (kind.registers, name):
            raise UserError(
                f"{name!r} would be the name of two components of the kind "
                f"{words(kind.registers)!r}; give this one another, as in --kind "
                f"{kind.option}={name}-2",
                location=where,
            )
    owner = RESERVED[kind.registers].get(name)
    if owner is not None:
        raise UserError(
            f"{name!r} is a {words(kind.registers)} of {owner}, and a spec that forgets "
            f"'{plugin}/' would use that one; choose another name, as in --kind "
            f"{kind.option}=my-{name}",
            location=where,
        )


def _check_form(text: str, where: str, example: str) -> None:
    """Raises unless a text has lower-case letters, digits and single hyphens, not too many."""
    length = len(text.removeprefix(_PREFIX))
    if any(sign in text for sign in "/\\") or text.startswith("."):
        problem = "is a path; give a name, and choose the folder with --folder"
    elif _NAME.fullmatch(text) and length <= LONGEST:
        return
    elif length > LONGEST:
        problem = f"has {length} characters; give at most {LONGEST}"
    elif _NAME.fullmatch(normalised(text)):
        problem = (
            "has other characters than lower-case letters, digits and single hyphens; write "
            f"{normalised(text)!r}"
        )
    else:
        problem = (
            "is not a name; give lower-case letters, digits and single hyphens, and begin with a "
            f"letter, as in {example}"
        )
    raise UserError(f"{text!r} {problem}", location=where)
