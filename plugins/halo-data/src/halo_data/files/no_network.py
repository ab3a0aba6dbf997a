"""Spares the attempts of `datasets` to reach the hub where there is no network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from halo_core.endpoints.proxies import proxy_of


def unknown_host() -> str | None:
    """Returns the hub's host if this machine cannot look its name up; None if it can.

    With a proxy it is None, because the proxy looks the name up.
    """
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname
    if host is None or proxy_of(constants.ENDPOINT) is not None:
        return None
    try:
        look_up(host)
    except OSError:
        return host
    return None


def look_up(host: str) -> None:
    """Looks the address of a host up.

    Raises:
        OSError: When this machine does not find it.
    """
    socket.getaddrinfo(host, None)


@contextmanager
def no_vain_attempts() -> Iterator[None]:
    """Lets `datasets` read only its cache during a `with` statement if there is no network.

    Otherwise it would try six times within 23 seconds and print each attempt. If the hub has a
    name but does not answer, it tries as before.
    """
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if all(before) or unknown_host() is None:
        yield
        return
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


__all__ = ["no_vain_attempts", "unknown_host"]
