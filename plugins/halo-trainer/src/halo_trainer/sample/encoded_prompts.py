"""The prompts of a sampling stage, whose token ids wait in a temporary file."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from halo_core.workspace.spool import Spool
from halo_models.chat_encoder import EncodedPrompt
from halo_trainer.sample.chat import Chat
from halo_trainer.sample.select_prompts import SamplePrompt, SelectedPrompts


class EncodedPrompts:
    """Prompts in the order of their samples. One takes about 100 bytes of memory.

    Args:
        selected: The prompts of the data set, among which those here are.

    Attributes:
        ids: The id of each prompt.
        lengths: Its number of tokens.
    """

    def __init__(self, selected: SelectedPrompts) -> None:
        self._selected = selected
        self._numbers = array("Q")
        self._places = array("Q")
        self._tokens = Spool("Token ids of prompts wait there until they are answered")
        self.ids: list[str] = []
        self.lengths = array("Q")

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, number: int, id_: str, encoded: EncodedPrompt) -> None:
        """Adds a prompt after the others.

        Args:
            number: Its number among the selected prompts.
            id_: Its id.
            encoded: Its token ids.

        Raises:
            DiskError: When the disk of the temporary files is full, or fails.
        """
        self._numbers.append(number)
        self._places.append(self._tokens.add({"ids": encoded.ids}))
        self.ids.append(id_)
        self.lengths.append(len(encoded.ids))

    def prompt(self, number: int) -> SamplePrompt:
        """Reads a prompt."""
        return self._selected.at(self._numbers[number])

    def tokens(self, number: int) -> list[int]:
        """Reads the token ids of a prompt."""
        ids: list[int] = self._tokens.at(self._places[number])["ids"]
        return ids


def encode_prompts(
    selected: SelectedPrompts, chat: Chat, limit: int, warn: Callable[[str], None]
) -> EncodedPrompts:
    """Returns the prompts that the template can write, with their token ids; see `Chat.encode`."""
    prompts = EncodedPrompts(selected)
    for number, prompt, encoded in chat.encode(selected, limit, warn):
        prompts.add(number, prompt.id, encoded)
    return prompts


class LengthBatches:
    """Batches of prompts of similar length, longest first.

    This keeps padding small, and a batch that is too large fails at once.

    Args:
        prompts: The prompts.
        size: Largest number of prompts in a batch.
    """

    def __init__(self, prompts: EncodedPrompts, size: int) -> None:
        self._size = size
        by_id = sorted(range(len(prompts)), key=prompts.ids.__getitem__)
        lengths: np.ndarray[Any, Any] = np.array(prompts.lengths, dtype=np.int64)
        self._order = np.array(by_id)[np.argsort(-lengths[by_id], kind="stable")]

    def __len__(self) -> int:
        return -(-len(self._order) // self._size)

    def __iter__(self) -> Iterator[list[int]]:
        return map(self.at, range(len(self)))

    def at(self, number: int) -> list[int]:
        """Returns the numbers of a batch's prompts from its own number, from 0."""
        numbers: list[int] = self._order[number * self._size : (number + 1) * self._size].tolist()
        return numbers


def repeated(batch: Sequence[int], copies: int) -> list[int]:
    """Returns the number of the prompt of each sample of a batch.

    >>> repeated([3, 1], 2)
    [3, 3, 1, 1]
    """
    return [number for number in batch for _ in range(copies)]
