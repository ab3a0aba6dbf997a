"""Rows on disk: one memory-mapped Arrow file per source, read by position.

A file has an optional column, or the further fields of messages, only if one of its rows has them.
So all other files are the same as those of an older halo. Values without an Arrow type are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from halo_core.feedback import COLUMNS, OPTIONAL_COLUMNS, SAMPLING, Feedback, further_fields
from halo_core.mapped import mapped_table

if TYPE_CHECKING:
    import pyarrow

_EXTRA = "extra"
"""Name of the field of a message on disk that contains its further fields."""

_ROWS_AT_ONCE = 1024


def arrow_schema(
    feedback: Feedback, optional: Collection[str] = (), *, further: bool = False
) -> pyarrow.Schema:
    """Returns the columns of a kind of feedback, with `id`, `prompt_id` and `source`.

    Args:
        feedback: The kind.
        optional: The optional columns in the file.
        further: Whether messages have further fields.
    """
    import pyarrow as pa

    text, ids, logps = pa.string(), pa.list_(pa.int32()), pa.list_(pa.float64())
    fields = [("role", text), ("content", text), *([(_EXTRA, text)] if further else [])]
    numbers = [pa.float64(), pa.float64(), pa.int64()]
    sampling = pa.struct(list(zip(SAMPLING, numbers, strict=True)))
    types = {
        "string": text,
        "bool": pa.bool_(),
        "messages": pa.list_(pa.struct(fields)),
        "strings": pa.list_(text),
        "floats": pa.list_(pa.float64()),
        "objects": text,
        "fields": text,
        "fields list": pa.list_(text),
        "ids": ids,
        "ids list": pa.list_(ids),
        "logps": logps,
        "logps list": pa.list_(logps),
        "finish": text,
        "finish list": pa.list_(text),
        "sampling": sampling,
        "sampling list": pa.list_(sampling),
    }
    columns = {"id": "string", "prompt_id": "string", "source": "string", **COLUMNS[feedback]}
    columns |= {n: t for n, t in OPTIONAL_COLUMNS[feedback].items() if n in optional}
    return pa.schema([(name, types[type_]) for name, type_ in columns.items()])


def _packed(value: Any) -> str | None:
    if value is None:
        return None
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _unpacked(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _packed_message(message: Mapping[str, Any]) -> dict[str, Any]:
    if len(message) == 2:  # This is true for nearly all messages.
        return dict(message)
    further = further_fields(message)
    packed = {"role": message["role"], "content": message["content"]}
    return {**packed, _EXTRA: _packed(further)} if further else packed


def _unpacked_message(message: dict[str, Any]) -> dict[str, Any]:
    further = _unpacked(message.pop(_EXTRA, None))
    return {**message, **(further or {})}


_PACK: Mapping[str, Callable[[Any], Any]] = {
    "objects": _packed,
    "fields": _packed,
    "fields list": lambda values: list(map(_packed, values)),
    "messages": lambda messages: list(map(_packed_message, messages)),
}
_UNPACK: Mapping[str, Callable[[Any], Any]] = {
    "objects": _unpacked,
    "fields": _unpacked,
    "fields list": lambda values: list(map(_unpacked, values)),
    "messages": lambda messages: list(map(_unpacked_message, messages)),
}


class RowWriter:
    """Writes rows of one kind to an Arrow file, a chunk at a time.

    Args:
        path: The file. An existing one is replaced.
        feedback: The kind of feedback of the rows.
    """

    def __init__(self, path: Path, feedback: Feedback) -> None:
        self._path = path
        self._feedback = feedback
        types = {**COLUMNS[feedback], **OPTIONAL_COLUMNS[feedback]}
        self._pack = {name: _PACK[type_] for name, type_ in types.items() if type_ in _PACK}
        self._optional: frozenset[str] = frozenset()
        self._further = False
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._writer.close()
        self._sink.close()

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes rows with the columns of their kind, its optional columns, and their ids."""
        packed = [self._packed(row) for row in rows]
        given = {name for row in rows for name in row if row[name] is not None}
        optional = self._optional | (given & OPTIONAL_COLUMNS[self._feedback].keys())
        further = self._further or any(
            _EXTRA in message for row in packed for message in row.get("prompt", ())
        )
        if (optional, further) != (self._optional, self._further):
            self._widen(optional, further)
        self._write(packed)

    def _packed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        packed = dict(row)
        for name, pack in self._pack.items():
            if packed.get(name) is not None:
                packed[name] = pack(packed[name])
        return packed

    def _write(self, packed: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(packed, schema=self._schema))

    def _open(self) -> None:
        import pyarrow as pa

        self._schema = arrow_schema(self._feedback, self._optional, further=self._further)
        self._sink = pa.OSFile(str(self._path), "wb")
        self._writer = pa.ipc.new_file(self._sink, self._schema)

    def _widen(self, optional: frozenset[str], further: bool) -> None:
        """Starts the file again with more columns, because its rows must have the same ones."""
        import pyarrow as pa

        self._close()
        before = self._path.with_name(f"{self._path.name}.narrow")
        self._path.replace(before)
        self._optional, self._further = optional, further
        self._open()
        with pa.memory_map(str(before)) as source:
            reader = pa.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                self._write(reader.get_batch(number).to_pylist())
        before.unlink()


class DataSet(Sequence[dict[str, Any]]):
    """The rows of one data set: a sequence of Arrow files that are not held in memory.

    A row has only those optional columns (`OPTIONAL_COLUMNS`) that have a value, and its messages
    only their own fields. Nulls are left out.

    Args:
        name: The set's name in the spec, for messages.
        feedback: The kind of feedback of every row.
        files: Arrow files with the columns of `arrow_schema`.
    """

    def __init__(self, name: str, feedback: Feedback, files: Sequence[Path]) -> None:
        import pyarrow as pa

        self.name = name
        self.feedback = feedback
        self.files = tuple(files)
        tables = [mapped_table(path) for path in self.files]
        # Files of one set may differ in optional columns and in fields of their messages.
        self._table = pa.concat_tables(tables, promote_options="default")
        there = self._table.column_names
        self._optional = [name for name in OPTIONAL_COLUMNS[feedback] if name in there]
        types = {**COLUMNS[feedback], **OPTIONAL_COLUMNS[feedback]}
        self._unpack = {n: _UNPACK[types[n]] for n in there if types.get(n) in _UNPACK}
        if not self._has_further_fields():
            self._unpack.pop("prompt", None)

    def _has_further_fields(self) -> bool:
        index = self._table.schema.get_field_index("prompt")
        if index < 0:
            return False
        message = self._table.schema.field(index).type.value_type
        return bool(message.get_field_index(_EXTRA) >= 0)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def column(self, name: str) -> list[Any]:
        """Returns the values of one column, in the order of the rows.

        An optional column is null for rows without a value. The list takes at least 8 bytes per
        row; `select` takes none.

        Raises:
            KeyError: When the kind of feedback has no such column.
        """
        if name not in self._table.column_names and name in OPTIONAL_COLUMNS[self.feedback]:
            return [None] * len(self)
        if name not in self._table.column_names:
            raise KeyError(name)
        return [row.get(name) for row in self.select((name,))]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return [self[i] for i in range(start, stop, step)]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._row(self._table.slice(index, 1).to_pylist()[0])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.select()

    def select(self, columns: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yields all rows in order, with some of their columns.

        The files are read from the beginning to the end, a batch at a time, and are not mapped into
        memory: pages of a mapped file that were read would count as memory of the process.

        Args:
            columns: The columns; None for all. Those that no row has are left out.
        """
        for path in self.files:
            for batch in _batches(path, columns):
                # No name holds the list, so that it is gone before the next one is made.
                yield from map(self._row, _listed(batch, columns))

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        for name in self._optional:
            if name in row and row[name] is None:
                del row[name]
        for name, unpack in self._unpack.items():
            if name in row:
                row[name] = unpack(row[name])
        return row


def _listed(batch: pyarrow.RecordBatch, columns: Collection[str] | None) -> list[dict[str, Any]]:
    if columns is None or {*columns}.intersection(batch.schema.names):
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    return [{} for _ in range(batch.num_rows)]  # Only a column that counts the rows was read.


def _batches(path: Path, columns: Collection[str] | None) -> Iterator[pyarrow.RecordBatch]:
    """Yields the rows of a file in batches: one by one, rows take five times as long."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as source:
        reader = pa.ipc.open_file(source)
        if columns is not None:
            names = reader.schema.names
            wanted = [i for i, name in enumerate(names) if name in columns]
            options = pa.ipc.IpcReadOptions(included_fields=wanted or [0])  # [] would mean all.
            reader = pa.ipc.open_file(source, options=options)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                yield batch.slice(start, _ROWS_AT_ONCE)
