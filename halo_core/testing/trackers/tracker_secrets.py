"""Checks that a tracker writes only into its workspace, and nothing that must stay secret."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from halo_core.secret import Secret
from halo_core.testing.component import expect
from halo_core.testing.processes.effects import caches, effects
from halo_core.testing.trackers.tracker_files import holds
from halo_core.tracker import Tracker

VARIABLE = "HALO_CHECK_VARIABLE"
"""An environment variable that exists during the check, and that no tracker has a use for."""

SAMPLE = "halo-check-{}-5f0c8e1b"
"""The value of this variable, and of each secret that has none."""


@contextmanager
def only_inside(tracker: Tracker, folder: Path) -> Iterator[None]:
    """Checks that a block writes only into temporary folders, caches and paths in options.

    Args:
        tracker: The tracker.
        folder: The folder, which contains the run in ``given``.

    Raises:
        AssertionError: When it writes or removes another file.
    """
    values = [getattr(tracker, name) for name in type(tracker).model_fields]
    named = [Path(value).expanduser() for value in values if isinstance(value, str | Path)]
    chosen = [path for path in named if path.is_absolute()]
    # Workspaces lie a level deeper, so that a path such as ../x is not in the folder of another.
    # The workspaces are temporary folders, so their names are known to `effects`.
    with effects([folder / "given", *chosen, *caches()], starts=True, imports=True) as found:
        yield
    done = [each for each in found.done if each.startswith("writes or removes")]
    expect(
        not done,
        tracker,
        f"handle() {'; '.join(done)}; expected it to write only into the workspace, or into an "
        "absolute path that an option names",
    )


def _hidden(tracker: Tracker) -> dict[str, str]:
    """Returns the texts that must not be written, by what they are called."""
    hidden = {f"the environment variable {VARIABLE}": os.environ.get(VARIABLE, "")}
    for name in type(tracker).model_fields:
        value = getattr(tracker, name)
        if isinstance(value, Secret) and value.is_set:
            hidden[f"the secret of the option {name!r}"] = value.reveal()
    return {name: text for name, text in hidden.items() if text}


@contextmanager
def marked_environment(tracker: Tracker) -> Iterator[None]:
    """Sets a variable, and those of the tracker's secrets that have no value, for a block."""
    fields = [getattr(tracker, name) for name in type(tracker).model_fields]
    needed = [each.variable for each in fields if isinstance(each, Secret) and not each.is_set]
    added = {name: SAMPLE.format(n) for n, name in enumerate([VARIABLE, *needed])}
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def check_reveals_nothing(tracker: Tracker, root: Path, description: object) -> None:
    """Checks that no file and no description has a secret or a variable of `marked_environment`.

    Args:
        tracker: The tracker.
        root: The workspace.
        description: The value that `describe` returned.

    Raises:
        AssertionError: When one has it.
    """
    hidden = _hidden(tracker)
    told = holds(root, hidden)
    said = json.dumps(description, default=str)
    for name, text in hidden.items():
        if not told and text in said:
            told = f"returns {name} from describe()"
    expect(
        not told,
        tracker,
        f"it {told}; what it writes may be shown to others, so write neither secrets nor the "
        "environment",
    )


__all__ = ["check_reveals_nothing", "marked_environment", "only_inside"]
