"""Reads data sets of the hub through `datasets`, which runs no code of theirs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from halo_core.errors import DataError, UserError
from halo_data.forms import Record

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TIMEOUT = 10.0
"""Seconds to wait for the hub when a data set is only inspected."""


def digest_of(hub_id: str, revision: str | None, *also: str | None) -> str | None:
    """Returns what names the content: a hash of the id, the commit and the options.

    Args:
        hub_id: The data set.
        revision: A branch, tag or commit; a full commit needs no network.
        also: What else decides on the rows.

    Returns:
        32 hexadecimal digits; None where the hub cannot be reached to look the commit up.
    """
    commit = revision if revision and _COMMIT.fullmatch(revision) else _commit(hub_id, revision)
    if commit is None:
        return None
    return hashlib.sha256(json.dumps([hub_id, commit, *also]).encode()).hexdigest()[:32]


def _commit(hub_id: str, revision: str | None) -> str | None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return HfApi().dataset_info(hub_id, revision=revision, timeout=_TIMEOUT).sha
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise _missing(hub_id, revision) from error
    except Exception:
        return None  # out of reach: the run itself will say why


def first_row(hub_id: str, name: str | None, revision: str | None) -> Mapping[str, Any] | None:
    """Returns a row of a data set without downloading it; None where that cannot be done.

    Args:
        hub_id: The data set.
        name: Its configuration.
        revision: A branch, tag or commit.
    """
    import datasets

    try:
        splits = datasets.load_dataset(hub_id, name, revision=revision, streaming=True)
        rows: Mapping[str, Any] = next(iter(next(iter(splits.values()))))
    except Exception:
        return None  # out of reach, or nothing in it: loading will say why
    return rows


def split_names(hub_id: str, name: str | None, revision: str | None) -> tuple[str, ...]:
    """Returns the splits of a data set; empty where they cannot be known.

    Args:
        hub_id: The data set.
        name: Its configuration.
        revision: A branch, tag or commit.
    """
    import datasets

    try:
        return tuple(datasets.get_dataset_split_names(hub_id, name, revision=revision))
    except Exception:
        return ()


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
        split: One of its splits.
        name: Its configuration.
        revision: A branch, tag or commit.
        data_dir: A folder within the data set.
        prefix: What the ids of the rows start with, besides the split.

    Raises:
        DataError: When there is no such split or configuration, or it cannot be read as data.
        UserError: When the data set cannot be reached.
    """
    import datasets

    with _explained(hub_id, revision, split):
        rows = datasets.load_dataset(
            hub_id, name, data_dir=data_dir, split=split, revision=revision
        )
    start = f"{prefix}/{split}" if prefix else split
    for number, given in enumerate(rows, start=1):
        yield Record(f"{start}:{number}", f"{hub_id} {start} row {number}", given)


@contextmanager
def _explained(hub_id: str, revision: str | None, split: str) -> Iterator[None]:
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except DatasetNotFoundError as error:
        raise _missing(hub_id, revision) from error
    except ValueError as error:
        raise DataError(
            f"{_first_line(error)}; choose the split with split: and the configuration with name:",
            location=f"{hub_id}, split {split!r}",
        ) from error
    except Exception as error:
        raise UserError(
            f"cannot be loaded: {type(error).__name__}: {_first_line(error)}. Is the network "
            "there? With the files at hand, read them by path (hh, jsonl)",
            location=f"{hub_id}, split {split!r}",
        ) from error


def _missing(hub_id: str, revision: str | None) -> DataError:
    at = f" at revision {revision!r}" if revision else ""
    return DataError(
        f"no such data set on the hub{at}, or it needs a login; expected OWNER/NAME: check the "
        "spelling, accept its terms, or run hf auth login",
        location=hub_id,
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
