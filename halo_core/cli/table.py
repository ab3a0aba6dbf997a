"""Plain-text tables, for output that must start fast and be readable in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns rows with aligned columns, two spaces apart.

    Args:
        header: Titles of the columns, printed in capitals; none for a table without.
        rows: As many cells per row as there are titles.

    >>> print(table(["name", "kind"], [["kto", "loss"]]))
    NAME  KIND
    kto   loss
    """
    lines = [[title.upper() for title in header], *rows] if header else list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
