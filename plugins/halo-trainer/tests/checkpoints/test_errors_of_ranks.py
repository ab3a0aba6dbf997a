"""The errors of several processes that write a checkpoint together: none hides another one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.errors import DiskError, HaloError, UserError
from halo_trainer.train.checkpoints.errors_of_ranks import joined
from halo_trainer.train.checkpoints.saving import Saving
from halo_trainer.train.checkpoints.shard_files import MissingPart

FULL = "the disk is full: /tmp/x"
SOON = 120
"""Seconds after which a test that waits for another thread fails."""


def test_an_error_that_all_have_is_raised_as_it_is() -> None:
    error = joined([None, DiskError(FULL, location="/x"), DiskError(FULL, location="/x")])
    assert (type(error), str(error)) == (DiskError, f"/x: {FULL}")


def test_a_full_disk_comes_first_and_different_errors_are_all_told_with_their_ranks() -> None:
    error = joined(
        [
            UserError("a folder is gone", location="/a"),
            None,
            DiskError(FULL, location="/x"),
            UserError("a folder is gone", location="/a"),
        ]
    )
    assert isinstance(error, DiskError)
    assert str(error) == f"/x: rank 2: {FULL}. Also, ranks 0, 3: /a: a folder is gone"
    assert str(error.args[0]) == error.message


class Meeting:
    """The exchange of some ranks, each in a thread."""

    def __init__(self, world: int) -> None:
        self.values: list[Any] = [None] * world
        self.barrier = threading.Barrier(world, timeout=SOON)

    def gather(self, rank: int, value: Any) -> list[Any]:
        self.values[rank] = value
        self.barrier.wait()
        found = list(self.values)
        self.barrier.wait()
        return found


def finish_on(
    writes: list[Callable[[threading.Event], None]], tmp_path: Path
) -> list[HaloError | None]:
    """Returns the error of each rank, whose thread writes its part with one of the functions."""
    meeting = Meeting(len(writes))

    def run(rank: int) -> HaloError | None:
        ranks = SimpleNamespace(
            main=rank == 0,
            gather=lambda value: meeting.gather(rank, value),
            from_main=lambda call: call(),
        )
        training: Any = SimpleNamespace(objective=SimpleNamespace(ranks=ranks))
        context: Any = SimpleNamespace(events=SimpleNamespace(append=lambda *a, **k: None))
        saving = Saving(training, context, in_background=True)
        saving._spread = True
        saving._job.start(lambda: writes[rank](saving._others.failed))  # type: ignore[arg-type, func-returns-value]
        try:
            saving.finish()
        except HaloError as error:
            return error
        return None

    with ThreadPoolExecutor(len(writes)) as threads:
        return list(threads.map(run, range(len(writes)), timeout=SOON))


def fails(error: HaloError) -> Callable[[threading.Event], None]:
    def write(_: threading.Event) -> None:
        raise error

    return write


def writes(_: threading.Event) -> None:
    """Writes the part of a rank."""


def waits(failed: threading.Event) -> None:
    """Waits for the parts of the others, as rank 0 does."""
    assert failed.wait(SOON)
    raise MissingPart("rank 2 has not written its part")


@pytest.mark.parametrize(
    ("main", "told"),
    [
        (waits, f"rank 2: {FULL}. Also, rank 1: /b: gone"),
        (fails(DiskError("its own disk is full")), "rank 0: its own disk is full. Also, rank 1"),
    ],
)
def test_every_rank_tells_the_errors_of_all_and_not_what_follows_from_them(
    main: Callable[[threading.Event], None], told: str, tmp_path: Path
) -> None:
    parts = [main, fails(UserError("gone", location="/b")), fails(DiskError(FULL)), writes]
    found = finish_on(parts, tmp_path)
    assert all(isinstance(error, DiskError) for error in found)
    texts = {str(error) for error in found}
    assert len(texts) == 1
    (text,) = texts
    assert text.startswith(told)
    assert FULL in text
    assert "/b: gone" in text
    assert "has not written its part" not in text


def test_nothing_is_raised_if_all_have_written(tmp_path: Path) -> None:
    assert finish_on([writes, writes], tmp_path) == [None, None]
