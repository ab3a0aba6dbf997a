"""`halo store`: shows the stored log-probabilities of references, and removes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.errors import UserError

if TYPE_CHECKING:
    from halo_trainer.reference_store.overview import StoreEntry


@click.command()
@click.option("--prune", is_flag=True, help="Remove stores. --older-than or --all chooses them.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="With --prune, stores that no training has used for this number of days.",
)
@click.option("--all", "everything", is_flag=True, help="With --prune, all stores.")
@workspace_option
@output_options
def store(
    prune: bool, older_than: float | None, everything: bool, workspace: str, output: Output
) -> None:
    """Show the stored log-probabilities of references, or remove them.

    A training with `reference_store: on` writes them and reads them. After they are removed, it
    computes them again. A store that a training uses now is kept.
    """
    from halo_core.workspace.layout import Workspace
    from halo_trainer.reference_store.overview import entries, remove_remains
    from halo_trainer.reference_store.store import STORES

    if prune != (everything or older_than is not None) or (everything and older_than is not None):
        raise UserError(
            "expected --prune with either --older-than DAYS or --all, or no option of the three",
            location="halo store",
        )
    root = Path(workspace).expanduser().resolve()
    if not root.is_dir():
        raise UserError("there is no such folder; name a workspace", location=str(root))
    stores = Workspace(root).cache / STORES
    found = entries(stores)
    if prune:
        remove_remains(stores)
        _prune([e for e in found if everything or e.days_unused() > (older_than or 0)], output)
    else:
        _show(found, output)


def _show(found: Sequence[StoreEntry], output: Output) -> None:
    output.emit({"stores": [_described(entry) for entry in found]})
    for entry in found:
        used = datetime.fromtimestamp(entry.last_used).astimezone()
        when = "in use now" if entry.in_use else f"last used {used:%Y-%m-%d %H:%M}"
        output.say(
            f"{entry.folder.name}  {entry.model or 'unknown model'}: "
            f"{entry.completions:,} completions, {_megabytes(entry.bytes)}, {when}"
        )
        if entry.damaged:
            output.say(
                f"  damaged: {entry.damaged} of its files; the next training that uses the store "
                "removes them and computes their values again"
            )
    total = sum(entry.bytes for entry in found)
    output.say(f"{len(found)} {_stores(found)}, {_megabytes(total)}")


def _prune(chosen: Sequence[StoreEntry], output: Output) -> None:
    from halo_trainer.reference_store.overview import remove

    removed = [entry for entry in chosen if remove(entry)]
    kept = [entry for entry in chosen if entry.folder.exists()]
    freed = sum(entry.bytes for entry in removed)
    names = {"removed": removed, "in_use": kept}
    output.emit({"freed_bytes": freed} | {k: [_described(e) for e in v] for k, v in names.items()})
    for entry in kept:
        output.say(f"{entry.folder.name}  {entry.model or 'unknown model'}: in use, and kept")
    output.say(f"removed {len(removed)} {_stores(removed)}, {_megabytes(freed)} freed")


def _described(entry: StoreEntry) -> dict[str, Any]:
    return {
        "folder": str(entry.folder),
        "model": entry.model,
        "completions": entry.completions,
        "damaged": entry.damaged,
        "bytes": entry.bytes,
        "last_used": entry.last_used,
        "in_use": entry.in_use,
    }


def _stores(found: Sequence[StoreEntry]) -> str:
    return "store" if len(found) == 1 else "stores"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
