"""Columns that are not read are named; those that look like feedback are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import datasets
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from halo_core.cli import call
from halo_core.cli.group import halo
from halo_core.data import Loaded
from halo_core.errors import DataError
from halo_data.components import HH, SHP, BinaryToDemonstration, Hub, Jsonl, KeepFraction, Mixture
from halo_data.rows.label_like import looks_like_label

Write = Callable[..., str]
MADE = Path(__file__).parents[3] / "tests" / "made_components.py"
SHOWN = {"prompt": "Where does the ferry leave?", "completion": "Find out yourself."}
TURNS = {
    "messages": [
        {"role": "user", "content": "Where does the ferry leave?"},
        {"role": "assistant", "content": "No idea."},
    ]
}


def ignored(loaded: Loaded) -> tuple[int, dict[str, int]]:
    """Returns the number of rows, and the columns that are not read."""
    count = len(list(loaded.rows))
    return count, dict(loaded.ignored)


NAMES = (
    "rating ratings score scores label_1 labels thumbs thumbs_up thumbsUp thumbsup ktoTag "
    "preference preferences feedback reward rewards quality stars vote votes upvotes is_good "
    "isGood accepted winner better humanRating gpt4_score user_ratings overall-rating is_accepted "
    "LIKES userLabel chosen rejected_response downvotes rankings liked is_correct"
).split()


@pytest.mark.parametrize("name", NAMES)
def test_a_column_that_looks_like_feedback_is_refused(name: str, write_rows: Write) -> None:
    path = write_rows([{**SHOWN, name: 1}])
    for act in (Jsonl(path=path).inspect, lambda: list(Jsonl(path=path).load("train").rows)):
        with pytest.raises(DataError, match=f"the column '{name}' looks like a label") as caught:
            act()
        assert caught.value.location == f"{path}:1"


@pytest.mark.parametrize(
    "name",
    "topic language source id category model created_at user_id annotator labeler worker tokens "
    "target_tokens question background operating underscore started likelihood turn system".split(),
)
def test_other_columns_are_ignored_and_counted(name: str, write_rows: Write) -> None:
    assert not looks_like_label(name)
    path = write_rows([{**SHOWN, name: "a"}, SHOWN, {**SHOWN, name: None}])
    told = {} if name in ("source", "id") else {name: 1}
    assert ignored(Jsonl(path=path).load("train")) == (3, told)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({**SHOWN, "rating": 5}, "demonstration"),
        ({**TURNS, "ktoTag": False}, "demonstration"),
        ({"text": "a", "quality": 3}, "text"),
    ],
)
def test_the_error_says_what_is_looked_for_and_what_to_do(
    row: dict[str, Any], kind: str, write_rows: Write
) -> None:
    name = list(row)[-1]
    with pytest.raises(DataError) as caught:
        Jsonl(path=write_rows([row])).inspect()
    start, _, words = caught.value.message.partition(" Words that are looked for: ")
    assert start == (
        f"the column {name!r} looks like a label, a score or a preference, but the row is read as "
        f"{kind} feedback, and all of it would be learned from as good. Read it with columns: "
        f"{{label: {name}}} (labels: {{up: true, down: false}} says what its values mean), or "
        f"ignore it with ignore_columns: [{name}]."
    )
    assert {"rating", "kto", "thumb", "preference", "winner"} <= set(words.split(", "))


def test_a_later_row_is_refused_where_it_stands(write_rows: Write) -> None:
    path = write_rows([{**SHOWN, "rating": None}, {**SHOWN, "rating": 2, "thumbs_up": True}])
    with pytest.raises(DataError, match="the columns 'rating', 'thumbs_up' look like") as caught:
        list(Jsonl(path=path).load("train").rows)
    assert caught.value.location == f"{path}:2"
    assert "ignore_columns: [rating, thumbs_up]" in caught.value.message


def test_ignore_columns_accepts_by_name_and_tells_what_no_row_has(write_rows: Write) -> None:
    path = write_rows([{**SHOWN, "rating": 5}, SHOWN])
    source = Jsonl(path=path, ignore_columns=["rating", "raitng"])
    assert source.inspect().feedback == "demonstration"
    assert ignored(source.load("train")) == (2, {"rating": 1, "raitng": 0})
    assert source.inspect().digest != Jsonl(path=path, ignore_columns=["rating"]).inspect().digest


def test_a_label_may_be_ignored_on_purpose(write_rows: Write) -> None:
    source = Jsonl(path=write_rows([{**SHOWN, "label": False}]), ignore_columns=["label"])
    assert source.inspect().feedback == "demonstration"
    assert ignored(source.load("train")) == (1, {"label": 1})


def test_a_column_is_not_both_read_and_ignored() -> None:
    with pytest.raises(ValidationError, match="'mark' is read as 'label' and ignored; expected"):
        Jsonl(path="x.jsonl", columns={"label": "mark"}, ignore_columns=["mark"])


@pytest.mark.parametrize(
    "row",
    [
        {**SHOWN, "label": True, "rating": 5},
        {"prompt": "q", "chosen": "a", "rejected": "b", "rating": 5},
        {"prompt": "q", "completions": ["a", "b"], "scores": [1, 2], "rating": 5},
    ],
)
def test_rows_that_have_feedback_may_hold_more_which_is_counted(
    row: dict[str, Any], write_rows: Write
) -> None:
    assert ignored(Jsonl(path=write_rows([row])).load("train")) == (1, {"rating": 1})


def test_what_halo_writes_itself_is_known(write_rows: Write) -> None:
    row = {"v": 1, "id": "a", **SHOWN, "desirable": True, "score": 0.5, "group": "g", "split": "a"}
    row |= {"source": "s", "prompt_id": "p", "finish": "stop"}
    assert ignored(Jsonl(path=write_rows([row])).load("train")) == (1, {})


def test_a_column_that_another_one_is_mapped_over_is_ignored(write_rows: Write) -> None:
    path = write_rows([{"q": "Sky?", "completion": "Blue.", "prompt": "other"}])
    loaded = Jsonl(path=path, columns={"prompt": "q"}).load("train")
    assert ignored(loaded) == (1, {"prompt": 1})


def test_built_in_sources_know_their_columns_and_count_others(
    real_data: Path, tmp_path: Path, write_rows: Write
) -> None:
    assert ignored(SHP(path=str(real_data / "shp_fixture")).load("train")) == (7, {})
    sides = {"chosen": "\n\nHuman: Hi\n\nAssistant: A", "rejected": "\n\nHuman: Hi\n\nAssistant: B"}
    path = write_rows([{**sides, "margin": 1}, sides])
    assert ignored(HH(path=path).load("train")) == (2, {"margin": 1})
    lines = (real_data / "shp_fixture" / "askculinary" / "train.json").read_text().splitlines()
    more = tmp_path / "train.json"
    more.write_text("\n".join(json.dumps({**json.loads(line), "flair": "x"}) for line in lines))
    assert ignored(SHP(path=str(more)).load("train"))[1] == {"flair": len(lines)}


def test_conversions_and_mixtures_hand_the_counts_on(write_rows: Write) -> None:
    source = Jsonl(path=write_rows([{**SHOWN, "label": True, "topic": "a"}] * 2))
    for wrapper in (BinaryToDemonstration(source=source), KeepFraction(source=source)):
        assert ignored(wrapper.load("train"))[1] == {"topic": 2}
    mixed = Mixture(sources=[source, KeepFraction(source=source)], weights=[1.0, 2.0])
    assert ignored(mixed.load("train"))[1] == {"topic": 4}


def test_the_hub_refuses_and_counts_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [{**SHOWN, "rating": 1, "topic": "a"}, {**SHOWN, "rating": None, "topic": "b"}]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    real, cached = datasets.load_dataset, {"cache_dir": str(tmp_path / "cache")}
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: real(*a, **k, **cached))
    with pytest.raises(DataError, match="the column 'rating' looks like"):
        Hub(id=str(folder)).load("train")
    loaded = Hub(id=str(folder), ignore_columns=["rating"]).load("train")
    assert ignored(loaded) == (2, {"rating": 1, "topic": 2})
    labelled = Hub(id=str(folder), columns={"label": "rating"}).load("train")
    assert [row["desirable"] for row in labelled.rows] == [True]
    assert dict(labelled.dropped) == {"no label": 1}


def shown_by(*command: str) -> str:
    done = CliRunner().invoke(halo, command)
    assert done.exit_code == 0, done.output
    return done.output


def json_of(*command: str) -> Any:
    with redirect_stdout(StringIO()) as printed:
        assert call([*command, "--json"]) == 0
    return json.loads(printed.getvalue())


@pytest.fixture
def spec(tmp_path: Path, write_rows: Write) -> Path:
    folder = tmp_path / "rows"
    (folder / "raw").mkdir(parents=True)
    write_rows([{**SHOWN, "topic": "a", "rating": 1}, SHOWN], "rows/train.jsonl")
    (folder / "train.csv").write_text("a\n")
    path = tmp_path / "spec.yaml"
    path.write_text(
        "name: named\nseed: 1\nmodel: {hub: a/b, revision: main}\n"
        f"data: {{train: {{use: jsonl, path: {folder}, ignore_columns: [rating, mark]}}}}\n"
        f"stages: {{learn: {{use: 'file:{MADE}:Learn', data: train, loss: sft}}}}\n"
    )
    return path


TOLD = (
    "train.jsonl: demonstration; prompt <- prompt, completion <- completion",
    "ignored columns: rating (1), topic (1)",
    "ignore_columns names 'mark', which no row has",
    "passed over in the folder: raw/, train.csv",
)
COUNTS = {"mark": 0, "rating": 1, "topic": 1}


def test_data_names_them(spec: Path) -> None:
    shown = shown_by("data", str(spec), "--show", "0")
    assert [line.strip() for line in shown.splitlines()][1:5] == list(TOLD)
    found = json_of("data", str(spec))["sets"]["train"]
    assert (found["ignored_columns"], found["passed_over"]) == (COUNTS, ["raw/", "train.csv"])
    assert found["read_as"] == [TOLD[0]]


def test_plan_names_them_also_where_the_rows_are_there(spec: Path, tmp_path: Path) -> None:
    where = ("--workspace", str(tmp_path / "w"))
    for _ in range(2):
        shown = shown_by("plan", str(spec), *where)
        assert all(shown.count(line) == 1 for line in TOLD)
        (stage,) = json_of("plan", str(spec), *where)["stages"]
        (source,) = stage["data"]["data"]["sources"]
        assert (source["ignored_columns"], source["passed_over"]) == (COUNTS, ["raw/", "train.csv"])


def test_run_names_them_once_a_set_also_where_the_rows_are_there(
    spec: Path, tmp_path: Path
) -> None:
    where = ("--workspace", str(tmp_path / "w"))
    shown_by("plan", str(spec), *where)
    shown = shown_by("run", str(spec), *where)
    assert [shown.count(f"  train: jsonl: {line}") for line in TOLD] == [1] * len(TOLD)
