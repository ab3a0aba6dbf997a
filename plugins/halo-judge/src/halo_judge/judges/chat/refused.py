"""Explains refused requests of a chat endpoint: its own words, the kind of failure, and advice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from halo_core.endpoints.proxies import through
from halo_core.errors import UserError
from halo_core.redact import redact
from halo_judge.judges.endpoint.failures import (
    NEVER,
    NOT_ALLOWED,
    PASSING,
    Rejected,
    Unreachable,
    moved_to,
)

if TYPE_CHECKING:
    import httpx2
    import openai

MESSAGE_LENGTH = 300
"""Maximum number of characters of an endpoint's error that are kept."""
_ADVICE = {
    **NEVER,
    404: "the endpoint knows no such model or address: check model and {address}, which often ends "
    "in /v1",
    410: "the model or the address is gone: check model and {address}",
}
_AZURE = (
    "at Azure, set base_url: https://NAME.openai.azure.com/openai/v1, which needs no api-version, "
    "and model: the name of the deployment"
)
_NOT_TAKEN = {
    "max_tokens": "set token_limit_parameter: max_completion_tokens, and raise max_tokens (to "
    "4000, say) if the model thinks before it answers",
    "max_completion_tokens": "set token_limit_parameter: max_tokens",
    "temperature": "set temperature: null",
    "logprobs": "set weighted: false",
    "top_logprobs": "set a smaller top_logprobs, or weighted: false",
}
"""Advice by parameter, for models that do not accept the parameter."""
_USED_UP = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
WEB_PAGE = "a web page"
WRONG_ADDRESS = "check base_url, which often ends in /v1"
_WRONG_ADDRESS = re.compile(
    r"\b(?:unexpected|unknown|invalid|unsupported|no such) (?:endpoint|route|path|url)\b"
    r"|\b(?:endpoint|route|path|url|page) (?:was )?not found\b|\bcannot POST\b",
    re.IGNORECASE,
)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE)


def refused(
    error: openai.APIStatusError,
    words: str,
    base_url: str,
    judge: str,
    hide: Callable[[str], str],
) -> Exception:
    """Returns the kind of failure of a refused request.

    Args:
        error: The error of the client.
        words: Its words without the key.
        base_url: The endpoint's address.
        judge: The judge's name, for messages.
        hide: Takes the key out of a text.
    """
    code, param = error.status_code, error.param
    if 300 <= code < 400:
        where = redact(hide(error.response.headers.get("location", "")))
        where = where.partition("/chat/completions")[0]
        return UserError(f"Error code: {code} - {moved_to(where, 'base_url')}", location=judge)
    if quota_is_used_up(error.response):
        return UserError(f"{words}; {_ADVICE[402]}", location=judge)
    if code in (400, 404) and ("api-version" in words or ".azure." in base_url):
        if code == 404 or "api-version" in words:
            return UserError(f"{words}; {_AZURE}", location=judge)
    if code in _ADVICE:
        advice = _ADVICE[code].format(address="base_url")
        proxy = through(base_url) if code == 407 else ""
        return UserError(f"{words}; {advice}{proxy}", location=judge)
    if code == 400 and param in _NOT_TAKEN:  # It would also reject all other requests.
        return UserError(f"{words}; {_NOT_TAKEN[param]}", location=judge)
    if code in PASSING or code >= 500:
        return Unreachable(f"{words}{through(base_url)}")
    if code == 403:
        address = "api_key_env, model and base_url"
        return Rejected(f"{words}; {NOT_ALLOWED.format(address=address)}")
    return Rejected(words)


def advice_for(words: str) -> str:
    """Returns what to do about a rejection of all requests; empty if its words name no parameter.

    >>> advice_for("Unsupported value: temperature does not support 0.0")
    '; set temperature: null'
    """
    if "check " in words:
        return ""
    # The longest name first: max_completion_tokens does not mean max_tokens.
    named = [name for name in sorted(_NOT_TAKEN, key=len, reverse=True) if name in words]
    return f"; {_NOT_TAKEN[named[0]]}" if named else "; check model, base_url and the template"


def says_wrong_address(words: str) -> bool:
    """Returns whether an error says that the address is wrong, although it came with status 200.

    >>> says_wrong_address("Unexpected endpoint or method. (POST /chat/completions)")
    True
    >>> says_wrong_address("Model my/judge is currently loading")
    False
    """
    return _WRONG_ADDRESS.search(words) is not None


def quota_is_used_up(response: httpx2.Response) -> bool:
    """Returns whether a 429 is about money, which no pause changes."""
    if response.status_code != 429:
        return False
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return False
    error = body.get("error", body) if isinstance(body, Mapping) else None
    return isinstance(error, Mapping) and any(
        error.get(name) in _USED_UP for name in ("code", "type")
    )


def words_of(said: Exception | str, hide: Callable[[str], str] = str) -> str:
    """Returns an endpoint's own words on one line: of an error, or of a body.

    Args:
        said: The error, or the body.
        hide: Takes the key out of a text. It does so before the text is cut, because a part of a
            key would not be found.

    >>> words_of("<html><head><title>502 Bad Gateway</title></head></html>")
    "a web page, '502 Bad Gateway'"
    """
    if isinstance(said, str):
        text = redact(" ".join(hide(said).split()))
        title = _TITLE.search(text)
        if title is not None or text.lower().startswith(("<!doctype html", "<html")):
            shown = text if title is None else title.group(1).strip()
            return f"{WEB_PAGE}, {shown[:MESSAGE_LENGTH]!r}"
        return repr(text[:MESSAGE_LENGTH]) if text else ""
    text = str(said)
    body: Any = getattr(said, "body", None)
    if re.fullmatch(r"Error code: \d+", text) and body:  # The client found no message in it.
        text = f"{text} - {_message_in(body, hide)}"
    if (cause := said.__cause__) is not None:
        detail = str(cause)
        text = f"{text} ({type(cause).__name__}{': ' + detail if detail else ''})"
    return redact(" ".join(hide(text).split()))[:MESSAGE_LENGTH]


def _message_in(body: Any, hide: Callable[[str], str]) -> str:
    """Returns the message in the body of an error; the whole body if it has none."""
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return words_of(str(body), hide)
    message = body
    for name in ("error", "message", "detail"):
        if isinstance(message, Mapping) and message.get(name):
            message = message[name]
    return message if isinstance(message, str) else json.dumps(body)
