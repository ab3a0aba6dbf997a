"""Takes credentials out of text that will be shown, logged or stored.

Secrets whose values are known come first (see `halo_core.known_secrets`). Patterns then find what
looks like one.
"""

from __future__ import annotations

import re

from halo_core.errors import PluginError, text_of
from halo_core.known_secrets import hide_known
from halo_core.uri_credentials import HIDDEN, SECRET_PARAMETER

# The word "token" alone is not a secret: eos_token and similar names are everywhere.
_SECRET = (
    r"(?:password|passwd|secret|credentials?|(?:api|access|private|auth|hf|hub)[_-]?(?:key|token))"
)
_SECRET_NAME = re.compile(rf"(?i:(?:[\w.-]*[._-])?{_SECRET})")
# The pattern begins at the word itself. If it also matched what precedes the word, a search would
# take a time that is quadratic in the length of a text, and an endpoint may send any text.
_ASSIGNED = re.compile(rf"(?i:((?:\b|(?<=_)){_SECRET}['\"]?\s*[:=]\s*['\"]?))[^\s'\",}}\]&]+")
_IN_QUERY = re.compile(
    r"(?i:([?&](?:[\w.-]{0,40}[._-])?(?:\w{0,40}token|\w{0,40}password|passwd|pwd|secret|sig"
    r"|signature|auth|credentials?|(?:\w{0,40}(?:api|access|account|auth|private|secret))?key)=))"
    r"[^&#\s'\"]+"
)
_USER_INFO = re.compile(
    # The second form is a password with a slash. A port does not count as one.
    r"""(?<=://)(?:[^/\s'"]+@|[^/\s'":@]{1,200}:(?!\d{1,5}[/?#])[^\s'"]{1,200}@)"""
    # pathlib makes one slash of two, if an address is given for a path.
    r"""|(?<=[A-Za-z]:/)[^/\s'":@]{1,200}:(?!\d{1,5}[/?#])[^\s'"]{1,200}@"""
)

# Keys of well-known services, also where nothing says what they are. A digit keeps words out.
_SHAPE = re.compile(
    r"\b(?:sk|rk|pk)-(?=[\w-]{0,200}\d)[\w-]{16,}|\bhf_\w{20,}|\bgh[pousr]_\w{20,}"
    r"|\bxox[abprs]-[\w-]{10,}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+"
)
_BEFORE_AT = re.compile(r"(?<=://)[^'\"]*@")


_WITHOUT_SCHEME = re.compile(r"""(^[^=]*=|[\s=\[{(,'"])[\w.%+-]*:(?!//|\s)\S*@""")
"""A user and a password without a scheme, in a value or within it, up to their last ``@``."""


def redact(text: str) -> str:
    """Returns a text without the credentials of its URIs and the values of its secrets.

    >>> redact("no answer from http://ann:sesame@host:5000/api")
    'no answer from http://***@host:5000/api'
    >>> redact("no answer from http://ann:ses/ame@host:5000/a, only http://host:80/a@b")
    'no answer from http://***@host:5000/a, only http://host:80/a@b'
    >>> redact("http://host/page?run=3&token=sesame")
    'http://host/page?run=3&token=***'
    >>> redact("judge: {use: gpt, api_key: sesame, tokens: 3}")
    'judge: {use: gpt, api_key: ***, tokens: 3}'
    >>> redact("Bearer sk-abcdefghijklmnopqrst123, and sk-learn-is-no-such-key")
    'Bearer ***, and sk-learn-is-no-such-key'
    """
    return _ASSIGNED.sub(rf"\g<1>{HIDDEN}", redact_message(text))


def redact_message(text: str) -> str:
    """Returns a message of halo itself without credentials.

    In it, a colon after ``api_key`` ends the name of a place, and no secret follows.

    >>> redact_message("spec.yaml:3:1: judge.api_key: unknown option")
    'spec.yaml:3:1: judge.api_key: unknown option'
    >>> redact_message("https:/ann:sesame@host/rows.jsonl?X-Amz-Signature=5e5a: no such file")
    'https:/***@host/rows.jsonl?X-Amz-Signature=*** no such file'
    >>> redact_message("http://host/?apiKey=sesame&sharedAccessKey=sesame&viewStateShareKey=5e5a")
    'http://host/?apiKey=***&sharedAccessKey=***&viewStateShareKey=5e5a'
    """
    text = hide_known(text)
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    text = _IN_QUERY.sub(rf"\g<1>{HIDDEN}", text)
    return _SHAPE.sub(HIDDEN, text)


def redact_setting(setting: str) -> str:
    """Returns the text of a ``--set`` for a message. Secrets may contain blanks.

    >>> redact_setting("tracking.0.uri=http://ann:ses ame/@host")
    'tracking.0.uri=http://***@host'

    A password is hidden also in an address whose scheme is missing:

    >>> redact_setting("judge.url=ann:sesame@host/v1")
    'judge.url=***@host/v1'
    >>> redact_setting("judge={use: http, url: 'ann:ses@me@host/v1'}")
    "judge={use: http, url: '***@host/v1'}"
    >>> redact_setting("a=x@y"), redact_setting("a=b: c")
    ('a=x@y', 'a=b: c')
    """
    setting = _WITHOUT_SCHEME.sub(rf"\g<1>{HIDDEN}@", setting)
    setting = SECRET_PARAMETER.sub(rf"\g<1>{HIDDEN}", setting)
    return redact(_BEFORE_AT.sub(f"{HIDDEN}@", setting))


def is_secret(name: str) -> bool:
    """Returns whether an option or variable of this name holds a secret.

    >>> is_secret("judge.api_key"), is_secret("HF_TOKEN"), is_secret("eos_token")
    (True, True, False)
    """
    return _SECRET_NAME.fullmatch(name) is not None


def one_line(error: BaseException) -> str:
    """Returns an error on one line, without credentials.

    Only the first line is shown, but all lines of a plugin's error, whose end names the plugin.
    """
    lines = text_of(error).strip().splitlines() or [""]
    text = " ".join(lines) if isinstance(error, PluginError) else lines[0]
    return redact(f"{type(error).__name__}: {text}" if text else type(error).__name__)


__all__ = ["HIDDEN", "is_secret", "one_line", "redact", "redact_message", "redact_setting"]
