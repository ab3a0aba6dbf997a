"""The data source `hh`: Anthropic's helpful and harmless preferences, from files or the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.option_markers import Location
from halo_data.files.local import check_one_origin
from halo_data.files.parted import Parted
from halo_data.rows.dropped import Dropped, Row, kept
from halo_data.rows.forms import Record
from halo_data.rows.ignored import count_ignored
from halo_data.rows.transcript import is_transcript, transcript_pair
from halo_data.sources import published_sizes

Subset = Literal["helpful-base", "helpful-online", "helpful-rejection-sampled", "harmless-base"]
SUBSETS: tuple[Subset, ...] = (
    "helpful-base",
    "helpful-online",
    "helpful-rejection-sampled",
    "harmless-base",
)
HUB = "Anthropic/hh-rlhf"
SPLITS = ("train", "test")
COLUMNS = ("chosen", "rejected")


class HH(DataSource):
    """Pairs of answers from people's dialogues with an assistant, the preferred one first."""

    citation = (
        "Bai et al. 2022, Training a Helpful and Harmless Assistant with Reinforcement "
        "Learning from Human Feedback"
    )

    path: Annotated[str, Location()] | None = Field(
        default=None,
        description="The original files: a folder of subsets, the folder of one subset, or one "
        ".jsonl or .jsonl.gz file. Default: the hub.",
    )
    subset: Subset | None = Field(
        default=None, description="The subset to read. Default: all existing subsets."
    )
    hub: str = Field(default=HUB, min_length=1, description="Id of the data set on the hub.")
    revision: str | None = Field(
        default=None, description="Branch, tag or commit on the hub. Default: the main branch."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        check_one_origin(self.path, self.revision, self.hub, HUB)
        return self

    def inspect(self) -> DataInfo:
        """Returns the splits and the hash of the files, or the commit on the hub."""
        return self._parted().info(_outcome)

    def load(self, split: str) -> Loaded:
        """Returns the pairs of a split by the rules of `halo_data.rows.transcript`."""
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        records = self._parted().records(split, self._subsets())
        outcomes = map(_outcome, count_ignored(records(), COLUMNS, ignored))
        return Loaded(kept(outcomes, dropped), dropped, ignored)

    def about_rows(self, split: str) -> int | None:
        """Returns the published number of pairs; None for local files or another hub id."""
        if self.path is not None or self.hub != HUB:
            return None
        return sum(published_sizes.HH[subset].get(split, 0) for subset in self._subsets())

    def _subsets(self) -> Sequence[Subset]:
        return SUBSETS if self.subset is None else (self.subset,)

    def _parted(self) -> Parted:
        return Parted(self.path, self.hub, self.revision, self.subset, SUBSETS, SPLITS, "subset")


def _outcome(record: Record) -> Row | Dropped:
    outcome = transcript_pair(_transcript(record, "chosen"), _transcript(record, "rejected"))
    return outcome if isinstance(outcome, Dropped) else {"id": record.id, **outcome}


def _transcript(record: Record, side: str) -> str:
    text = record.given.get(side)
    if isinstance(text, str) and is_transcript(text):
        return text
    came = f"{text!r:.60}" if side in record.given else f"columns {', '.join(record.given)}"
    raise DataError(
        f"got {came}; expected the original schema, transcripts 'chosen' and 'rejected' that "
        r"start with '\n\nHuman:'. Other data are read by jsonl or hub",
        location=record.place,
    )
