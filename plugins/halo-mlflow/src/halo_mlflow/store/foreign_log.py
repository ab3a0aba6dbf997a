"""Sets aside a log next to the database of runs that is not that of this database.

SQLite replays each log that it finds, and would show another database in place of all runs.
"""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

from halo_core.errors import DataError
from halo_core.workspace.database_files import LOG, beside
from halo_core.workspace.database_log import CUT, FOREIGN, log_fault, move_log_aside

log = logging.getLogger("halo_mlflow")


def settle_log(file: Path, *, own: bool) -> None:
    """Moves a foreign or damaged log of a database aside. A log that was cut is only named.

    Call it before the database is opened.

    Args:
        file: The SQLite file. It and its log need not exist.
        own: Whether it is the database of a workspace that can be written to. In any other case,
            the log stays, and the user has to decide.

    Raises:
        DataError: When the log is that of another database and cannot be moved, or the database is
            not the workspace's own.
    """
    if (fault := log_fault(file)) is None:
        return
    path = beside(file, LOG)
    if fault.startswith(CUT):
        log.warning("mlflow: %s %s; changes after that are lost", path, fault)
        return
    if not (own or fault.startswith(FOREIGN)):
        log.warning("mlflow: %s %s; SQLite does not read it", path, fault)
        return
    if not own:
        raise _not_moved(file, fault)
    try:
        aside = move_log_aside(file)
    except FileNotFoundError:  # Another process was faster.
        return
    except OSError as error:
        raise _not_moved(file, fault) from error
    log.warning(
        "mlflow: %s %s. With it, SQLite would not show the runs in %s. It is kept as %s and not "
        "used; no run is lost",
        path,
        fault,
        file.name,
        aside.name,
    )


def _not_moved(file: Path, fault: str) -> DataError:
    path = beside(file, LOG)
    return DataError(
        f"{fault}. With it, SQLite shows other runs than those in {file.name}. Move it away: "
        f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.aside')}",
        location=str(path),
    )
