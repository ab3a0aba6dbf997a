"""`halo ui`: shows the runs of a workspace in MLflow's pages, on this machine only."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from filelock import FileLock

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.errors import HaloError, PathError, PluginError, UserError
from halo_core.printing import say
from halo_core.process_end import how_ended
from halo_mlflow.store.schema import is_current, settle_schema
from halo_mlflow.store.store import FIRST_OPEN_LIMIT_S, Store, choose_store
from halo_mlflow.ui.pages import start_pages
from halo_mlflow.ui.servable import servable
from halo_mlflow.ui.server import (
    LOG,
    LOOPBACK,
    check_port,
    served,
    server_command,
    server_environment,
)
from halo_mlflow.ui.waiting import Waiting

PASSWORD_VARIABLE = "MLFLOW_AUTH_ADMIN_PASSWORD"
POLL_S = 0.5


@click.command()
@workspace_option
@click.option("--uri", help="Serve this database instead of the workspace's.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=5000,
    show_default=True,
    help="Port to listen on.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. An address that other machines can reach needs "
    "MLFLOW_AUTH_ADMIN_PASSWORD.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up if the server does not answer within this time. Without it, halo waits as long "
    "as the server lives.",
)
@click.option("--open/--no-open", "opens", default=False, help="Open the page in a browser.")
@output_options
def ui(
    workspace: str,
    uri: str | None,
    port: int,
    host: str,
    timeout: float | None,
    opens: bool,
    output: Output,
) -> None:
    """Start MLflow with the runs of this workspace, until Ctrl-C."""
    folder = Path(workspace)
    chosen = choose_store(uri, folder)
    _check(chosen, folder, host)
    check_port(host, port)
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    stopped = _stop_on_signals()
    with servable(chosen, folder) as (store, where):
        _settle(store)
        waiting = Waiting(where / LOG)
        with served(
            server_command(host, port),
            server_environment(store, os.environ),
            where,
            base,
            stopped.is_set,
            waited=waiting.tell,
            limit_s=timeout,
        ) as process:
            waiting.end()
            pages = start_pages(store, base)
            if not stopped.is_set():
                _show(pages, err=output.json)
                if opens:
                    webbrowser.open(next(iter(pages.values())))
            while not stopped.wait(POLL_S):
                if process.poll() is not None:
                    raise HaloError(f"the MLflow server {how_ended(process.returncode)}")
    output.emit({"url": base, "tracking_uri": chosen.shown, "pages": pages})


def _show(pages: Mapping[str, str], *, err: bool) -> None:
    """Prints the page of each experiment, with the experiment's name if there are several."""
    if len(pages) == 1:
        lines = list(pages.values())
    else:
        lines = [f"{name}\n  {page}" for name, page in pages.items()]
    say("\n".join([*lines, "Ctrl-C ends it."]), err=err)


def _check(store: Store, workspace: Path, host: str) -> None:
    if importlib.util.find_spec("mlflow") is None:
        raise PluginError("MLflow is not installed: pip install halo-mlflow")
    if store.is_server:
        raise UserError(
            f"runs are tracked on the server {store.shown}: open that in a browser, or name a "
            "database with --uri"
        )
    if store.file is not None and not store.file.is_file():
        raise PathError(
            "no runs are tracked here yet; first: halo run examples/quickstart.yaml "
            f"--workspace {workspace}",
            location=str(store.file),
        )
    if host not in LOOPBACK:
        _check_authentication(host)


def _settle(store: Store) -> None:
    """Makes sure that a database has this MLflow's tables. Its server makes no copy before it.

    Raises:
        DataError: When a newer MLflow made it, it is not the workspace's, or the migration fails.
    """
    if store.file is None or is_current(store.file):
        return
    with FileLock(f"{store.file}.lock", timeout=FIRST_OPEN_LIMIT_S):
        settle_schema(store.file, store.uri, own=store.database is not None)


def _check_authentication(host: str) -> None:
    tunnel = "or leave out --host and use ssh -L 5000:127.0.0.1:5000 from the other machine"
    if importlib.util.find_spec("flask_wtf") is None:
        raise UserError(
            f"{host} can be reached by others, so the pages need a password: "
            f"pip install 'mlflow[auth]', {tunnel}",
            location="--host",
        )
    if not os.environ.get(PASSWORD_VARIABLE):
        raise UserError(
            f"{host} can be reached by others, so the pages need a password: set "
            f"{PASSWORD_VARIABLE}, {tunnel}",
            location="--host",
        )


def _stop_on_signals() -> threading.Event:
    """Returns an event that Ctrl-C and SIGTERM set. Both end this command normally."""
    stopped = threading.Event()

    def stop(number: int, frame: Any) -> None:
        stopped.set()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
    return stopped
