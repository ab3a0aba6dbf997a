from __future__ import annotations

import errno
import os
import random
from typing import Any

import pytest

from halo_core.errors import DiskError
from halo_core.workspace import spool
from halo_core.workspace.spool import Spool
from halo_data.conversions.content_order import ContentOrder
from halo_data.conversions.distinct import Distinct
from halo_data.conversions.settled import settled
from halo_data.conversions.wrapping import completion_key
from halo_data.rows.dropped import Dropped, Row


class Text(str):
    pass


def deep(levels: int) -> list[Any]:
    return [deep(levels - 1)] if levels else []


ODD: list[Any] = [
    {"text": "two lines\nand \u2028 é 🙂 \ud83d\ude00 \x00"},
    {"float": 0.1 + 0.2, "zero": -0.0, "large": 1e308, "infinite": float("-inf"), "int": 2**63},
    {"label": True, "null": None, "ids": [1, 2, 2**70], "mixed": [True, 1, 1.0, "1", [], {}]},
    {"tuple": (1, 2)},
    {"number as a name": {1: "one"}},
    {"text of a class": Text("hi"), "list": [Text("hi")]},
    {"digits": 10**5000, "list": [0, -(10**5000)]},
    {"deep": deep(300)},
    {"bytes": b"\x00\n"},
]


@pytest.mark.parametrize("in_memory", [1, 2**20])
def test_rows_come_back_as_they_were_and_more_than_once(
    in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", in_memory)
    with Spool() as rows:
        for row in ODD:
            rows.add(row)
        assert len(rows) == len(ODD)
        # `repr` tells types apart that are equal, such as 1 and True.
        for _ in range(2):
            assert [*map(kinds, rows)] == [*map(kinds, ODD)]


def kinds(value: Any) -> Any:
    """Returns a value with the type of each part."""
    if isinstance(value, list | tuple):
        return type(value), [kinds(part) for part in value]
    if isinstance(value, dict):
        return type(value), [(kinds(name), kinds(part)) for name, part in value.items()]
    return type(value), value if isinstance(value, int) else repr(value)


def test_full_disk_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Spool() as rows:
        monkeypatch.setattr(rows._file, "write", full, raising=False)
        with pytest.raises(DiskError, match=r"the disk is full: .*set TMPDIR to a folder"):
            rows.add({"text": "hi"})


def test_keys_get_the_numbers_of_their_first_appearance() -> None:
    rng = random.Random(0)
    keys = [(f"{rng.randrange(3000)}", rng.choice([None, True, False])) for _ in range(5000)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    distinct = Distinct()
    assert [distinct.number(key) for key in keys] == [numbers[key] for key in keys]
    assert len(distinct) == len(numbers)
    assert keys[-1] in distinct
    assert ("3000", None) not in distinct
    assert not distinct.add(keys[0])
    assert distinct.add(("a", "b"))


def binary(count: int) -> list[Row]:
    rng = random.Random(1)
    return [
        {
            "id": f"{number}",
            "prompt": [{"role": "user", "content": f"{rng.randrange(count // 9)}"}],
            "completion": rng.choice("ab"),
            "desirable": rng.random() < 0.6,
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("conflicts", ["drop", "majority", "desirable", "undesirable"])
def test_labels_stay_as_in_a_recomputation_with_lists(conflicts: Any) -> None:
    rows = binary(400)
    labels: dict[Any, list[bool]] = {}
    for row in rows:
        labels.setdefault(completion_key(row), []).append(row["desirable"])
    wanted = []
    for row in rows:
        all_of = labels[completion_key(row)]
        more = 2 * all_of.count(row["desirable"]) > len(all_of)
        rule = {"drop": False, "majority": more}.get(
            conflicts, row["desirable"] == (conflicts == "desirable")
        )
        wanted.append(row if len(set(all_of)) == 1 or rule else None)
    came = [None if isinstance(each, Dropped) else each for each in settled(rows, conflicts)]
    assert came == wanted
    assert 0 < came.count(None) < len(rows)


def test_order_of_rows_has_not_changed() -> None:
    # The rows that earlier versions kept are part of the identity of their runs.
    order = ContentOrder(3, "test")
    for row in binary(40):
        order.add(row)
    assert [i for i, first in enumerate(order.first(8)) if first] == [5, 10, 11, 20, 22, 24, 25, 37]
    assert not any(order.first(0))
    assert all(order.first(40))
