from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from pydantic import ValidationError

from halo_core.errors import DataError, PathError
from halo_data.components import SHP, PairedToBinary, PairedToDemonstration

Write = Callable[..., str]


def read(source: Any, split: str = "train") -> tuple[list[dict[str, Any]], dict[str, int]]:
    loaded = source.load(split)
    rows = [dict(row) for row in loaded.rows]
    return rows, dict(loaded.dropped)


def raw(folder: Path, split: str) -> list[dict[str, Any]]:
    lines = [
        line
        for domain in sorted(folder.iterdir())
        if (domain / f"{split}.json").is_file()
        for line in (domain / f"{split}.json").read_text(encoding="utf-8").splitlines()
    ]
    return [json.loads(line) for line in lines]


def row(post: str, high: int, low: int, label: int = 1, **given: Any) -> dict[str, Any]:
    """A row in the schema of SHP whose comment A is preferred by label 1."""
    a, b = (high, low) if label else (low, high)
    return {
        "post_id": post,
        "domain": "askvet_train",
        "history": f"Question of {post}?",
        "c_root_id_A": f"{post}-{a}",
        "c_root_id_B": f"{post}-{b}",
        "score_A": a,
        "score_B": b,
        "human_ref_A": f"comment {a}",
        "human_ref_B": f"comment {b}",
        "labels": label,
        "score_ratio": high / low,
        **given,
    }


def test_training_split_keeps_7_of_11_rows_of_the_fixture(real_data: Path) -> None:
    rows, dropped = read(SHP(path=str(real_data / "shp_fixture")))
    assert len(rows) == 7
    assert dropped == {"score ratio below min_ratio": 2, "beyond max_pairs of the post": 2}


def test_counts_of_the_fixture_follow_from_the_rules(real_data: Path) -> None:
    given = raw(real_data / "shp_fixture", "train")
    wide = Counter(r["post_id"] for r in given if r["score_ratio"] >= 2)
    assert (len(given), sum(wide.values()), max(wide.values())) == (11, 9, 7)
    rows, _ = read(SHP(path=str(real_data / "shp_fixture")))
    histories = {r["post_id"]: r["history"] for r in given}
    found = Counter(r["prompt"][0]["content"] for r in rows)
    assert found == {histories[post]: min(5, count) for post, count in wide.items()}


@pytest.mark.parametrize(("split", "count"), [("validation", 1), ("test", 3)])
def test_other_splits_are_served_whole(real_data: Path, split: str, count: int) -> None:
    given = raw(real_data / "shp_fixture", split)
    rows, dropped = read(SHP(path=str(real_data / "shp_fixture")), split)
    assert len(rows) == len(given) == count
    assert dropped == {}


def test_other_splits_can_be_filtered_too(real_data: Path) -> None:
    source = SHP(path=str(real_data / "shp_fixture"), filtered="all", min_ratio=2.0)
    loaded = source.load("validation")
    assert list(loaded.rows) == []
    assert dict(loaded.dropped) == {"score ratio below min_ratio": 1}


def test_all_rows_can_be_kept(real_data: Path) -> None:
    source = SHP(path=str(real_data / "shp_fixture"), min_ratio=1.0, max_pairs=None)
    rows, dropped = read(source)
    assert (len(rows), dropped) == (11, {})


def test_preferred_comment_has_the_higher_score_and_prompt_is_the_history(
    real_data: Path,
) -> None:
    scores = {
        (r["history"], r[f"human_ref_{side}"]): r[f"score_{side}"]
        for r in raw(real_data / "shp_fixture", "train")
        for side in "AB"
    }
    rows, _ = read(SHP(path=str(real_data / "shp_fixture"), min_ratio=1.0, max_pairs=None))
    for found in rows:
        (message,) = found["prompt"]
        history = message["content"]
        assert message["role"] == "user"
        assert scores[history, found["chosen"]] > scores[history, found["rejected"]]
    contents = {found["prompt"][0]["content"] for found in rows}
    assert "Can I freeze fresh basil? " in contents
    assert any("café" in found["chosen"] + found["rejected"] for found in rows)


def test_ratio_of_exactly_two_is_kept_and_one_below_is_not(write_rows: Write) -> None:
    path = write_rows([row("p", 10, 5), row("q", 19, 10)])
    rows, dropped = read(SHP(path=path))
    assert [r["prompt"][0]["content"] for r in rows] == ["Question of p?"]
    assert dropped == {"score ratio below min_ratio": 1}


def test_same_pairs_of_a_post_are_taken_in_any_order(write_rows: Write) -> None:
    given = [row("p", 2 * low + extra, low) for low in (2, 3, 4) for extra in range(4)]
    chosen = []
    for name, rows in (("a.jsonl", given), ("b.jsonl", given[::-1])):
        found, dropped = read(SHP(path=write_rows(rows, name)))
        chosen.append({(r["chosen"], r["rejected"]) for r in found})
        assert dropped == {"beyond max_pairs of the post": 7}
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 5


def test_pairs_of_a_post_are_served_together_best_comment_first(write_rows: Write) -> None:
    path = write_rows([row("p", 10, 5), row("q", 8, 4), row("p", 90, 10), row("q", 30, 4)])
    rows, _ = read(SHP(path=path))
    assert [r["chosen"] for r in rows] == ["comment 90", "comment 10", "comment 30", "comment 8"]


def test_label_against_the_scores_is_dropped_and_counted(write_rows: Write) -> None:
    given = [row("p", 10, 5), row("q", 10, 5, labels=0), row("r", 5, 5)]
    rows, dropped = read(SHP(path=write_rows(given), min_ratio=1.0))
    assert len(rows) == 1
    assert dropped == {"label against the scores": 2}


def test_preference_follows_the_label_on_either_side(write_rows: Write) -> None:
    rows, _ = read(SHP(path=write_rows([row("p", 10, 5, label=1), row("q", 10, 5, label=0)])))
    assert [(r["chosen"], r["rejected"]) for r in rows] == [("comment 10", "comment 5")] * 2


def test_recurring_comments_are_unpaired_once(real_data: Path) -> None:
    source = SHP(path=str(real_data / "shp_fixture"), min_ratio=1.0, max_pairs=None)
    sides: dict[tuple[str, str], set[bool]] = defaultdict(set)
    for given in raw(real_data / "shp_fixture", "train"):
        for side in "AB":
            key = given["history"], given[f"human_ref_{side}"]
            sides[key].add((given["labels"] == 1) == (side == "A"))
    rows, _ = read(PairedToBinary(source=source))
    expected = {(*key, labels == {True}) for key, labels in sides.items() if len(labels) == 1}
    found = [(r["prompt"][0]["content"], r["completion"], r["desirable"]) for r in rows]
    assert set(found) == expected
    assert len(found) == len(expected)


def test_demonstration_is_the_comment_of_highest_score(real_data: Path) -> None:
    source = SHP(path=str(real_data / "shp_fixture"))
    best: dict[str, tuple[int, str]] = {}
    for given in raw(real_data / "shp_fixture", "test"):
        for side in "AB":
            scored = given[f"score_{side}"], given[f"human_ref_{side}"]
            best[given["history"]] = max(best.get(given["history"], (0, "")), scored)
    rows, _ = read(PairedToDemonstration(source=source, take="first"), "test")
    assert len(rows) == len(best) == 2
    found = {r["prompt"][0]["content"]: r["completion"] for r in rows}
    assert found == {history: text for history, (_, text) in best.items()}
    first: dict[str, str] = {}
    for pair in read(source, "test")[0]:
        first.setdefault(pair["prompt"][0]["content"], pair["chosen"])
    assert first == found


def test_one_domain_can_be_read_by_name_by_folder_and_by_file(real_data: Path) -> None:
    folder = real_data / "shp_fixture"
    sources = (
        SHP(path=str(folder), domain="askengineers"),
        SHP(path=str(folder / "askengineers")),
        SHP(path=str(folder / "askengineers" / "train.json")),
    )
    ids = [[r["id"] for r in read(source)[0]] for source in sources]
    assert ids == [["askengineers/train:1"]] * 3


def test_domain_that_is_not_there_names_those_that_are(real_data: Path) -> None:
    source = SHP(path=str(real_data / "shp_fixture"), domain="askvet")
    with pytest.raises(
        PathError, match="there is no domain 'askvet' here; there is askculinary, askengineers"
    ):
        source.inspect()


def test_other_schema_is_an_error_of_shp(write_rows: Write) -> None:
    with pytest.raises(DataError, match=r"train\.jsonl:1: got the columns prompt, without 'post_i"):
        SHP(path=write_rows([{"prompt": "Sky?"}])).inspect()
    wrong = row("p", 10, 5, labels=2)
    with pytest.raises(DataError, match="got column 'labels' is 2; expected the original schema"):
        SHP(path=write_rows([wrong])).inspect()


def test_options_decide_on_the_digest(real_data: Path) -> None:
    path = str(real_data / "shp_fixture")
    made = [SHP(path=path), SHP(path=path, min_ratio=3.0), SHP(path=path, max_pairs=2)]
    assert len({source.inspect().digest for source in made}) == 3


def test_revision_beside_a_path_of_shp_is_refused() -> None:
    with pytest.raises(ValidationError, match="hub and revision have no effect"):
        SHP(path="somewhere", revision="main")


@pytest.mark.usefixtures("hub_sizes")
def test_hub_is_asked_for_the_domain_and_read_like_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[dict[str, Any]] = []

    def load_dataset(path: str, name: str | None = None, **given: Any) -> Any:
        calls.append({"path": path, **given})
        return datasets.Dataset.from_list([row("p", 10, 5), row("q", 5, 4)])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    rows, dropped = read(SHP(domain="askvet"), "train")
    assert [r["id"] for r in rows] == ["askvet/train:1"]
    assert dropped == {"score ratio below min_ratio": 1}
    assert calls[0] == {
        "path": "stanfordnlp/SHP",
        "data_dir": "askvet",
        "split": "train",
        "revision": None,
    }
    assert SHP(revision="ab" * 20).inspect().splits == ("train", "validation", "test")
