"""Collects the mistakes of a spec, so that all are reported together."""

from __future__ import annotations

from collections.abc import Iterable

from halo_core.errors import (
    HaloError,
    PluginError,
    SpecErrors,
    UserError,
    did_you_mean,
    nearest,
    renewed,
)
from halo_core.printing import shortened
from halo_core.redact import HIDDEN, redact
from halo_core.spec.document import Document, Keys, dotted

MOST_LISTED = 100
"""Number of mistakes of a document that are listed. More would help nobody, and take seconds."""


class Mistakes:
    """The mistakes found so far in a document.

    Args:
        document: The document that has the mistakes.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.errors: list[HaloError] = []
        self._missing: list[tuple[HaloError, Keys, frozenset[str]]] = []
        self._misspelt: list[tuple[Keys, str]] = []
        self._count = 0
        self._seen: set[tuple[Keys, str]] = set()
        self._unlisted: list[tuple[Keys, type[HaloError]]] = []

    @property
    def count(self) -> int:
        """Number of mistakes found so far, by which a caller knows whether a step found any.

        One that is found twice counts twice here, because each step that finds it has failed.
        """
        return self._count

    def add(self, keys: Keys, message: str) -> None:
        """Adds a user's mistake at a place, or only counts it after `MOST_LISTED`."""
        if self._is_listed(keys, message):
            self.errors.append(self._at(keys, redact(shortened(message))))

    def _at(
        self, keys: Keys, message: str, error: type[UserError | PluginError] = UserError
    ) -> HaloError:
        return error(message, location=self.document.locate(keys))

    def _is_listed(self, keys: Keys, message: str, error: type[HaloError] = UserError) -> bool:
        """Returns whether a mistake is new and is listed. After `MOST_LISTED` it is counted."""
        self._count += 1
        if (keys, message) in self._seen:
            return False
        self._seen.add((keys, message))
        if len(self.errors) < MOST_LISTED:
            return True
        self._unlisted.append((keys, error))
        return False

    def add_hidden(self, keys: Keys, message: str) -> None:
        """Adds a mistake at a place whose value is a secret, which a `--set` would show."""
        if not self._is_listed(keys, message):
            return
        location = self.document.locate(keys)
        if location.startswith("--set "):
            path = location.partition("=")[0]
            location = f"{path}={HIDDEN}: {dotted(keys)}"
        self.errors.append(UserError(message, location=location))

    def take(self, keys: Keys, error: HaloError) -> None:
        """Adds an error raised elsewhere. It keeps its class, and the place is put first."""
        if not self._is_listed(keys, str(error), type(error)):
            return
        place = self.document.locate(keys)
        location = f"{place}: {error.location}" if error.location else place
        copy = renewed(error, redact(shortened(error.message)), shortened(location))
        self.errors.append(copy)

    def unknown(self, keys: Keys, what: str, name: str, known: Iterable[str]) -> None:
        """Adds a mistake for an unknown name, and suggests the nearest known one."""
        self.add(keys, unknown_name(what, name, known))

    def unknown_key(self, keys: Keys, what: str, known: Iterable[str]) -> str | None:
        """Adds a mistake for an unknown key of a mapping.

        If the nearest known key is missing, its absence is not reported as a second mistake.

        Args:
            keys: The place of the key.
            what: The word for it in the message, "key" or "option".
            known: The keys that the mapping may have.

        Returns:
            The nearest known key; None if no known key is similar, or if the mistake is not listed.
        """
        if len(self.errors) >= MOST_LISTED:
            self._is_listed(keys, f"unknown {what}")  # To find the nearest key would take long.
            return None
        known = list(known)
        self.unknown(keys, what, str(keys[-1]), known)
        return self.note_misspelt(keys, known)

    def note_misspelt(self, keys: Keys, known: Iterable[str]) -> str | None:
        """Returns the known key that an unknown key probably means, and takes it as given."""
        near = nearest(str(keys[-1]), known)
        if not near:
            return None
        self._misspelt.append((keys[:-1], near[0]))
        return near[0]

    def missing(self, mapping: Keys, names: Iterable[str], message: str, at: Keys) -> None:
        """Adds a mistake for a key that is missing, unless it is only misspelt.

        Args:
            mapping: The place of the mapping that lacks the key.
            names: The key. If there are several, one of them is expected.
            message: The message.
            at: The place to report.
        """
        if self._is_listed(at, message):
            self.errors.append(self._at(at, redact(shortened(message))))
            self._missing.append((self.errors[-1], mapping, frozenset(names)))

    def _only_misspelt(self) -> set[int]:
        """Returns the ids of the errors about keys that are not missing but misspelt."""
        return {
            id(error)
            for error, mapping, names in self._missing
            if any(place == mapping and name in names for place, name in self._misspelt)
        }

    def _rest(self) -> HaloError:
        """Returns the line that counts the mistakes that are not listed.

        A key that is misspelt may count twice: once as unknown, and once as missing. To find that
        out, each would be compared with each known key, which is what takes seconds.
        """
        count, (first, _) = len(self._unlisted), self._unlisted[0]
        others = f"up to {count:,} more mistakes are" if count > 1 else "1 more mistake is"
        # The exit code is a plugin's only if every mistake is a plugin's.
        of_plugins = all(issubclass(error, PluginError) for _, error in self._unlisted)
        message = f"from here on, {others} not listed"
        return self._at(first, message, PluginError if of_plugins else UserError)

    def raise_if_any(self, where: str = "the spec") -> None:
        """Raises all mistakes.

        Args:
            where: The name of what has the mistakes.

        Raises:
            SpecErrors: When there is at least one.
        """
        if self._unlisted:
            self.errors.append(self._rest())
            self._unlisted = []
        if self.errors:
            order = {keys: i for i, keys in enumerate(self.document.places.values())}
            twice = self._only_misspelt()
            reported = [error for error in self.errors if id(error) not in twice]
            ranked = sorted(reported, key=lambda e: _rank(e, order))
            unique = {str(error): error for error in ranked}
            raise SpecErrors(list(unique.values()), where)


def _rank(error: HaloError, order: dict[str, int]) -> tuple[int, int]:
    place = (error.location or "").partition(": ")[0]
    parts = place.rsplit(":", 2)
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
        return int(parts[1]), int(parts[2])
    return (10**9, order.get(place, 0))


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Returns the message for an unknown name.

    >>> unknown_name("option", "betta", ["beta", "name"])
    "unknown option 'betta'. Did you mean 'beta'? Known: beta, name"
    """
    names = sorted(name for name in known if isinstance(name, str))
    guess = did_you_mean(name, names)
    return f"unknown {what} {name!r}.{guess} Known: {', '.join(names) or 'none'}"
