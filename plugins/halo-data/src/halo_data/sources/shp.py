"""The data source `shp`: Stanford Human Preferences, comments ranked by readers' votes."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.option_markers import Location
from halo_data.files.local import check_one_origin
from halo_data.files.parted import Parted
from halo_data.rows.dropped import kept
from halo_data.rows.ignored import count_ignored
from halo_data.sources import published_sizes
from halo_data.sources.shp_pairs import check_columns, pairs_of_posts

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
COLUMNS = (
    *("post_id", "domain", "upvote_ratio", "history", "labels", "seconds_difference"),
    *("score_ratio", "c_root_id_A", "c_root_id_B", "created_at_utc_A", "created_at_utc_B"),
    *("score_A", "score_B", "human_ref_A", "human_ref_B"),
)


class SHP(DataSource):
    """Pairs of comments on a post, with the comment that has more votes as the chosen one.

    As in the report, the training split has only pairs with a score ratio of at least 2, and at
    most 5 pairs per post. The splits validation and test are complete.
    """

    citation = "Ethayarajh et al. 2022, Understanding Dataset Difficulty with V-Usable Information"

    path: Annotated[str, Location()] | None = Field(
        default=None,
        description="The original files: a folder of domains, the folder of one domain, or one "
        "file of JSON lines. Default: the hub.",
    )
    domain: Domain | None = Field(
        default=None, description="The domain (subreddit) to read. Default: all existing domains."
    )
    hub: str = Field(default=HUB, min_length=1, description="Id of the data set on the hub.")
    revision: str | None = Field(
        default=None, description="Branch, tag or commit on the hub. Default: the main branch."
    )
    min_ratio: float = Field(
        default=2.0, ge=1, description="Smallest ratio of the higher to the lower score of a pair."
    )
    max_pairs: int | None = Field(
        default=5,
        ge=1,
        description="Maximum number of pairs of a post, chosen by the hash of the comments' ids; "
        "null for all.",
    )
    filtered: Literal["train", "all"] = Field(
        default="train", description="The splits that min_ratio and max_pairs apply to."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        check_one_origin(self.path, self.revision, self.hub, HUB)
        return self

    def inspect(self) -> DataInfo:
        """Returns the splits and the hash of the files, or the commit on the hub."""
        rules = f"{self.min_ratio} {self.max_pairs} {self.filtered}"
        return self._parted().info(check_columns, rules)

    def load(self, split: str) -> Loaded:
        """Returns the pairs of a split, grouped by post with the best comment first."""
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        records = self._parted().records(split, (self.domain,))
        filtered = self.filtered == "all" or split == "train"
        min_ratio, max_pairs = (self.min_ratio, self.max_pairs) if filtered else (1.0, None)
        passes = iter((ignored, Counter[str]()))
        outcomes = pairs_of_posts(
            # The rows are read twice and counted once.
            lambda: count_ignored(records(), COLUMNS, next(passes)),
            min_ratio,
            max_pairs,
        )
        return Loaded(kept(outcomes, dropped), dropped, ignored)

    def about_rows(self, split: str) -> int | None:
        """Returns the approximate number of pairs; None for other files, domains or filters."""
        if self.path is not None or self.hub != HUB or self.domain is not None:
            return None
        if self.filtered == "train" and split != "train":
            return published_sizes.SHP.get(split)
        if (self.min_ratio, self.max_pairs) == (1.0, None):
            return published_sizes.SHP.get(split)
        usual = (self.min_ratio, self.max_pairs) == (2.0, 5) and split == "train"
        return published_sizes.SHP_FILTERED if usual else None

    def _parted(self) -> Parted:
        return Parted(self.path, self.hub, self.revision, self.domain, DOMAINS, SPLITS, "domain")
