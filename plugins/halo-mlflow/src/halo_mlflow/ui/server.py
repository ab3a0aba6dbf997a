"""Runs a light MLflow server, with two processes instead of fifteen.

MLflow's defaults start four workers and a job queue that halo does not use.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from halo_core.errors import HaloError, UserError
from halo_core.process_end import how_ended
from halo_core.supervised import supervised
from halo_core.workspace.disk import free_bytes
from halo_mlflow.store.store import Store

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LOG = "mlflow-server.log"
LAST_LINES = 15


def server_command(host: str, port: int) -> list[str]:
    """Returns the command of a server. `server_environment` passes the store.

    If other machines can reach the host, the server uses MLflow's basic authentication.
    """
    names = [host, *LOOPBACK] if host in LOOPBACK else [host, socket.gethostname(), *LOOPBACK]
    allowed = ",".join(dict.fromkeys(f"{name}:{port}" for name in names))
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    command += ["--workers", "1", "--allowed-hosts", allowed]
    return command if host in LOOPBACK else [*command, "--app-name", "basic-auth"]


def server_environment(store: Store, given: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of a server, with the store and without telemetry and jobs.

    The store's URI is not on the command line, where every user of the machine could read it.

    Args:
        store: The store to serve.
        given: The environment to extend. The user's telemetry setting is kept.
    """
    return {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # The key signs the forms of the basic authentication. A new key at each start is enough.
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
        **given,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": store.uri,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": store.artifacts or "",
    }


def check_port(host: str, port: int) -> None:
    """Raises `UserError` if a port is in use, and names a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return
        except OSError as error:
            reason = error.strerror or str(error)
    with socket.socket(family) as probe:
        probe.bind((LOOPBACK[0] if family == socket.AF_INET else LOOPBACK[2], 0))
        free = probe.getsockname()[1]
    raise UserError(
        f"cannot listen on port {port} of {host} ({reason}); another one, for example: "
        f"--port {free}",
        location="--port",
    )


@contextmanager
def served(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    url: str,
    stopped: Callable[[], bool],
    *,
    waited: Callable[[float], None] = lambda seconds: None,
    limit_s: float | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a server, yields its process once it answers or `stopped` is true, and ends it.

    It waits as long as the server lives: on a busy machine, MLflow can need minutes.

    Args:
        command: The command from `server_command`.
        environment: The environment from `server_environment`.
        folder: The server's working folder. Its output goes to `mlflow-server.log` there.
        url: The server's address.
        stopped: Returns whether the server is no longer needed.
        waited: Receives the seconds of waiting so far, about once a second.
        limit_s: Largest number of seconds to wait; None for no limit.

    Raises:
        HaloError: When the server ends before it answers, or when the limit is reached. The message
            has the last lines of its output.
    """
    log = folder / LOG
    with log.open("wb") as output:
        with supervised(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the server.
        ) as process:
            _wait(process, url, log, stopped, waited, limit_s)
            yield process


def _wait(
    process: subprocess.Popen[bytes],
    url: str,
    log: Path,
    stopped: Callable[[], bool],
    waited: Callable[[float], None],
    limit_s: float | None,
) -> None:
    begun = told = time.monotonic()
    while not (stopped() or _answers(url)):
        now = time.monotonic()
        if process.poll() is not None:
            raise HaloError(
                f"the MLflow server {how_ended(process.returncode)}; {_said(log)}",
                location=str(log),
            )
        if limit_s is not None and now - begun >= limit_s:
            raise HaloError(
                f"the MLflow server did not answer within {limit_s:g} s; give it more with "
                f"--timeout, or leave --timeout out to wait as long as it lives; {_said(log)}",
                location=str(log),
            )
        if now - told >= 1:
            told = now
            waited(now - begun)
        time.sleep(0.1)


def _said(log: Path) -> str:
    """Returns the last lines of the server, or what may have kept it from writing any."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if lines:
        return "\n".join(["it said:", *lines[-LAST_LINES:]])
    return f"it said nothing, and {free_bytes(log.parent):,} bytes are free on its disk"


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError):
        with opener.open(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    return False
