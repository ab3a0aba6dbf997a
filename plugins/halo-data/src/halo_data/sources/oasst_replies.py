"""Groups OpenAssistant's messages by the message that they answer, in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from halo_core.feedback import Message
from halo_core.workspace.spool import Spool
from halo_data.conversions.distinct import Distinct
from halo_data.sources.oasst_trees import OasstMessage

_ROOT = 0
"""Number of the id None, the parent of roots."""


@dataclass(frozen=True)
class ReplyGroup:
    """The assistant's replies to one prompt.

    Attributes:
        asked: The messages from the root to the prompter's message that the replies answer.
        replies: All replies, in the order of the file.
    """

    asked: tuple[OasstMessage, ...]
    replies: tuple[OasstMessage, ...]

    @property
    def prompt(self) -> list[Message]:
        """The prompt as messages."""
        return [{"role": message.role, "content": message.text} for message in self.asked]


class ReplyGroups:
    """The groups of all messages, which wait in a temporary file.

    A message takes about 60 bytes of memory, whatever its text. If several messages have one id,
    the replies to it belong to the first.

    Args:
        messages: Messages of any number of trees in any order.
    """

    def __init__(self, messages: Iterable[OasstMessage]) -> None:
        self._ids = Distinct()
        self._ids.number(None)
        # By the number of an id: its first and its last reply. 0 is none, or a message + 1.
        self._first, self._last = array("I", [0]), array("I", [0])
        # By the number of a message: its id, its place in the file, and its next sibling.
        self._own, self._places, self._next = array("I"), array("Q"), array("I")
        self._is_reply = bytearray()
        self._file = Spool()
        for message in messages:
            self._add(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[ReplyGroup]:
        """Yields the groups tree by tree, and the replies of each in the order of the file."""
        known: dict[int, OasstMessage] = {}
        for path in self._prompts():
            known = {number: known.get(number) or self._message(number) for number in path}
            replies = [self._message(number) for number in self._replies(path[-1])]
            yield ReplyGroup(tuple(known.values()), tuple(replies))

    def trees(self) -> Iterator[str]:
        """Yields the tree of each group, in the same order."""
        for path in self._prompts():
            yield self._message(path[0]).tree

    def lost(self) -> int:
        """Returns the number of replies under no known root."""
        reached = sum(1 for path in self._prompts() for _ in self._replies(path[-1]))
        return sum(self._is_reply) - reached

    def _add(self, message: OasstMessage) -> None:
        number = len(self._own) + 1
        own, parent = self._id(message.id), self._id(message.parent)
        if last := self._last[parent]:
            self._next[last - 1] = number
        else:
            self._first[parent] = number
        self._last[parent] = number
        self._own.append(own)
        self._next.append(0)
        self._is_reply.append(message.role == "assistant")
        self._places.append(self._file.add(asdict(message)))

    def _id(self, id_: str | None) -> int:
        number = self._ids.number(id_)
        if number == len(self._first):
            self._first.append(0)
            self._last.append(0)
        return number

    def _message(self, number: int) -> OasstMessage:
        return OasstMessage(**self._file.at(self._places[number]))

    def _prompts(self) -> Iterator[list[int]]:
        """Yields the path from the root to each prompter's message that has replies."""
        for path in self._paths():
            is_prompt = not self._is_reply[path[-1]]
            if is_prompt and next(self._replies(path[-1]), None) is not None:
                yield path

    def _paths(self) -> Iterator[list[int]]:
        """Yields the path to each message, from its root. A message comes before its replies."""
        path: list[int] = []
        met = bytearray(len(self._first))
        there = self._first[_ROOT]
        while there or path:
            if not there:
                there = self._next[path.pop()]
                continue
            number, own = there - 1, self._own[there - 1]
            if met[own]:  # Its replies are those of the first message with this id.
                there = self._next[number]
                continue
            met[own] = 1
            path.append(number)
            yield path
            there = self._first[own]

    def _replies(self, number: int) -> Iterator[int]:
        """Yields the numbers of the assistant's replies to a message."""
        there = self._first[self._own[number]]
        while there:
            if self._is_reply[there - 1]:
                yield there - 1
            there = self._next[there - 1]
