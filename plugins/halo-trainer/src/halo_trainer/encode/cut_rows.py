"""Finds examples that teach nothing after their completions were cut to `max_length`."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np

from halo_trainer.encode.examples import EncodedExample

IDENTICAL = "identical sides when cut to max_length"
ALL_IDENTICAL = "groups of identical completions when cut to max_length"
CONFLICTING = "one completion with both labels when cut to max_length"


class CutRules:
    """Finds completions that the cut made equal. The data source handles those equal before.

    Args:
        max_length: Largest number of tokens of prompt and completion together.
        dropped: Counts the dropped examples by reason.
    """

    def __init__(self, max_length: int, dropped: Counter[str]) -> None:
        self._max_length = max_length
        self._dropped = dropped
        # A completion that fills the room takes 17 bytes here, because all may be cut.
        self._keys, self._texts = array("q"), array("q")
        self._labels = array("b")

    def checked(self, examples: Iterable[EncodedExample]) -> Iterator[EncodedExample]:
        """Yields examples except pairs with equal sides, and remembers single completions.

        A group is left out only if the cut made all its completions equal: a model may have drawn
        the same one several times.
        """
        for example in examples:
            if _is_group(example):
                if self._one_by_the_cut(example):
                    self._dropped[ALL_IDENTICAL] += 1
                    continue
            elif self._identical(example):
                self._dropped[IDENTICAL] += 1
                continue
            if self._filled(example):
                completion = example.completions[0]
                self._keys.append(_key(example))
                self._texts.append(hash(completion.completion_id))
                self._labels.append(completion.desirable)
            yield example

    @cached_property
    def conflicts(self) -> frozenset[int]:
        """The keys of completions that the cut gave both labels. Read it after the last example.

        One text with both labels is part of the data; here, two texts became one by the cut.
        """
        if not self._keys:
            return frozenset()
        keys = np.frombuffer(self._keys, np.int64)
        order = np.argsort(keys)
        keys = keys[order]
        starts = np.flatnonzero(np.diff(keys, prepend=keys[0] ^ 1))
        differ = [
            np.minimum.reduceat(values, starts) != np.maximum.reduceat(values, starts)
            for values in (np.asarray(of)[order] for of in (self._texts, self._labels))
        ]
        return frozenset(keys[starts[differ[0] & differ[1]]].tolist())

    def without_conflicts(self, examples: Iterable[EncodedExample]) -> Iterator[EncodedExample]:
        """Yields examples except those whose completion has both labels."""
        for example in examples:
            if self._filled(example) and _key(example) in self.conflicts:
                self._dropped[CONFLICTING] += 1
            else:
                yield example

    def _filled(self, example: EncodedExample) -> bool:
        # Only a completion that was cut, or that just fits, can use all of the room.
        first = example.completions[0]
        length = len(first.prompt_ids) + len(first.completion_ids)
        return len(example.completions) == 1 and length == self._max_length

    def _one_by_the_cut(self, example: EncodedExample) -> bool:
        texts = {c.completion_id for c in example.completions}
        ids = {c.completion_ids.tobytes() for c in example.completions}
        return len(ids) == 1 and len(texts) > 1

    def _identical(self, example: EncodedExample) -> bool:
        first, *others = (c.completion_ids.tobytes() for c in example.completions)
        return first in others


def _is_group(example: EncodedExample) -> bool:
    return example.completions[0].score is not None


def _key(example: EncodedExample) -> int:
    return hash((example.prompt_id, example.completions[0].completion_ids.tobytes()))
