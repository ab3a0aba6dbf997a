"""The data source `oasst`: OpenAssistant's replies, ranked by people, from files or the hub."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.hashing import short_hash
from halo_core.option_markers import Location
from halo_core.workspace.json_files import objects
from halo_data.conversions.distinct import Distinct
from halo_data.conversions.of_scores import index_pairs
from halo_data.files.hub import commit_of, digest_of, hub_records
from halo_data.files.local import (
    check_first_rows,
    check_one_origin,
    content_digest,
    of_split,
    passed_over,
    split_files,
    tested_on,
    with_train,
)
from halo_data.rows.dropped import EMPTY_COMPLETION, Dropped, Row, kept
from halo_data.rows.forms import Record
from halo_data.rows.ignored import count_ignored
from halo_data.rows.pairs import pair
from halo_data.sources import published_sizes
from halo_data.sources.oasst_replies import ReplyGroup, ReplyGroups
from halo_data.sources.oasst_trees import OasstMessage, messages_of

HUB = "OpenAssistant/oasst1"
SPLITS = ("train", "validation")
COLUMNS = (
    *("message_tree_id", "tree_state", "prompt", "message_id", "parent_id", "text", "role", "lang"),
    *("rank", "synthetic", "deleted", "model_name", "user_id", "created_date", "review_count"),
    *("review_result", "detoxify", "emojis", "labels", "events", "replies"),
)
"""Columns of trees and of flattened messages."""
NOT_READY = Dropped("tree not ready for export")
OTHER_LANGUAGE = Dropped("another language")
SYNTHETIC = Dropped("synthetic")
DELETED = Dropped("deleted")
UNRANKED = Dropped("unranked")
NO_SIBLING = Dropped("no ranked sibling")
NO_ROOT = Dropped("tree without a root")


class OASST(DataSource):
    """Replies to a prompt, ranked by people, as pairs or as scored groups.

    A reply without a rank is in no pair. All replies of a tree stay on one side of a hold-out.
    """

    citation = "Köpf et al. 2023, OpenAssistant Conversations: Democratizing LLM Alignment"

    path: Annotated[str, Location()] | None = Field(
        default=None,
        description="A file of message trees or of flattened messages (.jsonl, also .gz), or a "
        "folder of <split>.jsonl files. Default: the hub.",
    )
    hub: str = Field(default=HUB, min_length=1, description="Id of the data set on the hub.")
    revision: str | None = Field(
        default=None, description="Branch, tag or commit on the hub. Default: the main branch."
    )
    feedback: Literal["paired", "scored"] = Field(
        default="paired",
        description="paired: two replies with different ranks; scored: all ranked replies of a "
        "prompt, with minus the rank as score.",
    )
    pairs: Literal["adjacent", "all"] = Field(
        default="adjacent",
        description="adjacent: each reply with the next lower one in rank; all: every two replies.",
    )
    language: str | None = Field(
        default="en", description="Language of the prompts and replies; null for any language."
    )
    synthetic: bool = Field(
        default=True, description="Whether to include messages that a model wrote."
    )
    holdout: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of the trees of a single file to serve as split validation, chosen by "
        "the hashes of their ids.",
    )

    @model_validator(mode="after")
    def _all_have_effect(self) -> Self:
        check_one_origin(self.path, self.revision, self.hub, HUB)
        if self.path is None and self.holdout is not None:
            raise ValueError("holdout is for a single file; the hub has the split validation")
        if self.feedback == "scored" and self.pairs != "adjacent":
            raise ValueError("pairs only has an effect with feedback: paired")
        return self

    def inspect(self) -> DataInfo:
        """Returns the kind, the splits and the hash of the files, or the commit on the hub."""
        rules = f"{self.feedback} {self.pairs} {self.language} {self.synthetic} {self.holdout}"
        if self.path is None:
            digest = digest_of(self.hub, commit_of(self.hub, self.revision), rules)
            return DataInfo(self.feedback, SPLITS, digest)
        files = self._files()
        paths = sorted(set(files.values()))
        check_first_rows(paths, lambda record: next(messages_of([record])))
        digest = content_digest(paths, rules)
        beside = passed_over(Path(self.path), paths)
        return DataInfo(self.feedback, tuple(files), digest, beside)

    def load(self, split: str) -> Loaded:
        """Returns the pairs or groups of a split by prompt, with the best reply first."""
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        records = self._hub_records(split) if self.path is None else self._local_records(split)
        known = count_ignored(records, COLUMNS, ignored)
        return Loaded(kept(self._outcomes(known, split), dropped), dropped, ignored)

    def about_rows(self, split: str) -> int | None:
        """Returns the approximate number of English pairs on the hub; None for other data."""
        usual = self.path is None and self.hub == HUB and self.language == "en"
        if not usual or self.feedback != "paired":
            return None
        return published_sizes.OASST_ENGLISH[self.pairs].get(split)

    def _files(self) -> Mapping[str, Path]:
        files = split_files(Path(str(self.path)))
        if self.holdout is None:
            return with_train(files)
        if len(files) > 1:
            raise DataError(
                f"holdout splits a single file, but there are {', '.join(files)}; leave it out",
                location=str(self.path),
            )
        name, file = next(iter(files.items()))
        if tested_on(name):
            raise DataError(
                f"holdout would train on most of a file called {name!r}; expected a training file: "
                f"leave holdout out and name split: {name}, or rename the file",
                location=str(self.path),
            )
        return dict.fromkeys(SPLITS, file)

    def _local_records(self, split: str) -> Iterator[Record]:
        path = of_split(self._files(), split, str(self.path))
        return (Record(str(number), f"{path}:{number}", given) for number, given in objects(path))

    def _hub_records(self, split: str) -> Iterator[Record]:
        of_split(dict.fromkeys(SPLITS), split, self.hub)
        return hub_records(self.hub, split=split, revision=self.revision)

    def _outcomes(self, records: Iterable[Record], split: str) -> Iterator[Row | Dropped]:
        with ReplyGroups(messages_of(records)) as groups:
            yield from [NO_ROOT] * groups.lost()
            if self.holdout is not None:
                _check_parts(groups.trees(), self.holdout, str(self.path))
            for group in groups:
                tree = group.asked[0].tree
                if self.holdout is None or _is_held(tree, self.holdout) == (split == "validation"):
                    yield from self._group(group)

    def _group(self, group: ReplyGroup) -> Iterator[Row | Dropped]:
        ranked: list[OasstMessage] = []
        for reply in group.replies:
            reason = self._reason(group, reply)
            if reason is None:
                ranked.append(reply)
            else:
                yield reason
        if len(ranked) == 1:
            yield NO_SIBLING
        elif ranked:
            yield from self._rows(group, sorted(ranked, key=_rank))

    def _reason(self, group: ReplyGroup, reply: OasstMessage) -> Dropped | None:
        seen = (*group.asked, reply)
        languages = {message.language for message in seen} - {None}
        rules = (
            (not reply.ready, NOT_READY),
            (any(message.deleted for message in seen), DELETED),
            (self.language is not None and bool(languages - {self.language}), OTHER_LANGUAGE),
            (not self.synthetic and any(message.synthetic for message in seen), SYNTHETIC),
            (not reply.text.strip(), EMPTY_COMPLETION),
            (reply.rank is None, UNRANKED),
        )
        # Each reply has one reason, the first that applies, so that the counts add up.
        return next((reason for applies, reason in rules if applies), None)

    def _rows(self, group: ReplyGroup, ranked: list[OasstMessage]) -> Iterator[Row | Dropped]:
        start: dict[str, Any] = {"prompt": group.prompt, "group": group.asked[0].tree}
        scores = [float(-_rank(reply)) for reply in ranked]
        if self.feedback == "scored":
            texts = [reply.text for reply in ranked]
            yield {"id": group.asked[-1].id, **start, "completions": texts, "scores": scores}
            return
        for high, low in index_pairs(scores, self.pairs):
            made = pair(group.prompt, ranked[high].text, ranked[low].text)
            named = {"id": f"{ranked[high].id}>{ranked[low].id}"}
            yield made if isinstance(made, Dropped) else {**named, **made, **start}


def _rank(reply: OasstMessage) -> int:
    assert reply.rank is not None  # Unranked replies are already left out.
    return reply.rank


def _check_parts(trees: Iterable[str], share: float, place: str) -> None:
    """Raises DataError if trees are too few or too large to have some on both sides.

    Args:
        trees: The tree of each prompt with replies.
        share: The share of the hold-out.
        place: The data, for messages.
    """
    names, sizes = Distinct(), array("I")
    largest, most, held, prompts = "", 0, 0, 0
    for tree in trees:
        prompts += 1
        number = names.number(tree)
        if number == len(sizes):
            sizes.append(0)
            held += _is_held(tree, share)
        sizes[number] += 1
        if sizes[number] > most:
            largest, most = tree, sizes[number]
    if 2 * most > prompts:
        raise DataError(
            f"the tree {largest!r} has {most} of {prompts} prompts with replies, more than "
            "half; expected smaller ones, since a hold-out takes whole trees (the `group` of "
            "a row): take more data",
            location=place,
        )
    if sizes and held in (0, len(sizes)):
        raise DataError(
            f"holdout: {share} takes {held} of {len(sizes)} trees (the `group` of a row), by "
            "their hashes; expected some on both sides: take another share or more data",
            location=place,
        )


def _is_held(tree: str, share: float) -> bool:
    return int(short_hash(tree), 16) < share * 16**16
