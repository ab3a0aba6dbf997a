"""Rows on disk as a stage is given them, made from a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.feedback import Feedback, prompt_id
from halo_core.rows import DataSet, RowWriter


def data_set(
    folder: Path, feedback: Feedback, rows: Sequence[Mapping[str, Any]], *, name: str = "train"
) -> DataSet:
    """Returns a data set whose rows lie in ``FOLDER/NAME-FEEDBACK.arrow``.

    Args:
        folder: Where to write.
        feedback: The kind of the rows.
        rows: With the columns of their kind; `id`, `prompt_id` and `source` are filled in.
        name: The set's name.
    """
    whole = [
        {
            "id": f"{name}-{i}",
            "prompt_id": prompt_id(row.get("prompt", []), row.get("tools")),
            "source": name,
            **row,
        }
        for i, row in enumerate(rows)
    ]
    path = folder / f"{name}-{feedback}.arrow"
    with RowWriter(path, feedback) as writer:
        writer.write(whole)
    return DataSet(name, feedback, [path])
