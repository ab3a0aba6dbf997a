"""The interface of a data source."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from halo_core.component import Component
from halo_core.feedback import Feedback


@dataclass(frozen=True)
class DataInfo:
    """What a source says of itself without reading its rows.

    Attributes:
        feedback: The kind of every row; None where it cannot be known yet.
        splits: The splits that `load` accepts; empty where they cannot be known yet.
        digest: Names the content: changes when and only when the rows would. A file's hash, a
            revision on the hub, or the options of a generator. None where it cannot be known
            yet (the hub out of reach).
        passed_over: Names of files and folders beside those of the splits that are not read.
    """

    feedback: Feedback | None
    splits: tuple[str, ...]
    digest: str | None
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """The rows of one split.

    Attributes:
        rows: Mappings with the columns of `halo_core.feedback.COLUMNS`; an `id` that names the
            row in messages is welcome, and so is a `group` where rows of several prompts belong
            together (a tree of messages): a hold-out then takes these groups. May be a generator:
            it is consumed once.
        dropped: Reason to number of rows left out. Read after `rows` is consumed, so a generator
            may count while it goes.
        ignored: Column to the number of rows in which it held something that the source does not
            read, and 0 for a column that was to be ignored and that no row has. Read after `rows`
            is consumed, too. Further columns of `rows` itself are counted by the runner.
    """

    rows: Iterable[Mapping[str, Any]]
    dropped: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)


class DataSource(Component):
    """Where feedback comes from, and how it is read."""

    kind: ClassVar[str] = "data"

    @abstractmethod
    def inspect(self) -> DataInfo:
        """Returns kind, splits and digest; cheap.

        Raises:
            PathError: When a path does not exist.
            DataError: When what is there has not the expected columns.
        """

    @abstractmethod
    def load(self, split: str) -> Loaded:
        """Returns the rows of a split, and what was dropped and why.

        Raises:
            DataError: When there is no such split, or a row cannot be read.
        """

    def about_rows(self, split: str) -> int | None:
        """Returns about how many rows `load` would give; None where that is not known.

        For a source whose size was published, so that it is known before a download: `halo plan`
        tells steps and hours by it. Nothing that is computed depends on it.
        """
        return None
