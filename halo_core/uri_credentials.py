"""Finds the credentials in a URI, also in one that is not written as its standard demands."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

HIDDEN = "***"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
SECRET_PARAMETER = re.compile(
    r"(?i:([?&#;](?:[\w.-]*[._-])?(?:\w*token|\w*password|passwd|pwd|secret|\w*key|sig|signature"
    r"|auth|credentials?)=))([^&#]+)"
)


def uri_secrets(uri: str) -> list[str]:
    """Returns what is secret in a URI: passwords and tokens, as written and decoded.

    A password may hold ``/``, ``?`` or a space, which should have been percent-encoded: everything
    up to the last ``@`` counts. In a URI of HTTP, a user without a password counts, because it may
    be a token.

    >>> uri_secrets("http://ann:se/same@host:5000/api?token=t0ken")
    ['ann:se/same', 'se/same', 't0ken']
    >>> uri_secrets("postgresql://ann@host/runs"), uri_secrets("sqlite:///folder/a@b.db")
    ([], [])
    >>> uri_secrets("https://host:5000/model@main"), uri_secrets("http://host/model@main")
    ([], [])
    """
    user_info = _user_info(uri)
    user, colon, password = user_info.partition(":")
    found: list[str] = []
    if colon and password:
        found += [user_info, password]
    elif user and uri.lower().startswith("http"):
        found.append(user)
    found += [match[2] for match in SECRET_PARAMETER.finditer(uri)]
    decoded = [unquote(secret) for secret in found]
    return list(dict.fromkeys([*found, *decoded]))


def without_credentials(uri: str, shown: str = HIDDEN) -> str:
    """Returns a URI without its user, password and secret parameters.

    Args:
        uri: The URI.
        shown: The text to show instead. If it is empty, the credentials are left out.

    >>> without_credentials("http://ann:se/same@host:5000?token=t0ken")
    'http://***@host:5000?token=***'
    >>> without_credentials("http://ann:sesame@host:5000?token=t0ken&a=1", "")
    'http://host:5000?a=1'
    >>> without_credentials("sqlite:///folder/a@b.db")
    'sqlite:///folder/a@b.db'
    """
    user_info = _user_info(uri)
    if ":" in user_info or (user_info and uri.lower().startswith("http")):
        scheme, _, rest = uri.partition("://")
        after = rest[len(user_info) + 1 :]
        uri = f"{scheme}://{shown}@{after}" if shown else f"{scheme}://{after}"
    if shown:
        return SECRET_PARAMETER.sub(rf"\g<1>{shown}", uri)
    bare = SECRET_PARAMETER.sub(lambda match: match[1][0], uri)
    return re.sub(r"([?#;])&+", r"\1", re.sub(r"&{2,}", "&", bare)).rstrip("?&#;")


def encoded(uri: str) -> str:
    """Returns a URI of HTTP whose user and password are percent-encoded, as clients need them.

    >>> encoded("http://ann:se/same@host:5000"), encoded("http://ann:se%2Fsame@host:5000")
    ('http://ann:se%2Fsame@host:5000', 'http://ann:se%2Fsame@host:5000')
    """
    user_info = _user_info(uri)
    if not user_info or not uri.lower().startswith("http"):
        return uri
    return uri.replace(f"://{user_info}@", f"://{quote(user_info, safe=':%')}@", 1)


def _user_info(uri: str) -> str:
    """Returns everything between ``://`` and the ``@`` before the host; "" if there is none."""
    scheme = _SCHEME.match(uri)
    if scheme is None or uri[scheme.end() :].startswith("/"):
        return ""
    rest = uri[scheme.end() :]
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    _, colon, after = authority.partition(":")
    if colon and not (after.isdigit() and "@" not in authority):  # not a port
        # In the query an @ may be part of a value, unless the password holds a question mark.
        before_query = rest.partition("?")[0]
        return (before_query if "@" in before_query else rest).rpartition("@")[0]
    return authority.rpartition("@")[0]
