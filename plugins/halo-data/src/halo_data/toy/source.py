"""The data source `toy`: feedback from a generated world with a known utility."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Literal, Self

from pydantic import Field, model_validator

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.hashing import short_hash
from halo_data.files.local import of_split
from halo_data.rows.dropped import Row
from halo_data.toy.world import VERSION, Question, Split, dialogue, questions, ranked

Kind = Literal["text", "demonstration", "binary", "paired"]
TURNS = (3, 6)
"""Smallest and largest number of turns in a raw dialogue."""
_OF_TRAIN = ("size", "label_noise", "desirable_fraction")
"""Options without effect on the split test."""
TEMPERATURE = 0.4
EVEN = 0.5


class Toy(DataSource):
    """Generated feedback on small questions. Completions may be right, polite and short, or not.

    Row i depends only on (seed, i), so a larger size adds rows and changes none. Demonstration i is
    the chosen completion of pair i. The split `test` has one row per test prompt for every size,
    without label noise and imbalance.
    """

    feedback: Kind = Field(default="paired", description="The kind of feedback to provide.")
    size: int = Field(
        default=2000, ge=1, le=1_000_000, description="Number of rows of the split train."
    )
    seed: int = Field(default=1, ge=0, description="Seed of all random choices.")
    temperature: float = Field(
        default=TEMPERATURE,
        ge=0,
        description="Noise of the comparisons, in units of utility. With 0 the better completion "
        "is always preferred.",
    )
    label_noise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the training rows whose label or order is reversed afterwards.",
    )
    desirable_fraction: float = Field(
        default=EVEN,
        ge=0,
        le=1,
        description="Share of the training rows that are desirable, before label noise (binary).",
    )

    @model_validator(mode="after")
    def _all_have_effect(self) -> Self:
        if self.feedback != "binary" and self.desirable_fraction != EVEN:
            raise ValueError("desirable_fraction only has an effect with feedback: binary")
        if self.feedback == "text" and (self.label_noise or self.temperature != TEMPERATURE):
            raise ValueError("label_noise and temperature have no effect with feedback: text")
        return self

    def inspect(self) -> DataInfo:
        """Returns the kind, the splits train and test, and the hash of options and version."""
        options = f"toy {VERSION} {self.model_dump_json()}"
        digest = short_hash(options, 32)
        fields = type(self).model_fields
        idle = [name for name in _OF_TRAIN if getattr(self, name) != fields[name].default]
        pairs = tuple(("test", name) for name in idle)
        return DataInfo(self.feedback, ("train", "test"), digest, idle=pairs)

    def load(self, split: str) -> Loaded:
        """Returns the rows of a split; nothing is dropped."""
        read = of_split({"train": self._train, "test": self._test}, split, "toy")
        return Loaded(read())

    def _train(self) -> Iterator[Row]:
        asked = questions("train")
        for i in range(self.size):
            rng = self._rng("train", i)
            if self.feedback == "text":
                yield _text("train", i, rng)
                continue
            desirable = _evenly(i, self.desirable_fraction)
            chosen, rejected = ranked(question := rng.choice(asked), self.temperature, rng)
            if rng.random() < self.label_noise:
                yield self._row(f"train:{i}", question, rejected, chosen, desirable)
            else:
                yield self._row(f"train:{i}", question, chosen, rejected, desirable)

    def _test(self) -> Iterator[Row]:
        asked = list(questions("test"))
        # Facts are sorted by family, so without this the first prompts would all ask about animals.
        self._rng("order", 0).shuffle(asked)
        for i, question in enumerate(asked):
            rng = self._rng("test", i)
            if self.feedback == "text":
                yield _text("test", i, rng)
                continue
            chosen, rejected = ranked(question, self.temperature, rng)
            yield self._row(f"test:{i}", question, chosen, rejected, _evenly(i, EVEN))

    def _rng(self, what: str, i: int) -> Random:
        return Random(f"{VERSION}/{self.seed}/{what}/{i}")

    def _row(
        self, row_id: str, question: Question, chosen: str, rejected: str, desirable: bool
    ) -> Row:
        start = {"id": row_id, "prompt": question.prompt}
        if self.feedback == "paired":
            return {**start, "chosen": chosen, "rejected": rejected}
        if self.feedback == "demonstration":
            return {**start, "completion": chosen}
        completion = chosen if desirable else rejected
        return {**start, "completion": completion, "desirable": desirable}


def _text(split: Split, i: int, rng: Random) -> Row:
    return {"id": f"{split}:{i}", "text": dialogue(split, rng.randint(*TURNS), rng)}


def _evenly(i: int, fraction: float) -> bool:
    """Returns whether row i belongs to an evenly spread share of all rows."""
    return int((i + 1) * fraction) > int(i * fraction)
