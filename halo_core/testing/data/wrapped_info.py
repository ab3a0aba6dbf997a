"""Checks what a conversion says before its rows are read, and which kinds of feedback it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import UserError, error_text
from halo_core.feedback import COLUMNS, Feedback
from halo_core.testing.advice import advise
from halo_core.testing.component import expect
from halo_core.testing.data.given_rows import GivenRows
from halo_core.testing.data.mixed_reading import Make
from halo_core.testing.data.mixed_rows import PASSED_OVER, READ_AS, SPLITS, MixedRows

_READ: Counter[str] = Counter()
"""Number of rows that were taken from sources of this module, by their name."""

COUNTED = "counted"


class Counted(MixedRows):
    """`MixedRows` that count how many rows are taken."""

    def load(self, split: str) -> Loaded:
        """Returns the rows, and counts each one that is taken."""
        loaded = super().load(split)

        def rows() -> Iterator[Mapping[str, Any]]:
            for row in loaded.rows:
                _READ[COUNTED] += 1
                yield row

        return Loaded(rows(), loaded.dropped, loaded.ignored)


def check_description(make: Make, *, feedback: Feedback = "paired") -> None:
    """Checks that a conversion passes on what its source says, and reads no rows for it.

    Args:
        make: Returns the source around another one.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: When `inspect` or `about_rows` reads rows, when a split is lost, or when
            `inspect` refuses a source whose kind is not known yet. A name
            of `passed_over` or a line of `read_as` that is lost is advice.
    """
    source = make(Counted(feedback=feedback))
    for name, call in (
        ("inspect()", source.inspect),
        ("about_rows()", lambda: [source.about_rows(split) for split in source.inspect().splits]),
    ):
        _READ.clear()
        call()
        expect(
            not _READ[COUNTED],
            source,
            f"{name} reads {_READ[COUNTED]} rows of the wrapped source; expected none, because "
            "`halo plan` calls it, and the rows may be many: read them in load()",
        )
    info = source.inspect()
    _READ.clear()
    for split in info.splits:
        source.load(split)
    if _READ[COUNTED]:
        advise(
            source,
            f"load() reads {_READ[COUNTED]} rows of the wrapped source before anybody asks for the "
            "first one, so all of them are in memory; let a generator (yield) read them",
        )
    lost = [split for split in SPLITS if split not in info.splits]
    partly = lost and any(split in info.splits for split in SPLITS)
    expect(
        not partly,
        source,
        f"inspect() names the splits {list(info.splits)}, and the wrapped source {list(SPLITS)}; "
        "pass all of them on: dataclasses.replace(info, ...). If it leaves some out on purpose, "
        "say why in unchecked_rules",
    )
    _check_unknown(make, feedback)
    _advise_digest(make, feedback)
    for name, wanted in (("passed_over", PASSED_OVER), ("read_as", READ_AS)):
        if not all(any(text in each for each in getattr(info, name)) for text in wanted):
            advise(
                source,
                f"inspect() has {name} {getattr(info, name)}, and that of the wrapped source is "
                f"{wanted}; pass it on, because halo shows it: dataclasses.replace(info, ...)",
            )


class Unknown(GivenRows):
    """Rows whose content has no name yet, as when the hub cannot be reached."""

    def inspect(self) -> DataInfo:
        """Returns the kind and the splits without a digest."""
        return replace(super().inspect(), digest=None)


class NotRead(GivenRows):
    """Rows of a kind that is not known before they are read, as when the hub cannot be reached."""

    def inspect(self) -> DataInfo:
        """Returns no kind, no splits and no digest."""
        return DataInfo(None, (), None)


def _check_unknown(make: Make, feedback: Feedback) -> None:
    source = make(NotRead(feedback=feedback))
    try:
        source.inspect()
    except Exception as error:
        raise AssertionError(
            f"{source!r}: inspect() around a source whose kind and splits are not known yet "
            f"(DataInfo(None, (), None)) raised {error_text(error)}; expected None and no splits, "
            "because `halo validate` works without a network: if info.feedback not in (None, ...)"
        ) from error


def _advise_digest(make: Make, feedback: Feedback) -> None:
    source = make(Unknown(feedback=feedback))
    digest = source.inspect().digest
    if digest is not None:
        advise(
            source,
            f"the digest is {digest!r} although the wrapped source has none, which means that its "
            "content is not known; halo would take changed data for the same: return None, too",
        )


def check_kinds(make: Make) -> None:
    """Gives advice about each kind of feedback that a conversion neither reads nor refuses.

    It is advice, because such a conversion works around the kinds that it is made for.

    Args:
        make: Returns the source around another one. Its `inspect` should refuse the kinds for which
            `load` raises an error, or leaves out all rows without counting one.
    """
    for feedback in COLUMNS:
        source = make(GivenRows(feedback=feedback))
        try:
            info = source.inspect()
        except UserError:
            continue
        if problem := wrong_with(source, info):
            advise(
                source,
                f"inspect() takes {feedback} feedback, and then {problem}; refuse the kinds that "
                "it cannot read in inspect(): if info.feedback not in (None, ...): raise "
                "DataError(...)",
            )


def wrong_with(source: DataSource, info: DataInfo) -> str:
    """Returns what goes wrong when the rows of a conversion are read; "" if nothing does.

    Args:
        source: A conversion of `GivenRows`.
        info: The result of its `inspect`.
    """
    for split in info.splits:
        try:
            loaded = source.load(split)
            rows = list(loaded.rows)
        except UserError as error:
            return f"load() refuses it: {error.message}"
        except Exception as error:
            return f"load() raises {type(error).__name__}: {error}"
        if not rows and sum(loaded.dropped.values()) <= 3:
            return "load() leaves out all rows and counts none of them"
    return ""


__all__ = ["check_description", "check_kinds", "wrong_with"]
