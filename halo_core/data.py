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
    """A source's description of itself, made without reading its rows.

    Attributes:
        feedback: The kind of feedback of every row; None if it is not known yet.
        splits: The splits that `load` accepts; empty if they are not known yet.
        digest: A name of the content, which changes exactly when the rows change: a file's hash, a
            revision on the hub, or the options of a generator. None if it is not known yet
            (because the hub cannot be reached, for example).
        passed_over: Names of files and folders next to those of the splits that are not read.
        read_as: Lines for people: how the columns are read, if the source decides it by their
            names, for example ``kto.csv: binary; label <- label``.
        idle: Pairs of a split and an option whose given value has no effect on this split. A plan
            and a run say so.
    """

    feedback: Feedback | None
    splits: tuple[str, ...]
    digest: str | None
    passed_over: tuple[str, ...] = ()
    read_as: tuple[str, ...] = ()
    idle: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Loaded:
    """The rows of one split.

    Attributes:
        rows: Mappings with the columns of `halo_core.feedback.COLUMNS`. They may have an `id`,
            which names the row in messages, and a `group` if rows of several prompts belong
            together (such as a tree of messages), which a hold-out then keeps together. It may be
            a generator, because it is consumed once.
        dropped: Number of dropped rows by reason. It is read after `rows` is consumed, so a
            generator may count while it runs.
        ignored: Number of rows with a value, by column that the source does not read. The number
            is 0 for a column that should be ignored but is in no row. It is also read after `rows`
            is consumed. The runner counts further columns of `rows` itself.
    """

    rows: Iterable[Mapping[str, Any]]
    dropped: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)


class DataSource(Component):
    """A source of feedback, and the way to read it."""

    kind: ClassVar[str] = "data"

    @abstractmethod
    def inspect(self) -> DataInfo:
        """Returns the kind of feedback, the splits and the digest. Must be cheap.

        Raises:
            PathError: When a path does not exist.
            DataError: When the data do not have the expected columns.
        """

    @abstractmethod
    def load(self, split: str) -> Loaded:
        """Returns the rows of a split, and the number of dropped rows by reason.

        Raises:
            DataError: When there is no such split, or a row cannot be read.
        """

    def about_rows(self, split: str) -> int | None:
        """Returns the approximate number of rows that `load` would give; None if unknown.

        This is for a source whose published size is known before a download. `halo plan` uses it to
        estimate steps and hours. No result depends on it.
        """
        return None
