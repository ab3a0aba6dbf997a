"""The column `group`: rows of the same group stay on one side of a hold-out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo_core.errors import DataError

GROUP = "group"


def own_group(given: Mapping[str, Any], place: str) -> dict[str, str]:
    """Returns the column `group` of a row, if it is present and not null.

    Args:
        given: The row, with standard names.
        place: ``file:line`` of the row.

    Raises:
        DataError: When it is neither text nor a whole number.
    """
    group = given.get(GROUP)
    if group is None:
        return {}
    if isinstance(group, str | int) and not isinstance(group, bool):
        return {GROUP: str(group)}
    raise DataError(
        f"column {GROUP!r} is {group!r:.60}; expected text or a whole number that names the rows "
        "which stay on one side of a hold-out: map the right column with columns: {group: NAME}, "
        "or leave it out with ignore_columns: [group]",
        location=place,
    )
