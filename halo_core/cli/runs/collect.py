"""`halo runs gc`: removes what no run needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.runs.remove import NOTHING_YET, fail_if, telling_the_rest
from halo_core.errors import BusyError

if TYPE_CHECKING:
    from halo_core.tidy.collect import Garbage


@click.command()
@click.option("--checkpoints", is_flag=True, help="Also remove the checkpoints of finished stages.")
@click.option("--caches", is_flag=True, help="Also remove caches that can be computed again.")
@click.option("--paid-replies", is_flag=True, help="Also remove replies that judges were paid for.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="DAYS",
    help="Remove only what was not used for this number of days.",
)
@click.option("--yes", is_flag=True, help="Remove it. Without this option, it is only shown.")
@workspace_option
@output_options
def gc(
    checkpoints: bool,
    caches: bool,
    paid_replies: bool,
    older_than: float,
    yes: bool,
    workspace: str,
    output: Output,
) -> None:
    """Remove stages and rows that no run needs.

    On request, it also removes checkpoints and caches. Without --yes, it shows what would be
    removed, and removes nothing.
    """
    from halo_core.cli.runs.target import existing_workspace
    from halo_core.overview.sizes import places, size_text
    from halo_core.tidy.collect import Collection, collect, find_garbage

    root = existing_workspace(workspace)
    wanted = Collection(checkpoints, caches, paid_replies, older_than)
    if yes:
        with telling_the_rest(output):
            found = collect(root, wanted)
    else:
        found = find_garbage(root, wanted)
        found.measure()
    freed = sum(found.sizes.get(each.path, 0) for each in found.found if each.chosen)
    answer: dict[str, Any] = {
        "removed": yes,
        "items": [_json(each, found.sizes.get(each.path, 0)) for each in found.found],
        "bytes": freed,
        "places": {} if yes else places(root),
        "warnings": found.warnings,
        "problems": found.problems,
    }
    output.attach(**answer)
    output.emit(answer)
    for warning in found.warnings:
        output.warn(warning)
    if output.json:
        fail_if(found.problems, output)
        _refuse_busy(found.found)
        return
    if not yes:
        output.say(_places_text(answer["places"]))
    if not found.found:
        output.say("there is nothing to remove")
        return
    output.say(_table(found.found, found.sizes))
    fail_if(found.problems, output)
    if yes:
        output.say(f"\nremoved, {size_text(freed)} freed")
        _refuse_busy(found.found)
    elif any(each.chosen for each in found.found):
        output.say(f"\n{size_text(freed)} to remove. {NOTHING_YET}")
    else:
        output.say("\nThere is nothing to remove now")


def _refuse_busy(found: Sequence[Garbage]) -> None:
    """Refuses what was chosen while a process works on it.

    Raises:
        BusyError: When there is any.
    """
    from halo_core.tidy.collect import AT_WORK

    busy = [each.path.name for each in found if each.why_kept == AT_WORK]
    if busy:
        raise BusyError(
            f"{', '.join(busy)}: a process is computing this, so it is kept, and everything else "
            "was removed. Wait for the process, or stop it, and give the command again"
        )


def _places_text(sizes: dict[str, int]) -> str:
    from halo_core.overview.sizes import size_text

    texts = [f"{name} {size_text(size)}" for name, size in sizes.items() if size]
    return f"the workspace has {size_text(sum(sizes.values()))}: {', '.join(texts)}\n"


def _json(garbage: Garbage, size: int) -> dict[str, Any]:
    return {
        "kind": garbage.kind,
        "path": str(garbage.path),
        "size": size,
        "chosen": garbage.chosen,
        "option": garbage.option or None,
        "lost": garbage.lost,
        "why_kept": garbage.why_kept or None,
    }


def _table(found: Sequence[Garbage], sizes: dict[Any, int]) -> str:
    from halo_core.cli.terminal import drawn, grid
    from halo_core.overview.sizes import size_text

    groups: dict[tuple[str, str, str], list[Garbage]] = {}
    for each in found:
        groups.setdefault((each.kind, _fate(each), each.lost), []).append(each)
    rows = [
        [kind, fate, lost, str(len(group)), size_text(sum(sizes.get(e.path, 0) for e in group))]
        for (kind, fate, lost), group in groups.items()
    ]
    header = ["what", "", "if it is removed", "number", "size"]
    return drawn(grid("", header, rows, texts=3)).rstrip("\n")


def _fate(garbage: Garbage) -> str:
    if garbage.chosen:
        return "to remove"
    if garbage.why_kept:
        return f"kept: {garbage.why_kept}"
    if garbage.option and not garbage.asked:
        return f"kept without {garbage.option}"
    return "kept: used within --older-than"
