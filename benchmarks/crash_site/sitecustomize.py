"""Watches the workers of `kill.py`, which put this folder on the path of their runs."""

import os
from pathlib import Path

from crash_points import Changes

if os.environ.get("RANK") == os.environ.get("CRASH_RANK", "none"):
    log = os.environ.get("CRASH_LOG")
    Changes(
        os.environ["CRASH_FOLDER"],
        log=None if log is None else Path(log),
        kill_at=int(os.environ.get("CRASH_AT", "0")),
    ).watch()
