"""`halo ui`: shows the runs of a workspace in MLflow's pages, on this machine only."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import webbrowser
from pathlib import Path
from typing import Any

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.errors import HaloError, PathError, PluginError, UserError
from halo_mlflow.store.links import MACHINE_LEARNING, experiment_link
from halo_mlflow.store.store import Store, choose_store
from halo_mlflow.ui.server import (
    LOOPBACK,
    check_port,
    served,
    server_command,
    server_environment,
)

PASSWORD_VARIABLE = "MLFLOW_AUTH_ADMIN_PASSWORD"
POLL_S = 0.5


@click.command()
@workspace_option
@click.option("--uri", help="Serve this database instead of the workspace's.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. An address that other machines can reach needs "
    "MLFLOW_AUTH_ADMIN_PASSWORD.",
)
@click.option("--open/--no-open", "opens", default=False, help="Open the page in a browser.")
@output_options
def ui(workspace: str, uri: str | None, port: int, host: str, opens: bool, output: Output) -> None:
    """Open this workspace's runs in MLflow, until Ctrl-C."""
    folder = Path(workspace)
    store = choose_store(uri, folder)
    _check(store, folder, host)
    check_port(host, port)
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    stopped = _stop_on_signals()
    click.echo("starting MLflow, a few seconds ...", err=True)
    command = server_command(host, port)
    environment = server_environment(store, os.environ)
    with served(command, environment, folder.resolve(), base, stopped.is_set) as process:
        if not stopped.is_set():
            page = start_page(store, base)
            click.echo(f"{page}\nCtrl-C ends it.", err=output.json)
            if opens:
                webbrowser.open(page)
        while not stopped.wait(POLL_S):
            if process.poll() is not None:
                raise HaloError(f"the MLflow server ended with exit code {process.returncode}")
    output.emit({"url": base, "tracking_uri": store.shown})


def start_page(store: Store, base: str) -> str:
    """Returns the page of the only experiment with runs, else the page of all experiments."""
    experiments = _experiments(store)
    if len(experiments) == 1:
        return experiment_link(base, experiments[0])
    return f"{base}/#/experiments?{MACHINE_LEARNING}"


def _experiments(store: Store) -> list[str]:
    """Returns the ids of the experiments except MLflow's own, without importing MLflow."""
    import sqlite3

    if store.file is None:
        return []
    query = "SELECT experiment_id FROM experiments WHERE lifecycle_stage = 'active'"
    connection = sqlite3.connect(store.file)
    try:
        return [str(row[0]) for row in connection.execute(query) if row[0] != 0]
    except sqlite3.Error:
        return []
    finally:
        connection.close()


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
