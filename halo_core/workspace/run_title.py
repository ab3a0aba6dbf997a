"""The one name by which people know a run: in the shell, in reports and in trackers.

The name of a run's folder has a hash that says nothing. The title says what varies. `halo run`
writes it into `run.json` once, so that it never changes:

* The title of a suite's cell is the id of the cell: ``small/kto``.
* Any other title has the loss of the last training, its beta and the seed: ``kto-b0.1-s1``.
* If an earlier run of the same recipe has this title, the options in which the new run differs from
  it follow: ``kto-b0.1-s1-lr0.0002``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from halo_core.errors import DataError
from halo_core.leaves import leaves
from halo_core.redact import is_secret, redact
from halo_core.workspace.layout import title_of
from halo_core.workspace.recorded_roles import option_with
from halo_core.workspace.records import RESOLVED_SPEC, RUN, RunRecord, RunStage

MOST_OPTIONS = 3
"""Largest number of options that a title names."""
_LONGEST_VALUE = 24
_SHORT = {"learning_rate": "lr", "batch_size": "batch", "seed": "s", "beta": "b"}
_NOT_COMPARED = ("name", "tracking", "reports")


def run_title(folder: Path) -> str:
    """Returns the title of a run; without one, the id of its cell or the name of its folder.

    Runs of an older halo have no title, nor has a run whose record is gone.

    A name from `halo runs rename` takes precedence.

    Args:
        folder: The run's folder.

    Raises:
        DataError: When `run.json` is damaged.
    """
    if given := title_of(folder)["title"]:
        return given
    record = RUN.read(folder) or RunRecord()
    suite = record.get("suite")
    return record.get("title") or (suite["cell"] if suite else folder.name)


def recorded_title(record: RunRecord, folder: Path) -> str:
    """Returns the title in a record. It is made for a run of an older halo, which wrote none.

    Args:
        record: The content of `run.json`.
        folder: The run's folder, which contains the resolved spec.
    """
    return record.get("title") or _plain_title(record, _resolved(folder))


def new_title(record: RunRecord, resolved: Mapping[str, Any], folder: Path) -> str:
    """Returns the title of a run that begins. No earlier run of its recipe has the same.

    Two runs that begin at the same moment can get the same title.

    Args:
        record: The new content of `run.json`, without a title.
        resolved: The resolved spec.
        folder: The run's folder. Folders next to it are the earlier runs.
    """
    before = _read(folder)
    if before is not None:
        return recorded_title(before, folder)
    title = _plain_title(record, resolved)
    if record.get("suite"):
        return title
    others = _titles_of_others(record, folder)
    if title not in others.values():
        return title
    namesake = next(other for other, its in others.items() if its == title)
    options = [title, *_differing(resolved, _resolved(namesake))[:MOST_OPTIONS]]
    longer = "-".join(options)
    if longer not in others.values():
        return longer
    # The difference is not in the options, but for example in the rows of a file.
    return f"{longer}-{folder.name.rpartition('-')[2]}"


def training_stage(stages: list[RunStage]) -> RunStage | None:
    """Returns the last stage with a loss, else the last with a model; None if there is none."""
    models = [stage for stage in stages if stage["product"] == "model"]
    with_loss = [stage for stage in models if stage.get("loss")]
    return next(iter([*reversed(with_loss), *reversed(models)]), None)


def short_loss(loss: str) -> str:
    """Returns the title of a loss without namespaces and files.

    >>> short_loss("tempered(acme/hinge)"), short_loss("file:my/loss.py:Hinge")
    ('tempered(hinge)', 'Hinge')
    """
    return re.sub("[^(,]*[/:]", "", loss)


def _plain_title(record: RunRecord, resolved: Mapping[str, Any]) -> str:
    """Returns a title that depends on nothing but the run."""
    suite = record.get("suite")
    if suite:
        return suite["cell"]
    stage = training_stage(record.get("stages", []))
    named = str(record.get("recipe") or resolved.get("name") or record.get("name") or "run")
    loss = short_loss((stage.get("loss") if stage else None) or named)
    beta = _beta(stage, _mapping(resolved.get("stages"))) if stage else None
    parts = [loss, f"b{beta:g}" if isinstance(beta, int | float) else ""]
    parts.append(f"s{record.get('seed', 0)}")
    return "-".join(part for part in parts if part)


def _beta(stage: RunStage, options: Mapping[str, Any]) -> Any:
    of_stage = _mapping(options.get(stage["id"]))
    return _mapping(of_stage.get(option_with(stage, "loss"))).get("beta")


def _titles_of_others(record: RunRecord, folder: Path) -> dict[Path, str]:
    """Returns the titles of the other runs with the same recipe, the oldest first."""
    titles: dict[Path, str] = {}
    others = [path for path in folder.parent.glob(f"*/{RUN.name}") if path.parent != folder]
    for path in sorted(others, key=lambda path: path.stat().st_mtime):
        other = _read(path.parent)
        if other and other.get("recipe") == record.get("recipe") and not other.get("suite"):
            titles[path.parent] = recorded_title(other, path.parent)
    return titles


def _read(folder: Path) -> RunRecord | None:
    try:
        return RUN.read(folder)
    except DataError:  # A damaged record of an earlier run has no title that could be the same.
        return None


def _resolved(folder: Path) -> Mapping[str, Any]:
    """Returns the resolved spec of a run; {} without one, or if it is damaged."""
    from ruamel.yaml.error import YAMLError

    try:
        return _mapping(_tree((folder / RESOLVED_SPEC).read_bytes()))
    except (OSError, YAMLError):
        return {}


@lru_cache(maxsize=32)
def _tree(content: bytes) -> Any:
    """Returns what YAML contains, which nobody changes. A page has many runs of the same spec."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(content)


def _differing(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Returns the options that differ, each once: ``lr0.0002``, ``steps100``."""
    before = dict(leaves(other, skipped=_is_skipped))
    parts: dict[str, None] = {}
    for path, value in leaves(mine, skipped=_is_skipped):
        if path in before and before[path] == value:
            continue
        keys = [key for key in path.split(".") if not key.isdigit() and key != "use"]
        key = keys[-1] if keys else path
        text = re.sub(r"\s+", "_", redact(_text(value)))[:_LONGEST_VALUE]
        parts[f"{_SHORT.get(key, key)}{text}" if not path.endswith("use") else text] = None
    return list(parts)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value).rpartition("/")[2]


def _is_skipped(path: str) -> bool:
    return path in _NOT_COMPARED or is_secret(path)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
