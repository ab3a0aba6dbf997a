"""The data source `hh`: Anthropic's helpful and harmless preferences, from files or the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from halo_core.component import Location
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError, PathError
from halo_data.forms import Given, Record
from halo_data.hub_access import commit_of, digest_of, hub_records
from halo_data.local_files import content_digest, objects, split_files
from halo_data.outcome import Dropped, Row, kept
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
        files = _local_files(Path(self.path), self.subset)
        paths = sorted({path for splits in files.values() for path in splits.values()})
        splits = dict.fromkeys(name for splits in files.values() for name in splits)
        return DataInfo("paired", tuple(splits), content_digest(paths))

    def load(self, split: str) -> Loaded:
        """Returns the pairs of a split by the rules of `halo_data.transcript`."""
        dropped: Counter[str] = Counter()
        records = self._hub_records(split) if self.path is None else self._local_records(split)
        return Loaded(kept(map(_outcome, records), dropped), dropped)

    def _local_records(self, split: str) -> Iterator[Record]:
        files = _local_files(Path(str(self.path)), self.subset)
        merged = {name: path for splits in files.values() for name, path in splits.items()}
        of_split(merged, split, str(self.path))
        return (
            Record(f"{subset}/{split}:{number}", f"{splits[split]}:{number}", given)
            for subset, splits in files.items()
            if split in splits
            for number, given in objects(splits[split])
        )

    def _hub_records(self, split: str) -> Iterator[Record]:
        of_split(dict.fromkeys(SPLITS), split, self.hub)
        subsets = SUBSETS if self.subset is None else (self.subset,)
        for subset in subsets:
            yield from hub_records(
                self.hub, split=split, revision=self.revision, data_dir=subset, prefix=subset
            )


def _local_files(path: Path, subset: str | None) -> Mapping[str, Mapping[str, Path]]:
    """Returns subset to split to file."""
    holder = path if path.is_dir() else path.parent
    if subset is not None and holder.name in SUBSETS and holder.name != subset:
        raise PathError(
            f"this is the subset {holder.name!r}, but subset is {subset!r}: leave one out",
            location=str(path),
        )
    if not path.is_dir():
        return {subset or holder.name: split_files(path)}
    wanted = SUBSETS if subset is None else (subset,)
    found = {name: split_files(path / name) for name in wanted if (path / name).is_dir()}
    if found:
        return found
    names = {name: file for name, file in split_files(path).items() if name in SPLITS}
    if not names:
        raise PathError(
            f"neither train.jsonl(.gz) nor test.jsonl(.gz), nor a folder {' or '.join(wanted)}",
            location=str(path),
        )
    return {path.name: names}


def _outcome(record: Record) -> Row | Dropped:
    chosen, rejected = (_transcript(record.given, side, record.place) for side in _SIDES)
    outcome = transcript_pair(chosen, rejected)
    return outcome if isinstance(outcome, Dropped) else {"id": record.id, **outcome}


_SIDES = ("chosen", "rejected")


def _transcript(given: Given, side: str, place: str) -> str:
    text = given.get(side)
    if isinstance(text, str) and is_transcript(text):
        return text
    what = f"the columns {', '.join(map(repr, given))}" if side not in given else f"{text!r:.60}"
    raise DataError(
        f"got {what}; expected the original schema, transcripts 'chosen' and 'rejected' that "
        r"start with '\n\nHuman:'. Other data are read by jsonl or hub",
        location=place,
    )
