"""A misspelt key is one mistake, at every level of a spec."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.errors import SpecErrors
from halo_core.spec.spec import load_spec

SPEC = """\
name: thumbs
model: {hub: owner/name}
data:
  train: {use: files, path: thumbs.jsonl}
  holdout: 0.5
rounds: {n: 1, stages: [draw, learn]}
stages:
  draw: {use: sample, prompts: test}
  learn: {use: train, loss: {use: kto}, data: train}
"""


def mistakes(folder: Path, *changes: tuple[str, str]) -> list[str]:
    rows = [f'{{"prompt": "{i}", "completion": "b", "label": true}}\n' for i in range(20)]
    (folder / "thumbs.jsonl").write_text("".join(rows))
    text = SPEC
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "spec.yaml").write_text(text)
    with pytest.raises(SpecErrors) as caught:
        load_spec(folder / "spec.yaml")
    return [str(error).partition(" Known:")[0] for error in caught.value.errors]


@pytest.mark.parametrize(
    ("old", "new", "where", "right"),
    [
        ("name: thumbs", "nmae: thumbs", "1:1: nmae: unknown key", "name"),
        ("model:", "modle:", "2:1: modle: unknown key", "model"),
        ("data:\n", "datas:\n", "3:1: datas: unknown key", "data"),
        ("stages:\n", "stage:\n", "7:1: stage: unknown key", "stages"),
        ("hub:", "hbu:", "2:9: model.hbu: unknown key", "hub"),
        ("path:", "pth:", "4:23: data.train.pth: unknown option", "path"),
        ("{use: files", "{ues: files", "4:11: data.train.ues: unknown key", "use"),
        ("n: 1", "nn: 1", "6:10: rounds.nn: unknown key", "n"),
        ("prompts:", "prompt:", "8:23: stages.draw.prompt: unknown option", "prompts"),
        ("{use: train", "{usee: train", "9:11: stages.learn.usee: unknown key", "use"),
        ("{use: kto", "{us: kto", "9:30: stages.learn.loss.us: unknown key", "use"),
    ],
)
def test_a_misspelt_key_is_the_only_mistake(
    tmp_path: Path, old: str, new: str, where: str, right: str
) -> None:
    wrong = where.rpartition(": ")[0].rpartition(": ")[2].rpartition(".")[2]
    expected = f"spec.yaml:{where} {wrong!r}. Did you mean {right!r}?"
    assert mistakes(tmp_path, (old, new)) == [expected]


def test_mistakes_below_a_misspelt_key_are_reported_too(tmp_path: Path) -> None:
    found = mistakes(tmp_path, ("data:\n", "datas:\n"), ("path:", "pth:"), ("hub:", "hbu:"))
    assert [line.split(": ")[1] for line in found] == ["model.hbu", "datas", "data.train.pth"]


def test_a_missing_key_is_reported_next_to_an_unknown_one_that_is_not_similar(
    tmp_path: Path,
) -> None:
    found = mistakes(tmp_path, ("path:", "columns: {}, colour:"))
    assert len(found) == 2
    assert "data.train: 'path' is missing" in found[0]
    assert "unknown option 'colour'" in found[1]


def test_a_misspelt_share_is_not_taken_for_a_data_set(tmp_path: Path) -> None:
    (share,) = mistakes(tmp_path, ("holdout:", "holdot:"))
    assert share == (
        "spec.yaml:5:3: data.holdot: got 0.5; expected a data source: NAME or {use: NAME, ...}. "
        "Did you mean 'holdout'?"
    )


def test_a_misspelt_matrix_is_not_taken_for_a_spec_with_a_matrix(tmp_path: Path) -> None:
    (matrix,) = mistakes(tmp_path, ("name: thumbs", "name: thumbs\nmatrx: {size: {small: {}}}"))
    assert matrix == "spec.yaml:2:1: matrx: unknown key 'matrx'. Did you mean 'matrix'?"
