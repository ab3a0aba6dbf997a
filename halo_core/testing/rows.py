"""Makes rows on disk from a list, in the form that a stage gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.feedback import Feedback, prompt_id
from halo_core.rows import DataSet, RowWriter


def data_set(
    folder: Path, feedback: Feedback, rows: Sequence[Mapping[str, Any]], *, name: str = "train"
) -> DataSet:
    """Returns a data set whose rows are in ``FOLDER/NAME-FEEDBACK.arrow``.

    Args:
        folder: The folder to write to.
        feedback: The kind of feedback of the rows.
        rows: Rows with the columns of their kind. `id`, `prompt_id` and `source` are added.
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
