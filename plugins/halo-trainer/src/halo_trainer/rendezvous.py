"""The rendezvous of the launchers of a training: torch listens on one address, and no other.

torch's own ways listen on all addresses of the machine. Here the store of torch listens only on the
address of the main machine, which is the loopback address if there is one machine. Every process
connects to this store, and gloo and NCCL use the network interface that leads to it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta

import psutil
from torch.distributed import DistNetworkError, TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)
from torch.distributed.elastic.rendezvous.utils import parse_rendezvous_endpoint

from halo_core.errors import UserError
from halo_core.run.machines.addresses import address_of, parsed_address
from halo_core.run.machines.share import MACHINE, MACHINES, MAIN

BACKEND = "halo"
"""Name of this rendezvous in torch."""
JOIN_S = 600
"""Seconds to wait for the launchers of the other machines."""
INTERFACE_NAMES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_LOOPBACKS = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Place:
    """A launcher's place among the launchers of a training.

    Attributes:
        host: Address of the main machine, which is machine 0.
        port: Port there; 0 for any free port, which only the main machine can choose.
        machine: Number of this machine, from 0.
        machines: Number of machines.
    """

    host: str
    port: int
    machine: int = 0
    machines: int = 1


def place_of(machines: int, environment: Mapping[str, str]) -> Place:
    """Returns this launcher's place: alone on loopback, or as `halo run` or `halo join` say.

    Args:
        machines: Number of machines of the training.
        environment: Variables of `halo_core.run.machines.share`.

    Raises:
        UserError: When there are several machines and the variables do not name them.
    """
    if machines == 1:
        return Place(_loopback()[1], 0)
    given = environment.get(MAIN), environment.get(MACHINE), environment.get(MACHINES)
    main, machine, count = given
    if main is None or machine is None or count != str(machines):
        raise UserError(
            f"this launcher needs its place among {machines} machines; got {given}. Start the run "
            "with halo run, and halo join on the other machines"
        )
    host, port = parsed_address(main)
    return Place(host, port, int(machine), machines)


def use_interface(place: Place, environment: MutableMapping[str, str]) -> None:
    """Makes gloo and NCCL of later processes use the interface that leads to the main machine.

    On one machine this is the loopback interface, whatever was set before. With several machines,
    the user's own choice of an interface is kept.

    Raises:
        UserError: When no interface of this machine leads there.
    """
    name = _interface_to(place)
    for variable in INTERFACE_NAMES:
        # NCCL takes a name as the beginning of names, unless it begins with "=".
        value = f"={name}" if variable.startswith("NCCL") else name
        if place.machines == 1:
            environment[variable] = value
        else:
            environment.setdefault(variable, value)


def register() -> None:
    """Makes this rendezvous known to torch under its name."""
    rendezvous_handler_registry.register(BACKEND, _handler)


def _handler(parameters: RendezvousParameters) -> Meeting:
    host, port = parse_rendezvous_endpoint(parameters.endpoint, 0)
    machine = int(parameters.config["machine"])
    return Meeting(Place(host, port, machine, parameters.max_nodes), parameters.run_id)


class Meeting(RendezvousHandler):
    """Joins as many launchers as there are machines, once.

    Args:
        place: This launcher's place.
        run_id: Name of the training in torch.
    """

    def __init__(self, place: Place, run_id: str) -> None:
        self._place, self._run_id = place, run_id

    def get_backend(self) -> str:
        """Returns the name of this rendezvous."""
        return BACKEND

    @property
    def use_agent_store(self) -> bool:
        """Whether the processes use the launcher's store, so that they open none themselves."""
        return True

    def next_rendezvous(self) -> RendezvousInfo:
        """Returns the store and this launcher's number. It waits for the main machine."""
        store = open_store(self._place)
        where = RendezvousStoreInfo(store.host, store.port)
        return RendezvousInfo(store, self._place.machine, self._place.machines, where)

    def is_closed(self) -> bool:
        """Returns False: a launcher that comes late is not expected."""
        return False

    def set_closed(self) -> None:
        """Does nothing: no launcher joins later."""

    def num_nodes_waiting(self) -> int:
        """Returns the number of launchers that want to join later."""
        return 0

    def get_run_id(self) -> str:
        """Returns the name of the training in torch."""
        return self._run_id

    def shutdown(self) -> bool:
        """Returns whether everything was closed. The store ends with the launcher."""
        return True


def open_store(place: Place) -> TCPStore:
    """Returns the store of a training, which the main machine holds.

    Raises:
        UserError: When the main machine cannot listen there, or cannot be reached.
    """
    if place.machine == 0:
        return _listening_store(place)
    try:
        wait = timedelta(seconds=JOIN_S)
        return TCPStore(place.host, place.port, None, False, wait, wait_for_workers=False)
    except DistNetworkError as error:
        raise UserError(
            f"machine 0 does not answer at {place.host}:{place.port} after {JOIN_S} s; expected "
            "its halo run. Check the address, the port and the firewall"
        ) from error


def _listening_store(place: Place) -> TCPStore:
    family, address = address_of(place.host)
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, place.port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise UserError(
            f"this machine cannot listen on {address}, port {place.port}: {error.strerror}; "
            "expected an address of this machine and a free port"
        ) from error
    port = listening.getsockname()[1]
    # The store closes the socket.
    descriptor = listening.detach()
    wait = timedelta(seconds=JOIN_S)
    return TCPStore(
        *(address, port, None, True, wait), wait_for_workers=False, master_listen_fd=descriptor
    )


def _loopback() -> tuple[str, str]:
    """Returns the name and the address of the loopback interface."""
    addresses = {
        entry.address: name for name, entries in psutil.net_if_addrs().items() for entry in entries
    }
    for address in _LOOPBACKS:
        if address in addresses:
            return addresses[address], address
    raise UserError(
        "this machine has no loopback interface (127.0.0.1 or ::1), which several processes need "
        "to exchange gradients"
    )


def _interface_to(place: Place) -> str:
    """Returns the name of the interface that leads to the main machine."""
    if place.machines == 1:
        return _loopback()[0]
    family, address = address_of(place.host)
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, place.port or 9))  # Nothing is sent.
            own = probe.getsockname()[0]
        except OSError as error:
            raise UserError(
                f"{place.host} cannot be reached from this machine: {error.strerror}"
            ) from error
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address.partition("%")[0] == own for entry in entries):
            return str(name)
    raise UserError(f"no network interface of this machine has the address {own}")
