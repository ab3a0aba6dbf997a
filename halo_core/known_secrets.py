"""The secrets that this process knows by value, and a text without them in whatever form.

These are the values of environment variables whose names say that they are secret or that an option
names (`halo_core.secret`), the credentials in the URIs of other variables, and the passwords of the
netrc file. A pattern can only guess what
is secret (see `halo_core.redact`). A known value is found for certain: plain, percent-encoded, with
the escapes of JSON and HTML, in base64, and broken over two lines.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import netrc
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from halo_core.uri_credentials import HIDDEN, uri_secrets

SHORTEST = 6
"""Minimum number of characters of a known secret. A shorter one would cut words out of texts."""
NAMES = "HALO_SECRETS"
"""Environment variable with the names, separated by commas, of others that hold secrets."""
_SECRET_VARIABLE = re.compile(
    r"(?i:(?:\w*_)?(?:token|key|secret|password|passwd|pass|passphrase|credentials?|auth))"
)
_NO_SECRETS = frozenset({"enabled", "disabled", "default", "always", "required", "optional"})
_BROKEN = r"(?:(?:[\r\n]|\\[rn])+[ \t]*)?"
"""Pattern of a line break inside a secret, also as JSON writes it."""
_BREAK = re.compile(r"(?:[\r\n]|\\[rn])+[ \t]*")


def known_secrets() -> frozenset[str]:
    """Returns the values of all known secrets. The environment is read each time."""
    variables = tuple((name, value) for name, value in os.environ.items() if len(value) >= SHORTEST)
    return _of_environment(variables, os.environ.get(NAMES, "")) | _of_netrc(*_netrc_file())


def declare(variable: str) -> None:
    """Declares that an environment variable holds a secret, whatever it is called.

    Processes that are started from now on know it too.
    """
    names = os.environ.get(NAMES, "").split(",")
    if variable not in names:
        os.environ[NAMES] = ",".join([*filter(None, names), variable])


def holder_of(secret: str) -> str:
    """Returns where a known secret comes from, for messages."""
    for name, value in os.environ.items():
        if secret in (value.strip(), *uri_secrets(value)):
            return f"the environment variable {name}"
    return "the netrc file"


def hide_known(text: str) -> str:
    """Returns a text without the known secrets. One that holds none comes back unchanged."""
    return _without(text, known_secrets())


def hide_known_in(tree: Any) -> Any:
    """Returns a JSON tree without the known secrets in its texts and in its names."""
    secrets = known_secrets()
    return _tree_without(tree, secrets) if secrets else tree


def _tree_without(tree: Any, secrets: frozenset[str]) -> Any:
    if isinstance(tree, str):
        return _without(tree, secrets)
    if isinstance(tree, Mapping):
        return {
            _without(name, secrets) if isinstance(name, str) else name: _tree_without(v, secrets)
            for name, v in tree.items()
        }
    if isinstance(tree, list | tuple):
        return [_tree_without(value, secrets) for value in tree]
    return tree


def _without(text: str, secrets: frozenset[str]) -> str:
    if not secrets or len(text) < SHORTEST:
        return text
    joined = _BREAK.sub("", text)  # Searching for plain words is much faster than the pattern.
    if not any(form in joined for form in _forms(secrets)):
        return text
    return _pattern(secrets).sub(HIDDEN, text)


@functools.lru_cache(maxsize=8)
def _of_environment(variables: tuple[tuple[str, str], ...], names: str) -> frozenset[str]:
    found: list[str] = []
    declared = {name.strip() for name in names.split(",")}
    for name, value in variables:
        if name in declared:
            found += [value, value.strip()]
        elif "://" in value:
            found += uri_secrets(value)
        elif _SECRET_VARIABLE.fullmatch(name) and not _is_harmless(value):
            found += [value, value.strip()]
    return frozenset(secret for secret in found if len(secret) >= SHORTEST)


def _is_harmless(value: str) -> bool:
    """Returns whether a value is a word or a file that exists, such as a file with a key."""
    return value.strip().lower() in _NO_SECRETS or (value[:1] in "/~." and os.path.exists(value))


def _netrc_file() -> tuple[str, float]:
    path = Path(os.environ.get("NETRC") or Path("~/.netrc").expanduser())
    try:
        return str(path), path.stat().st_mtime
    except (OSError, ValueError):
        return "", 0.0


@functools.lru_cache(maxsize=8)
def _of_netrc(path: str, _changed: float) -> frozenset[str]:
    if not path:
        return frozenset()
    try:
        hosts = netrc.netrc(path).hosts.values()
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return frozenset()  # Nobody can log in with a file that cannot be read.
    return frozenset(password for *_, password in hosts if password and len(password) >= SHORTEST)


@functools.lru_cache(maxsize=8)
def _forms(secrets: frozenset[str]) -> tuple[str, ...]:
    """Returns how secrets may be written, the longest first."""
    forms = {form for secret in secrets for form in forms_of(secret)}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def forms_of(secret: str) -> set[str]:
    """Returns how a secret may be written: plain, encoded, escaped, in base64."""
    plain = {secret, unquote(secret)}
    encoded = {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    lower = {re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), form) for form in encoded}
    as_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    escaped = as_json | {repr(secret)[1:-1], html.escape(secret)}
    forms = plain | encoded | lower | escaped | _base64_forms(secret)
    return {form for form in forms if len(form) >= SHORTEST}


def _base64_forms(secret: str) -> set[str]:
    """Returns the characters of base64 that depend on nothing but the secret.

    They depend on where it begins: ``Basic`` authentication encodes a user before the password.
    """
    forms = set()
    for encoding in ("utf-8", "latin-1"):  # HTTP libraries use either in a header.
        content = secret.encode(encoding, "replace")
        for before in range(3):
            first, end = -(-before * 8 // 6), (before + len(content)) * 8 // 6
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                forms.add(encode(bytes(before) + content).decode()[first:end])
    return forms


@functools.lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    return re.compile("|".join(_BROKEN.join(map(re.escape, form)) for form in _forms(secrets)))
