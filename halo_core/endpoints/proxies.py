"""Names the proxy between this machine and an endpoint, which may be the one that fails."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from halo_core.errors import UserError
from halo_core.redact import redact


@dataclass(frozen=True)
class Proxy:
    """A proxy of the environment.

    Attributes:
        address: Its address without user and password.
        variable: The environment variable that names it.
    """

    address: str
    variable: str

    def __str__(self) -> str:
        return f"the proxy {self.address} ({self.variable})"

    @property
    def is_socks(self) -> bool:
        """Whether it is a SOCKS proxy, for which HTTP clients need another package."""
        return self.address.lower().startswith("socks")


def proxy_of(url: str) -> Proxy | None:
    """Returns the proxy through which an address is asked; None if it is asked directly."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    for scheme in (parts.scheme, "all"):
        if address := proxies.get(scheme):
            whole = address if "://" in address else f"http://{address}"
            return Proxy(redact(whole), _variable(scheme))
    return None


def through(url: str) -> str:
    """Returns the end of a sentence that names the proxy of an address; empty if there is none."""
    proxy = proxy_of(url)
    return "" if proxy is None else f"; it was asked through {proxy}"


def check_socks(url: str, module: str, package: str, place: str) -> None:
    """Checks that a SOCKS proxy in the environment can be used. Sends nothing.

    Args:
        url: The address that will be asked.
        module: The module that the HTTP client needs for SOCKS.
        package: The package to install for it.
        place: The judge or option that needs the proxy, for the message.

    Raises:
        UserError: When the address is asked through a SOCKS proxy and the module is missing.
    """
    proxy = proxy_of(url)
    if proxy is not None and proxy.is_socks and find_spec(module) is None:
        raise unusable_proxy(proxy, f"needs the package {module}: pip install '{package}'", place)


def unusable_proxy(proxy: Proxy | None, why: str, place: str) -> UserError:
    """Returns the error for a proxy that cannot be used.

    Args:
        proxy: The proxy; None if it is not known which one.
        why: The reason.
        place: The judge or option that needs it.
    """
    which = proxy or "a proxy of the environment (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY)"
    return UserError(
        f"{which} {why}. Unset the variable, or name the endpoint's host in NO_PROXY, to ask the "
        "endpoint directly",
        location=place,
    )


def _variable(scheme: str) -> str:
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
    return next((name for name in names if os.environ.get(name)), "of the system's settings")
