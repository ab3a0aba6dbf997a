"""Refuses a spec that holds a secret, because a run records its spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_core.known_secrets import holder_of, known_secrets
from halo_core.redact import redact
from halo_core.spec.document import Keys
from halo_core.spec.mistakes import Mistakes
from halo_core.uri_credentials import uri_secrets

LEAST = 8
"""Minimum number of characters of a secret that is searched for. It is not one plain word."""


def check_no_secrets(mistakes: Mistakes) -> None:
    """Adds a mistake for each value and key that holds a secret. The messages do not show it.

    These are the values of known secrets anywhere, and addresses of trackers with a password or a
    token. A place that already has a mistake gets no second one.
    """
    known = [s for s in known_secrets() if len(s) >= LEAST and not s.isalpha()]
    located = {error.location for error in mistakes.errors}
    for keys, text in _texts(mistakes.document.tree, ()):
        problem = _problem(keys, text, known)
        if problem and mistakes.document.locate(keys) not in located:
            mistakes.add(keys, problem)


def _problem(keys: Keys, text: str, known: Sequence[str]) -> str | None:
    if found := next((secret for secret in known if secret in text), None):
        return (
            f"holds the secret that is in {holder_of(found)}, and the spec is recorded; "
            "expected a value without it. Take it out of the spec"
        )
    if keys[0] == "tracking" and uri_secrets(text):
        return (
            "the address holds a password or a token, and the spec is recorded; expected an "
            "address without it. Give it to the tracker in an environment variable"
        )
    if text == keys[-1] and not text.isidentifier() and redact(text) != text:
        return (
            "this key looks like a secret, or like a name with a secret, and the spec is recorded; "
            "expected a name. After a colon, YAML needs a blank"
        )
    return None


def _texts(tree: Any, keys: Keys) -> Iterator[tuple[Keys, str]]:
    if isinstance(tree, str):
        yield keys, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield (*keys, key), str(key)
            yield from _texts(value, (*keys, key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _texts(value, (*keys, number))
