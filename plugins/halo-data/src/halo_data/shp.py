"""The data source `shp`: Stanford Human Preferences, comments ranked by their readers' votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from halo_core.component import Location
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.json_objects import objects
from halo_data import published_sizes
from halo_data.forms import Record
from halo_data.hub_access import commit_of, digest_of, hub_records
from halo_data.local_files import content_digest
from halo_data.outcome import kept
from halo_data.part_files import first_object, part_files
from halo_data.shp_pairs import Records, check_columns, pairs_of_posts
from halo_data.splits import of_split

Domain = Literal[
    "askacademia",
    "askanthropology",
    "askbaking",
    "askcarguys",
    "askculinary",
    "askdocs",
    "askengineers",
    "askhistorians",
    "askhr",
    "askphilosophy",
    "askphysics",
    "askscience",
    "asksciencefiction",
    "asksocialscience",
    "askvet",
    "changemyview",
    "explainlikeimfive",
    "legaladvice",
]
HUB = "stanfordnlp/SHP"
SPLITS = ("train", "validation", "test")
DOMAINS: tuple[str, ...] = get_args(Domain)


class SHP(DataSource):
    """Pairs of comments on a post, the one with more votes first.

    The training split has, as in the report, only pairs with a score ratio of at least 2 and at
    most 5 pairs per post; validation and test are served whole.
    """

    citation = "Ethayarajh et al. 2022, Understanding Dataset Difficulty with V-Usable Information"

    path: Annotated[str, Location()] | None = Field(
        default=None,
        description="The original files: a folder of domains, the folder of one domain, or one "
        "file of JSON lines; the hub when left out",
    )
    domain: Domain | None = Field(
        default=None, description="The domain (subreddit) to read; all that are there when left out"
    )
    hub: str = Field(default=HUB, min_length=1, description="Id of the data set on the hub")
    revision: str | None = Field(
        default=None, description="Branch, tag or commit on the hub; its main branch when left out"
    )
    min_ratio: float = Field(
        default=2.0, ge=1, description="Least ratio of the higher to the lower score of a pair"
    )
    max_pairs: int | None = Field(
        default=5,
        ge=1,
        description="Most pairs of one post, chosen by the hash of the comments' ids; null: all",
    )
    filtered: Literal["train", "all"] = Field(
        default="train", description="The splits that min_ratio and max_pairs apply to"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.path is not None and (self.revision is not None or self.hub != HUB):
            raise ValueError("path reads local files; hub and revision have no effect: leave out")
        return self

    def inspect(self) -> DataInfo:
        """Returns the splits and the hash of the files, or the commit on the hub."""
        rules = f"{self.min_ratio} {self.max_pairs} {self.filtered}"
        if self.path is None:
            commit = commit_of(self.hub, self.revision)
            return DataInfo("paired", SPLITS, digest_of(self.hub, commit, self.domain, rules))
        splits = self._files()
        paths = sorted({path for files in splits.values() for _, path in files})
        for path in paths:
            _check(path)
        return DataInfo("paired", tuple(splits), content_digest(paths, rules))

    def load(self, split: str) -> Loaded:
        """Returns the pairs of a split; those of a post together, its best comment first."""
        dropped: Counter[str] = Counter()
        records = self._hub_records(split) if self.path is None else self._local_records(split)
        filtered = self.filtered == "all" or split == "train"
        min_ratio, max_pairs = (self.min_ratio, self.max_pairs) if filtered else (1.0, None)
        return Loaded(kept(pairs_of_posts(records, min_ratio, max_pairs), dropped), dropped)

    def about_rows(self, split: str) -> int | None:
        """Returns about the number of pairs; None where files, domain or filters are others."""
        if self.path is not None or self.hub != HUB or self.domain is not None:
            return None
        if self.filtered == "train" and split != "train":
            return published_sizes.SHP.get(split)
        if (self.min_ratio, self.max_pairs) == (1.0, None):
            return published_sizes.SHP.get(split)
        usual = (self.min_ratio, self.max_pairs) == (2.0, 5) and split == "train"
        return published_sizes.SHP_FILTERED if usual else None

    def _files(self) -> Mapping[str, list[tuple[str, Path]]]:
        path = Path(str(self.path))
        return part_files(path, self.domain, parts=DOMAINS, splits=SPLITS, word="domain")

    def _local_records(self, split: str) -> Records:
        files = of_split(self._files(), split, str(self.path))
        return lambda: (
            Record(f"{domain}/{split}:{number}", f"{path}:{number}", given)
            for domain, path in files
            for number, given in objects(path)
        )

    def _hub_records(self, split: str) -> Records:
        of_split(dict.fromkeys(SPLITS), split, self.hub)
        return lambda: hub_records(
            self.hub,
            split=split,
            revision=self.revision,
            data_dir=self.domain,
            prefix=self.domain,
        )


def _check(path: Path) -> None:
    number, given = first_object(path)
    check_columns(Record("first", f"{path}:{number}", given))
