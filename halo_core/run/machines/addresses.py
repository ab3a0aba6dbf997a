"""Addresses at which other machines reach this one."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping

from halo_core.errors import UserError

ADDRESS = "HALO_ADDRESS"
"""Environment variable with the name or address of this machine for others, and perhaps a port:
``gpu-0`` or ``gpu-0:29500``."""


def own_address(environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Returns a name or address of this machine, and the port to listen on; 0 for a free one.

    Raises:
        UserError: When the variable has no usable address, or this machine has none.
    """
    given = environment.get(ADDRESS)
    if given:
        host, port = parsed_address(given)
        address_of(host)
        return host, port
    for host in (socket.gethostname(), _address_to_the_outside()):
        try:
            address_of(host)
        except UserError:
            continue
        return host, 0
    raise UserError(
        f"this machine has no address that others reach; set {ADDRESS}, as in {ADDRESS}=10.0.0.5",
        location=ADDRESS,
    )


def parsed_address(text: str) -> tuple[str, int]:
    """Returns host and port of a text; port 0 if it has none.

    >>> parsed_address("gpu-0:29500"), parsed_address("gpu-0"), parsed_address("[::1]:5")
    (('gpu-0', 29500), ('gpu-0', 0), ('::1', 5))

    Raises:
        UserError: When it is none.
    """
    host, separator, port = text.rpartition(":")
    if not separator or (host.count(":") and not host.endswith("]")):
        host, port = text, "0"
    if not host.strip("[]") or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"got {text!r}; expected HOST or HOST:PORT", location=ADDRESS)
    return host.strip("[]"), int(port)


def address_of(host: str) -> tuple[socket.AddressFamily, str]:
    """Returns the address of a host. Only a host that is typed as loopback may be loopback.

    Raises:
        UserError: When it has no address, or only one that other machines cannot reach.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UserError(
            f"got the host {host!r}, which has no address here: {error.strerror}; expected a name "
            "or an address of the machine of `halo run`",
            location=ADDRESS,
        ) from error
    family, *_, (address, *_) = found[0]
    if ipaddress.ip_address(str(address)).is_loopback and not _is_typed_loopback(host):
        raise UserError(
            f"{host} is {address} on this machine, which other machines cannot reach; expected "
            "an address that they reach, as from `hostname -I`",
            location=ADDRESS,
        )
    return family, str(address)


def _is_typed_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address_to_the_outside() -> str:
    """Returns the address of the interface that leads to other networks; "" without any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # An address of nobody (RFC 5737). Nothing is sent.
            return str(probe.getsockname()[0])
        except OSError:
            return ""
