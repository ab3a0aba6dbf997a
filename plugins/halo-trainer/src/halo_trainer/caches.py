"""The caches of trainings, for `halo runs gc`: tokens and log-probabilities of references."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from halo_core.cache_entry import CacheEntry
from halo_trainer.encode.rows_to_tokens import TOKENS
from halo_trainer.reference_store.overview import entries
from halo_trainer.reference_store.store import STORES


def cache_entries(cache: Path) -> list[CacheEntry]:
    """Returns what trainings keep in a cache.

    Args:
        cache: The cache of a workspace.
    """
    return [*_tokens(cache / TOKENS), *_references(cache / STORES)]


def _tokens(folder: Path) -> Iterator[CacheEntry]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
            yield CacheEntry(
                kind="tokens",
                path=path,
                lost="the next training with these rows tokenises them again",
                last_used=max(file.stat().st_atime for file in [path, *path.iterdir()]),
            )


def _references(stores: Path) -> Iterator[CacheEntry]:
    for entry in entries(stores):
        if not entry.folder.is_symlink():
            yield CacheEntry(
                kind="log-probabilities of references",
                path=entry.folder,
                lost="the next training with this reference loads it and computes them again",
                last_used=entry.last_used,
                in_use=entry.in_use,
            )
