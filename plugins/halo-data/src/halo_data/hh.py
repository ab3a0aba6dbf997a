"""The data source `hh`: Anthropic's helpful and harmless preferences, from files or the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from halo_core.component import Location
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.json_objects import objects
from halo_data import published_sizes
from halo_data.forms import Record
from halo_data.hub_access import commit_of, digest_of, hub_records
from halo_data.local_files import content_digest
from halo_data.outcome import Dropped, Row, kept
from halo_data.part_files import first_object, part_files
from halo_data.splits import of_split
from halo_data.transcript import is_transcript, transcript_pair

Subset = Literal["helpful-base", "helpful-online", "helpful-rejection-sampled", "harmless-base"]
SUBSETS: tuple[Subset, ...] = (
    "helpful-base",
    "helpful-online",
    "helpful-rejection-sampled",
    "harmless-base",
)
HUB = "Anthropic/hh-rlhf"
SPLITS = ("train", "test")


class HH(DataSource):
    """Pairs of answers from people's dialogues with an assistant, the preferred one first."""

    citation = (
        "Bai et al. 2022, Training a Helpful and Harmless Assistant with Reinforcement "
        "Learning from Human Feedback"
    )

    path: Annotated[str, Location()] | None = Field(
        default=None,
        description="The original files: a folder of subsets, the folder of one subset, or one "
        ".jsonl or .jsonl.gz file; the hub when left out",
    )
    subset: Subset | None = Field(
        default=None, description="The subset to read; all that are there when left out"
    )
    hub: str = Field(default=HUB, min_length=1, description="Id of the data set on the hub")
    revision: str | None = Field(
        default=None, description="Branch, tag or commit on the hub; its main branch when left out"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.path is not None and (self.revision is not None or self.hub != HUB):
            raise ValueError("path reads local files; hub and revision have no effect: leave out")
        return self

    def inspect(self) -> DataInfo:
        """Returns the splits and the hash of the files, or the commit on the hub."""
        if self.path is None:
            digest = digest_of(self.hub, commit_of(self.hub, self.revision), self.subset)
            return DataInfo("paired", SPLITS, digest)
        splits = _local_files(Path(self.path), self.subset)
        paths = sorted({path for files in splits.values() for _, path in files})
        for path in paths:
            _check(path)
        return DataInfo("paired", tuple(splits), content_digest(paths))

    def load(self, split: str) -> Loaded:
        """Returns the pairs of a split by the rules of `halo_data.transcript`."""
        dropped: Counter[str] = Counter()
        records = self._hub_records(split) if self.path is None else self._local_records(split)
        return Loaded(kept(map(_outcome, records), dropped), dropped)

    def about_rows(self, split: str) -> int | None:
        """Returns the published number of pairs; None for local files and other hub ids."""
        if self.path is not None or self.hub != HUB:
            return None
        subsets = SUBSETS if self.subset is None else (self.subset,)
        return sum(published_sizes.HH[subset].get(split, 0) for subset in subsets)

    def _local_records(self, split: str) -> Iterator[Record]:
        splits = _local_files(Path(str(self.path)), self.subset)
        return (
            Record(f"{subset}/{split}:{number}", f"{path}:{number}", given)
            for subset, path in of_split(splits, split, str(self.path))
            for number, given in objects(path)
        )

    def _hub_records(self, split: str) -> Iterator[Record]:
        of_split(dict.fromkeys(SPLITS), split, self.hub)
        return (
            record
            for subset in (SUBSETS if self.subset is None else (self.subset,))
            for record in hub_records(
                self.hub, split=split, revision=self.revision, data_dir=subset, prefix=subset
            )
        )


def _local_files(path: Path, subset: str | None) -> Mapping[str, list[tuple[str, Path]]]:
    return part_files(path, subset, parts=SUBSETS, splits=SPLITS, word="subset")


def _check(path: Path) -> None:
    number, given = first_object(path)
    _outcome(Record("first", f"{path}:{number}", given))


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
