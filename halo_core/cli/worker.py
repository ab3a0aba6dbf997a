"""`halo worker STAGE_DIR`: runs one rank of a stage; started by launchers, not by people."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command(hidden=True)
@click.argument("stage_folder", type=click.Path(exists=True, file_okay=False))
def worker(stage_folder: str) -> None:
    """Run one rank of the stage in a folder."""
    from halo_core.worker import work

    sys.exit(work(Path(stage_folder)))
