"""The name of a file decides whether it may be used for training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from halo_core.cli.group import halo
from halo_core.errors import DataError
from halo_data.components import HH, OASST, SHP, Jsonl, Mixture, QAFeedback, SplitOf

Write = Callable[..., str]
ROW = {"prompt": "q", "completion": "a"}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("test", "test"),
        ("valid", "valid"),
        ("validation", "validation"),
        ("dev", "dev"),
        ("eval", "eval"),
        ("val", "val"),
        ("Test", "test"),
        ("test2", "test"),
        ("my-test", "test"),
        ("test_prefs", "test"),
        ("test-00000-of-00001", "test"),
        ("held_out", "heldout"),
    ],
)
@pytest.mark.parametrize("ending", [".jsonl", ".json"])
def test_a_file_that_is_tested_on_is_never_train(
    name: str, split: str, ending: str, write_rows: Write
) -> None:
    path = write_rows([ROW], f"{name}{ending}")
    assert Jsonl(path=path).inspect().splits == (split,)
    with pytest.raises(DataError, match="no split 'train'"):
        Jsonl(path=path).load("train")
    assert len(list(Jsonl(path=path).load(split).rows)) == 1


@pytest.mark.parametrize("name", ["train", "thumbs", "latest", "contest", "developers", "2024"])
def test_any_other_lone_file_is_train(name: str, write_rows: Write, tmp_path: Path) -> None:
    path = write_rows([ROW], f"{name}.jsonl")
    assert Jsonl(path=path).inspect().splits == ("train",)
    assert Jsonl(path=str(tmp_path)).inspect().splits[0] == "train"


@pytest.mark.parametrize("names", [("valid",), ("test", "dev")])
def test_a_folder_of_such_files_has_no_training_split(
    names: tuple[str, ...], write_rows: Write, tmp_path: Path
) -> None:
    for name in names:
        write_rows([ROW], f"{name}.jsonl")
    assert Jsonl(path=str(tmp_path)).inspect().splits == tuple(sorted(names))


def test_a_spec_without_a_split_is_told_which_there_are(write_rows: Write) -> None:
    path = write_rows([ROW], "test.jsonl")
    done = CliRunner().invoke(halo, ["data", "jsonl", "--set", f"path={path}"])
    assert (
        "no split 'train', which is the default; its splits are test. Name one with split: NAME. "
        "(A file named like test data, such as test or valid, is never read as 'train')"
    ) in str(done.exception.errors[0])


def test_a_split_that_is_named_may_be_used(write_rows: Write) -> None:
    source = SplitOf(source=Jsonl(path=write_rows([ROW], "test.jsonl")), name="test")
    assert len(list(source.load("train").rows)) == 1


def test_sources_of_known_data_keep_to_it_too(real_data: Path, tmp_path: Path) -> None:
    dev = QAFeedback(path=str(real_data / "finegrained" / "dev_feedback.json"))
    assert dev.inspect().splits == ("dev",)
    assert HH(path=str(real_data / "hh" / "helpful-base")).inspect().splits == ("test",)
    path = tmp_path / "valid.jsonl"
    path.write_bytes((real_data / "oasst" / "flat_messages.jsonl").read_bytes())
    assert OASST(path=str(path)).inspect().splits == ("valid",)
    with pytest.raises(DataError, match="holdout would train on most of a file called 'valid'"):
        OASST(path=str(path), holdout=0.1).inspect()


def test_qa_feedback_files_are_splits_of_a_folder(real_data: Path, tmp_path: Path) -> None:
    lines = (real_data / "finegrained" / "dev_feedback.json").read_bytes()
    for name in ("train", "dev"):
        (tmp_path / f"{name}_feedback.json").write_bytes(lines)
    assert QAFeedback(path=str(tmp_path)).inspect().splits == ("dev", "train")


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: Mixture(sources=[s])])
def test_what_lies_beside_the_files_is_told(
    wrap: Callable[[Any], Any], write_rows: Write, tmp_path: Path
) -> None:
    write_rows([ROW])
    (tmp_path / "more").mkdir()
    write_rows([ROW], "more/train.jsonl")
    for name in ("train.csv", ".hidden"):
        (tmp_path / name).write_text("a")
    source = wrap(Jsonl(path=str(tmp_path)))
    assert source.inspect().passed_over == ("more/", "train.csv")
    assert wrap(Jsonl(path=str(tmp_path / "train.jsonl"))).inspect().passed_over == ()


def test_parts_tell_what_lies_beside_them(real_data: Path) -> None:
    hh = HH(path=str(real_data / "hh"), subset="helpful-base").inspect()
    assert hh.passed_over == ("LICENSE", "edge_cases_helpful.jsonl")
    assert SHP(path=str(real_data / "shp_fixture")).inspect().passed_over == ("make_fixture.py",)
