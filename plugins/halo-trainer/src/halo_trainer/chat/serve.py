"""`halo serve`: an OpenAI-compatible endpoint for a model of a run, by transformers."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import click

from halo_core import watched
from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName
from halo_core.errors import UserError

PROGRAM = "halo_trainer.chat.server_program"
"""The module of the server."""


@click.command()
@click.argument("model", metavar="RUN[:STAGE]|FOLDER", type=RunName())
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the endpoint.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True,
              help="Port of the endpoint.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="Device to compute on.")
@workspace_option
@output_options
def serve(model: str, host: str, port: int, device: str, workspace: str, output: Output) -> None:
    """Serve a model of a run to programs, until Ctrl-C.

    RUN is the last model of a run that is done, and RUN:STAGE another one. The server is
    `transformers serve`, with POST /v1/chat/completions and the chat template of the model. By
    default, only programs on this machine can reach it.
    """
    from halo_core.workspace.find_model import find_model

    found = find_model(model, Path(workspace).expanduser().resolve())
    _check_installed()
    _check_free(host, port)
    output.say(f"{found.name} at http://{host}:{port}/v1, until Ctrl-C")
    sys.stdout.flush()
    # The server takes the place of this process, so that signals and exit codes are its own.
    folder = str(found.folder)
    options = ["--host", host, "--port", str(port), "--device", device]
    # A Ctrl-C waits until the program has a handler for it. Python's own prints a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    watched.will_be_replaced()
    os.execv(sys.executable, [sys.executable, "-P", "-m", PROGRAM, "serve", folder, *options])


def _check_installed() -> None:
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        raise UserError(
            "`transformers serve` is not installed completely; run: "
            "pip install 'halo-trainer[serve]'",
            location="halo serve",
        )


def _check_free(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise UserError(
            f"cannot listen at {host}:{port}: {error.strerror or error}. Choose another --port, or "
            "another --host",
            location="halo serve",
        ) from error
