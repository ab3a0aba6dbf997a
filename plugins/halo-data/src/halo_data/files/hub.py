"""Reads data sets from the hub with `datasets`, which runs no code of the data sets."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from halo_core.errors import DataError, DiskError, HaloError, UserError
from halo_core.hashing import short_hash
from halo_core.workspace.disk import free_bytes, told_if_disk_fails, with_margin
from halo_data.files.no_network import no_vain_attempts, unknown_host
from halo_data.files.tables import without_nulls
from halo_data.rows.forms import Record

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TIMEOUT = 10.0
"""Seconds to wait for the hub during an inspection of a data set."""
_ADVICE = "Make room, or move the cache of downloads with the variable HF_HOME"


@dataclass(frozen=True)
class Glimpse:
    """The facts about a data set that need no download.

    Attributes:
        splits: Its splits.
        rows: The first rows of its first split; usually one row.
    """

    splits: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]


def commit_of(hub_id: str, revision: str | None) -> str | None:
    """Returns the current commit of a revision; None if the hub cannot be reached.

    A process asks once for each revision, and does not ask again if the hub could not be reached.
    Otherwise a suite of a hundred cells would wait a hundred times.

    Args:
        hub_id: The data set.
        revision: A branch, tag or commit; a full commit needs no network.

    Raises:
        DataError: When the hub knows no such data set or revision.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if revision and _COMMIT.fullmatch(revision):
        return revision
    known = commits_known()
    if (hub_id, revision) not in known and None not in known.values():
        try:
            commit = HfApi().dataset_info(hub_id, revision=revision, timeout=_TIMEOUT).sha
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise _missing(hub_id, revision) from error
        except Exception:
            commit = None  # The hub cannot be reached. Loading will report why.
        known[hub_id, revision] = commit
    return known.get((hub_id, revision))


@functools.cache
def commits_known() -> dict[tuple[str, str | None], str | None]:
    """Returns the commits that this process knows, by data set and revision."""
    return {}


def digest_of(hub_id: str, commit: str | None, *also: str | None) -> str | None:
    """Returns 32 hexadecimal digits that identify the content; None without a commit.

    Args:
        hub_id: The data set.
        commit: The result of `commit_of`.
        also: Other values that determine the rows.
    """
    if commit is None:
        return None
    return short_hash(json.dumps([hub_id, commit, *also]), 32)


def glimpse(
    hub_id: str,
    name: str | None,
    revision: str | None,
    is_unclear: Callable[[Mapping[str, Any]], bool],
    most: int,
) -> Glimpse | None:
    """Returns the splits and the first row or rows; None if the hub cannot be reached.

    Without a network `datasets` would try for half a minute, so the host name is looked up first.
    In offline mode (``HF_HUB_OFFLINE``) a data set in the cache is read.

    Args:
        hub_id: The data set.
        name: Its configuration.
        revision: A branch, tag or commit.
        is_unclear: Returns whether the row after this one is needed too.
        most: Maximum number of rows.

    Raises:
        DataError: When the hub can be reached and has no such configuration, or no data in it.
    """
    import datasets
    from datasets.exceptions import DatasetsError
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    if not offline and commit_of(hub_id, None) is None:
        return None
    try:
        splits = datasets.load_dataset(hub_id, name, revision=revision, streaming=not offline)
        rows = iter(next(iter(splits.values())))
        seen = [next(rows)]
        while is_unclear(seen[-1]) and len(seen) < most and (more := list(islice(rows, 1))):
            seen += more
        return Glimpse(tuple(map(str, splits)), seen)
    except (DatasetsError, ValueError, RuntimeError, StopIteration) as error:
        if offline:
            return None  # It is not in the cache. Loading will report that.
        raise _unreadable(hub_id, error) from error
    except Exception:
        return None  # The hub cannot be reached. Loading will report why.


def hub_records(
    hub_id: str,
    *,
    split: str,
    name: str | None = None,
    revision: str | None = None,
    data_dir: str | None = None,
    prefix: str | None = None,
) -> Iterator[Record]:
    """Yields the rows of a split, downloaded once and kept in the cache of `datasets`.

    Args:
        hub_id: The data set.
        split: A split of the data set.
        name: Its configuration.
        revision: A branch, tag or commit.
        data_dir: A folder within the data set.
        prefix: Start of the rows' ids, in addition to the split.

    Raises:
        DataError: When there is no such split or configuration, or it is not readable as data.
        UserError: When the data set cannot be reached, or is larger than the disk.
        DiskError: When the disk becomes full on the way, or fails.
    """
    import datasets

    given = {"data_dir": data_dir, "revision": revision}
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    with (
        no_vain_attempts(),
        _explained(hub_id, revision, split),
        told_if_disk_fails(cache, _ADVICE),
    ):
        _check_size(datasets.load_dataset_builder(hub_id, name, **given), cache, hub_id, split)
        rows = datasets.load_dataset(hub_id, name, split=split, **given)
    start = f"{prefix}/{split}" if prefix else split
    for number, given in enumerate(rows, start=1):
        row = {name: without_nulls(value) for name, value in given.items()}
        yield Record(f"{start}:{number}", f"{hub_id} {start} row {number}", row)


def _check_size(builder: Any, cache: Path, hub_id: str, split: str) -> None:
    """Refuses a data set that is larger than the disk, before anything of it is read.

    The hub knows the sizes of most data sets. `datasets` downloads all splits together, and then
    writes the rows once more.

    Args:
        builder: The builder of `datasets`.
        cache: The folder of the downloads.
        hub_id: The data set.
        split: The split that is wanted, for the message.

    Raises:
        UserError: When it is larger.
    """
    files, rows = builder.info.download_size or 0, builder.info.dataset_size or 0
    if os.path.exists(builder.cache_dir):
        return  # It was downloaded before.
    free = free_bytes(cache)
    if with_margin(files + rows) > free:
        raise UserError(
            f"the data set is larger than the disk: it needs {files + rows:,} bytes in {cache} "
            f"({files:,} to download, {rows:,} as rows), and {free:,} bytes are free. {_ADVICE}",
            location=f"{hub_id}, split {split!r}",
        )


@contextmanager
def _explained(hub_id: str, revision: str | None, split: str) -> Iterator[None]:
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except DatasetNotFoundError as error:
        raise _missing(hub_id, revision) from error
    except HaloError as error:
        error.location = error.location or f"{hub_id}, split {split!r}"
        raise
    except OSError as error:
        if "Not enough disk space" not in str(error):
            raise _unreachable(hub_id, split, error) from error
        raise DiskError(
            f"{_first_line(error).rstrip('.')}. {_ADVICE}",
            location=f"{hub_id}, split {split!r}",
        ) from error
    except ValueError as error:
        raise DataError(
            f"{_first_line(error)}; choose the split with split: and the configuration with name:",
            location=f"{hub_id}, split {split!r}",
        ) from error
    except Exception as error:
        raise _unreachable(hub_id, split, error) from error


def _unreachable(hub_id: str, split: str, error: Exception) -> UserError:
    host = unknown_host()
    why = (
        f"this machine cannot look up {host}, and the data set is not in the cache of downloads"
        if host
        else f"{type(error).__name__}: {_first_line(error)}"
    )
    return UserError(
        f"cannot be loaded: {why}. Is the network there? With the files at hand, read them by path "
        "(hh, files)",
        location=f"{hub_id}, split {split!r}",
    )


def _unreadable(hub_id: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split("\n")[:2]) or "its first split is empty"
    return DataError(
        f"cannot be read: {reason.rstrip('.')}. Choose the configuration with name: and the "
        "version with revision:",
        location=hub_id,
    )


def _missing(hub_id: str, revision: str | None) -> DataError:
    at = f" at revision {revision!r}" if revision else ""
    return DataError(
        f"no such data set on the hub{at}, or it needs a login; expected OWNER/NAME: check the "
        "spelling, accept its terms, or run hf auth login",
        location=hub_id,
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
