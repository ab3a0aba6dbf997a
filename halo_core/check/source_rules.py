"""The rules for a data source, if its data are available here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from halo_core.check.rule import NotHereError, Rule
from halo_core.data import DataSource
from halo_core.errors import UserError

ROWS = 200
"""Number of rows of each split of a data source that are read."""

PROCESS_S = 60.0
"""Limit of the rule that reads the rows in another process."""


def source_rules() -> Sequence[Rule]:
    """Returns the rules for a data source."""
    from halo_core.testing.circumstances.repeatable import check_repeatable
    from halo_core.testing.data.compared_records import check_records
    from halo_core.testing.data.counted_lines import check_lines
    from halo_core.testing.data.data_identity import check_digest
    from halo_core.testing.data.file_texts import check_texts
    from halo_core.testing.data.named_files import check_files
    from halo_core.testing.data.readings import check_readings
    from halo_core.testing.data.rules import check_rows
    from halo_core.testing.data.source_options import check_other_options

    return [
        Rule("files", _readable(check_files)),  # First: a file may be changed only once.
        Rule("rows", _available(partial(check_rows, rows=ROWS))),
        Rule("lines", _available(check_lines)),
        Rule("records", _available(check_records)),
        Rule("texts", _available(check_texts)),
        Rule("digest", _available(check_digest)),
        Rule("readings", _available(check_readings)),
        Rule("other-options", _available(check_other_options)),
        Rule("repeatable", _available(check_repeatable), PROCESS_S),
    ]


def _readable(check: Callable[[Any], None]) -> Callable[[DataSource], None]:
    """Returns a check that is skipped if the source raises an error of the user."""

    def run(source: DataSource) -> None:
        try:
            check(source)
        except UserError as error:
            raise _not_here(error) from error

    return run


def _available(check: Callable[[Any], None]) -> Callable[[DataSource], None]:
    """Returns a check that is skipped if options or data are missing that nobody can guess."""

    def run(source: DataSource) -> None:
        try:
            for split in source.inspect().splits:
                next(iter(source.load(split).rows), None)
        except UserError as error:
            raise _not_here(error) from error
        check(source)

    return run


def _not_here(error: UserError) -> NotHereError:
    where = f"{error.location}: " if error.location else ""
    reason = f"its data are not available here: {where}{error.message}"
    return NotHereError(reason, refused=True)
