"""Many keys in little memory."""

from __future__ import annotations

import random
from array import array

from halo_core.run.key_sets import Keys


def test_keys_are_found_among_others_as_in_a_python_set() -> None:
    rng = random.Random(0)
    ours = [(str(rng.randrange(50)), rng.randrange(3)) for _ in range(200)]
    theirs = [(str(rng.randrange(50)), rng.randrange(3)) for _ in range(100)]
    keys, others = Keys(ours), Keys(theirs)
    found = keys.are_in(others)
    assert [*found] == [key in {*theirs} for key in ours]
    assert (len(keys), keys.distinct()) == (200, len({*ours}))
    assert keys.distinct(found) == len({*ours} & {*theirs})
    assert keys.chosen(found).distinct() == len({*ours} & {*theirs})
    assert (keys + others).distinct() == len({*ours} | {*theirs})


def test_no_keys_are_in_none() -> None:
    assert [*Keys().are_in(Keys("ab"))] == []
    assert [*Keys("ab").are_in(Keys())] == [0, 0]
    assert (Keys().distinct(), Keys("aa").distinct(array("b", [0, 0]))) == (0, 0)


def test_a_key_that_was_added_is_a_key() -> None:
    keys = Keys()
    keys.add("a")
    assert [*keys.are_in(Keys("ba"))] == [1]
