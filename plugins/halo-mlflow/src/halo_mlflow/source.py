"""Which commit of the user's own repository a run was started in."""

from __future__ import annotations

import subprocess
from pathlib import Path

LIMIT_S = 5.0


def git_tags(folder: Path) -> dict[str, str]:
    """Returns MLflow's tags for the commit of a folder; empty where there is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    # Untracked files do not count: the workspace itself is one, more often than not.
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.dirty": "false" if changes == "" else "true",
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
