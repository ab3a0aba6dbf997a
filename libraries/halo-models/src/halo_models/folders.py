"""Folders that are either whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_beside(folder: Path) -> Iterator[Path]:
    """Yields an empty folder that takes the place of `folder` when the block ends well.

    What an earlier, killed writer of the same folder left is removed; so two processes must not
    write one folder at a time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for remains in folder.parent.glob(f".{folder.name}.*.partial"):
        shutil.rmtree(remains, ignore_errors=True)
    mark = uuid.uuid4().hex[:8]
    partial = folder.with_name(f".{folder.name}.{mark}.partial")
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if folder.exists():
        replaced = folder.with_name(f".{folder.name}.{mark}.replaced.partial")
        folder.rename(replaced)
        partial.rename(folder)
        shutil.rmtree(replaced)
    else:
        partial.rename(folder)
