"""A digest of a model's weights, configuration and adapter.

A file is read and hashed once. Afterwards its size and its times are enough, as long as they are
the same as when it was hashed. A program can set the time of the last writing, as copies do that
keep it, but not the time at which the system last changed the file. So both are compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from halo_core.errors import DataError, DiskError, ModelError
from halo_core.hashing import file_hash, short_hash
from halo_core.stage import ModelInput
from halo_core.workspace.files import read_json, write_json

HASHES = "hashes.json"
"""File in the folder of all stores: size, two times and SHA-256 of each file, by its path."""

_ENDINGS = (".safetensors", ".bin", ".index.json")
_NAMES = ("config.json", "adapter_config.json")


def model_digest(model: ModelInput, stores: Path) -> str:
    """Returns 64 hexadecimal digits that name the content of a model.

    Args:
        model: A folder, whose files are hashed, or a hub id, whose commit names them.
        stores: The folder of all stores, where the hashes of files are kept.

    Raises:
        ModelError: When there is no such model, or it cannot be read.
    """
    folder = Path(model.path)
    parts: Any = _of_folder(folder, stores) if folder.is_dir() else _of_hub(model)
    return short_hash(json.dumps(parts, sort_keys=True), 64)


def _of_folder(folder: Path, stores: Path) -> list[Any]:
    try:
        hashes = _hashes(sorted(_files(folder)), stores)
        adapter = folder / "adapter_config.json"
        base = json.loads(adapter.read_text("utf-8")) if adapter.is_file() else {}
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot be read: {error}", location=str(folder)) from error
    parts: list[Any] = [hashes]
    # An adapter alone names the model that it belongs to.
    if name := base.get("base_model_name_or_path"):
        revision = base.get("revision")
        if Path(name).is_dir():
            parts.append(_of_folder(Path(name), stores) if Path(name) != folder else [])
        else:
            parts.append(_of_hub(ModelInput(str(name), revision, "")))
    return parts


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file() and (path.name in _NAMES or path.name.endswith(_ENDINGS)):
            yield path


def _of_hub(model: ModelInput) -> list[str]:
    from transformers.utils import cached_file
    from transformers.utils.hub import extract_commit_hash

    try:
        found = cached_file(model.path, "config.json", revision=model.revision)
    except Exception as error:
        # The text of a hub error may contain an address with credentials.
        raise ModelError(
            f"its configuration cannot be loaded from the hub ({type(error).__name__}). Check the "
            "id and the network, or give a folder by path",
            location=model.path,
        ) from error
    commit = extract_commit_hash(found, None)
    if commit is None:
        raise ModelError("the hub gives no commit for this model", location=model.path)
    return ["hub", model.path, str(commit)]


def _hashes(paths: list[Path], stores: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file by its name, and remembers it if that is possible."""
    with ExitStack() as stack:
        # The processes of a training ask for the same files. One of them reads, and the others
        # wait. Without a place to write, each of them reads, and the store itself warns.
        with suppress(OSError):
            stores.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(stores / f".{HASHES}.lock"))
        known = _known(stores)
        hashes, changed = {}, False
        for path in paths:
            state, place = path.stat(), str(path.resolve())
            mark = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
            entry = known.get(place)
            if not isinstance(entry, list) or entry[:-1] != mark:
                entry = known[place] = [*mark, file_hash(path)]
                changed = True
            hashes[path.name] = str(entry[-1])
        if changed:
            with suppress(DiskError, OSError):
                write_json(stores / HASHES, known)
    return hashes


def _known(stores: Path) -> dict[str, Any]:
    try:
        tree = read_json(stores / HASHES)
    except (DataError, OSError):
        return {}  # All files are read again.
    return tree if isinstance(tree, dict) else {}
