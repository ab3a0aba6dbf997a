"""The time limit of a request holds for its head too, however slowly it comes."""

import itertools
import socket
import threading
import time

import pytest
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ReadTimeoutError

from halo_core.endpoints.deadline import Deadline
from halo_judge.judges.chat.chat_client import ChatClient
from halo_judge.judges.endpoint.failures import Unreachable
from halo_judge.judges.endpoint.pace import Pace
from halo_judge.judges.endpoint.secret import Secret
from halo_judge.judges.http.bounded_reads import bounded_adapter
from halo_judge.judges.http.http_client import HttpClient

LIMIT_S = 0.3
HEADS = {
    "headers": lambda number: f"X-{number}: still here\r\n".encode(),
    "bytes of one header": lambda number: b"a",
    "notes": lambda number: b"HTTP/1.1 102 Processing\r\n\r\n",
}


@pytest.fixture(params=list(HEADS))
def address(request):
    """An endpoint whose reply has a head that never ends."""
    part, over = HEADS[request.param], threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listening, listening.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"" if request.param == "notes" else b"HTTP/1.1 200 OK\r\n")
            for number in itertools.count():
                if over.wait(0.02):
                    return
                connection.sendall(part(number))

    def until_gone():
        try:
            serve()
        except OSError:  # The client has gone away.
            over.set()

    thread = threading.Thread(target=until_gone)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    over.set()
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def asked_for(call):
    began = time.monotonic()
    with pytest.raises(Unreachable, match=rf"not complete after {LIMIT_S} s \(timeout_s\)"):
        call()
    assert LIMIT_S <= time.monotonic() - began  # The head takes forever.


def test_a_judge_that_chats_gives_up_at_the_limit(address):
    key, request = Secret("none"), {"model": "m", "messages": [], "parameters": {}}
    client = ChatClient(address, key, timeout_s=LIMIT_S, retries=0, pace=Pace(1), judge="j")
    asked_for(lambda: client.ask(request, repeated=0))
    client.close()


def test_a_judge_that_scores_gives_up_at_the_limit(address):
    options = {"key_header": "Authorization", "key_prefix": "", "retries": 0}
    client = HttpClient(address, None, timeout_s=LIMIT_S, pace=Pace(1), **options)
    asked_for(lambda: client.ask({}))
    client.close()


def test_a_connection_through_a_socks_proxy_has_the_limit_too(address, monkeypatch):
    class OwnConnection(HTTPConnection):
        """A stand-in for the connections of PySocks, which go to the proxy."""

    class OwnPool(HTTPConnectionPool):
        ConnectionCls = OwnConnection

    class OwnManager(PoolManager):
        def __init__(self, *args, **options):
            super().__init__()
            self.pool_classes_by_scheme = {"http": OwnPool}

    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", OwnManager)
    deadline = Deadline(LIMIT_S, "timeout_s")
    adapter = bounded_adapter(deadline, 1)
    manager = adapter.proxy_manager_for("socks5://127.0.0.1:9")
    pools = manager.pool_classes_by_scheme
    assert adapter.proxy_manager_for("socks5://127.0.0.1:9").pool_classes_by_scheme is pools
    assert issubclass(pools["http"].ConnectionCls, OwnConnection)
    deadline.begin()
    began = time.monotonic()
    with pytest.raises(ReadTimeoutError):
        manager.request("GET", address, retries=False, timeout=120)
    assert LIMIT_S <= time.monotonic() - began
    adapter.close()


def test_each_thread_has_a_deadline_of_its_own():
    deadline, left = Deadline(1000.0), []
    deadline.begin()
    time.sleep(0.01)

    def other():
        deadline.begin()
        left.append(deadline.left())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert deadline.left() < left[0] <= 1000
