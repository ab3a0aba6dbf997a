from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from halo_core.cli.group import halo
from halo_core.errors import DataError
from halo_data.components import (
    HH,
    Jsonl,
    Mixture,
    PairedToBinary,
    PairedToDemonstration,
    SplitOf,
    Toy,
)

Write = Callable[..., str]


def read(source: Any, split: str = "train") -> tuple[list[dict[str, Any]], dict[str, int]]:
    loaded = source.load(split)
    rows = [dict(row) for row in loaded.rows]
    return rows, dict(loaded.dropped)


def pairs(name: str, count: int) -> list[dict[str, Any]]:
    return [
        {"prompt": f"{name} {i}?", "chosen": f"good {i}", "rejected": f"bad {i}"}
        for i in range(count)
    ]


@pytest.fixture
def two(write_rows: Write) -> list[Any]:
    """A source of 10 pairs and one of 4."""
    first, second = write_rows(pairs("a", 10), "a.jsonl"), write_rows(pairs("b", 4), "b.jsonl")
    return [Jsonl(path=first), Jsonl(path=second)]


def times(source: Any, name: str) -> list[int]:
    rows, _ = read(source)
    found = Counter(
        row["prompt"][0]["content"] for row in rows if row["prompt"][0]["content"][0] == name
    )
    return sorted(found.values())


def test_without_weights_every_row_comes_once(two: list[Any]) -> None:
    rows, dropped = read(Mixture(sources=two))
    assert len(rows) == 14
    assert len({row["id"] for row in rows}) == 14
    assert dropped == {}


def test_weight_is_how_often_a_row_comes(two: list[Any]) -> None:
    source = Mixture(sources=two, weights=[1.0, 2.0])
    assert times(source, "a") == [1] * 10
    assert times(source, "b") == [2] * 4


def test_weight_between_whole_numbers_repeats_a_share_of_the_rows(two: list[Any]) -> None:
    source = Mixture(sources=two, weights=[1.3, 2.5])
    assert times(source, "a") == [1] * 7 + [2] * 3
    assert times(source, "b") == [2] * 2 + [3] * 2


def test_weight_below_one_leaves_rows_out_and_counts_them(two: list[Any]) -> None:
    source = Mixture(sources=two, weights=[0.3, 1.0])
    assert times(source, "a") == [1] * 3
    assert read(source)[1] == {"not drawn by its weight": 7}


def test_same_seed_draws_the_same_rows(two: list[Any]) -> None:
    drawn = [read(Mixture(sources=two, weights=[0.3, 1.0], seed=s))[0] for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_repeated_rows_have_ids_of_their_own(two: list[Any]) -> None:
    rows, _ = read(Mixture(sources=two, weights=[2.5, 3.0]))
    assert len({row["id"] for row in rows}) == len(rows) == 25 + 12


def test_halo_data_counts_what_a_weight_repeats_and_leaves_out(write_rows: Write) -> None:
    sources = [
        f"{{use: jsonl, path: {write_rows(pairs(name, count), f'{name}.jsonl')}}}"
        for name, count in (("a", 10), ("b", 4))
    ]
    given = ["--set", f"sources=[{', '.join(sources)}]", "--set", "weights=[0.3, 2.5]"]
    told = CliRunner().invoke(halo, ["data", "mixture", *given, "--show", "0"]).output
    assert "mixture: 13 rows of paired feedback, 7 prompts" in told
    assert "  dropped 7: not drawn by its weight\n  6 repeat an earlier row\n" in told


@pytest.mark.parametrize("conversion", [PairedToBinary, PairedToDemonstration])
def test_conversion_of_a_mixture_keeps_its_repetitions(conversion: Any, two: list[Any]) -> None:
    rows, dropped = read(conversion(source=Mixture(sources=two, weights=[1.0, 2.0])))
    per_pair = 2 if conversion is PairedToBinary else 1
    assert len(rows) == (10 + 2 * 4) * per_pair
    assert dropped == {}


def test_mixture_of_mixtures_keeps_its_repetitions(two: list[Any]) -> None:
    inner = Mixture(sources=[two[1]], weights=[2.0])
    rows, dropped = read(PairedToDemonstration(source=Mixture(sources=[inner], weights=[2.0])))
    assert (len(rows), dropped) == (16, {})


def test_what_the_sources_dropped_is_counted(real_data: Path) -> None:
    folders = [real_data / "hh" / name for name in ("helpful-base", "helpful-online")]
    rows, dropped = read(Mixture(sources=[HH(path=str(f)) for f in folders]), "test")
    assert len(rows) == 2348 + 1131
    assert dropped == {"empty side": 7, "identical sides": 5}


def test_splits_are_those_of_all_sources(two: list[Any]) -> None:
    assert Mixture(sources=[two[0], Toy()]).inspect().splits == ("train",)


def test_sources_without_a_common_split_are_an_error(tmp_path: Path, write_rows: Write) -> None:
    for folder, splits in (("one", ("a", "b")), ("two", ("c", "d"))):
        (tmp_path / folder).mkdir()
        for split in splits:
            write_rows(pairs("p", 1), f"{folder}/{split}.jsonl")
    sources = [Jsonl(path=str(tmp_path / name)) for name in ("one", "two")]
    with pytest.raises(DataError, match=r"mixture: no split is in all sources; they have a, b; c"):
        Mixture(sources=sources).inspect()


def test_each_source_may_name_its_own_split(tmp_path: Path, write_rows: Write) -> None:
    for folder, split in (("one", "valid"), ("two", "held-out")):
        (tmp_path / folder).mkdir()
        write_rows(pairs(folder, 2), f"{folder}/{split}.jsonl")
        write_rows(pairs(f"{folder}-other", 1), f"{folder}/test.jsonl")
    sources = [
        SplitOf(source=Jsonl(path=str(tmp_path / "one")), name="valid"),
        SplitOf(source=Jsonl(path=str(tmp_path / "two")), name="held-out"),
    ]
    mixture = Mixture(sources=sources, weights=[1.0, 2.0])
    assert mixture.inspect().splits == ("train",)
    rows, _ = read(mixture)
    asked = Counter(row["prompt"][0]["content"] for row in rows)
    assert asked == {"one 0?": 1, "one 1?": 1, "two 0?": 2, "two 1?": 2}


def test_split_of_a_source_is_part_of_its_digest() -> None:
    made = [SplitOf(source=Toy(size=20), name=name) for name in ("train", "test")]
    assert made[0].inspect().digest != made[1].inspect().digest
    assert read(made[1])[0] == read(Toy(size=20), "test")[0]


def test_split_of_a_source_answers_to_no_other_name() -> None:
    source = SplitOf(source=Toy(size=20), name="test")
    with pytest.raises(DataError, match="split-of: no split 'test': the source has the split 't"):
        source.load("test")
    with pytest.raises(DataError, match=r"split-of: no split 'tets'\. Did you mean 'test'\?"):
        SplitOf(source=Toy(size=20), name="tets").inspect()


def test_sources_of_different_kinds_are_an_error(two: list[Any]) -> None:
    with pytest.raises(DataError, match="mixture: the sources hold binary and paired feedback"):
        Mixture(sources=[*two, Toy(feedback="binary")]).inspect()


def test_weights_must_be_one_for_each_source(two: list[Any]) -> None:
    with pytest.raises(ValidationError, match="1 weights for 2 sources; expected one each"):
        Mixture(sources=two, weights=[1.0])


def test_weight_that_leaves_nothing_is_an_error(two: list[Any]) -> None:
    with pytest.raises(DataError, match=r"mixture: weights\[1\]: 0\.1 of 4 rows leaves none"):
        read(Mixture(sources=two, weights=[1.0, 0.1]))


def test_weights_and_order_change_the_digest(two: list[Any]) -> None:
    made = [
        Mixture(sources=two),
        Mixture(sources=two, weights=[1.0, 2.0]),
        Mixture(sources=two[::-1]),
        Mixture(sources=two, seed=1),
    ]
    assert len({mixture.inspect().digest for mixture in made}) == len(made)
