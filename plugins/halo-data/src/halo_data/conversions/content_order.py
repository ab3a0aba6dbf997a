"""An order of rows that depends only on their content and a seed."""

from __future__ import annotations

import hashlib
from array import array

from halo_core.completion import completions_in, scored_completions
from halo_data.conversions.distinct import Distinct
from halo_data.conversions.wrapping import kind_of, prompt_key
from halo_data.rows.dropped import Row

_BYTES = 32


class ContentOrder:
    """The first rows in an order that depends only on their content and a seed.

    The first ten are always among the first fifty, and additional rows do not change the order of
    the others. Equal rows have different places, and the first of them always has the same place.
    A row takes about 80 bytes of memory, however long it is.

    Args:
        seed: Another seed gives another order.
        purpose: Purpose of the order. Another purpose gives an independent order.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        self._seed = seed
        self._purpose = purpose
        self._keys = bytearray()
        self._contents = Distinct()
        self._seen = array("I")

    def __len__(self) -> int:
        return len(self._keys) // _BYTES

    def add(self, row: Row) -> None:
        """Adds a row of any kind of feedback."""
        content = _content(row)
        number = self._contents.number(content)
        if number == len(self._seen):
            self._seen.append(0)
        self._seen[number] += 1
        # The hash includes the count. Otherwise equal rows would all be kept or all be left out.
        text = f"{self._purpose}/{self._seed}/{self._seen[number]}/{content}"
        self._keys += hashlib.sha256(text.encode()).digest()

    def first(self, count: int) -> bytearray:
        """Returns 1 for each row among the first `count` of the order and else 0, as added."""
        import pyarrow as pa
        import pyarrow.compute as pc

        chosen = bytearray(len(self))
        if count:
            keys = pa.py_buffer(self._keys)
            values = pa.Array.from_buffers(pa.binary(_BYTES), len(self), [None, keys])
            # Equal keys stay in the order in which they were added.
            for position in pc.array_sort_indices(values)[:count]:
                chosen[position.as_py()] = 1
        return chosen


def _content(row: Row) -> str:
    """Returns a text that identifies a row, without its label, because the label may change."""
    kind = kind_of(row)
    if kind == "text":
        texts = [row["text"]]
    elif kind == "scored":
        texts = [str([each.key for each in scored_completions(row)])]
    else:
        texts = sorted(each.key for each in completions_in(row))
    return "\x00".join([prompt_key(row) if "prompt" in row else "", *texts])
