"""Rows on disk: one memory-mapped Arrow file per source, read by position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.feedback import COLUMNS, Feedback

if TYPE_CHECKING:
    import pyarrow


def arrow_schema(feedback: Feedback) -> pyarrow.Schema:
    """Returns the columns of a kind of feedback, with `id`, `prompt_id` and `source`."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    types = {
        "string": pa.string(),
        "bool": pa.bool_(),
        "messages": pa.list_(message),
        "strings": pa.list_(pa.string()),
        "floats": pa.list_(pa.float64()),
    }
    names = [("id", "string"), ("prompt_id", "string"), ("source", "string")]
    return pa.schema([(n, types[t]) for n, t in [*names, *COLUMNS[feedback].items()]])


class DataSet(Sequence[dict[str, Any]]):
    """The rows of one data set: some Arrow files behind each other, not held in memory.

    Args:
        name: The set's name in the spec, for messages.
        feedback: The kind of every row.
        files: Arrow files with the columns of `arrow_schema`.
    """

    def __init__(self, name: str, feedback: Feedback, files: Sequence[Path]) -> None:
        import pyarrow as pa

        self.name = name
        self.feedback = feedback
        self.files = tuple(files)
        tables = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in self.files]
        self._table = pa.concat_tables(tables)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def column(self, name: str) -> list[Any]:
        """Returns the values of one column, in the order of the rows."""
        values: list[Any] = self._table.column(name).to_pylist()
        return values

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return [self[i] for i in range(start, stop, step)]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._table.slice(index, 1).to_pylist()[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        # In batches: row by row Arrow takes five times as long, all at once they fill the memory.
        for batch in self._table.to_batches(max_chunksize=1024):
            yield from batch.to_pylist()
