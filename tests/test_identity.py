"""What names a stage's output, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.identity import folder_digest
from halo_core.plan import Plan, make_plan
from halo_core.spec.spec import load_spec
from halo_core.workspace.layout import Workspace


def keys(spec_file: Path, **changes: str) -> list[str]:
    overrides = {path.replace("__", "."): text for path, text in changes.items()}
    plan: Plan = make_plan(load_spec(spec_file, overrides), Workspace(spec_file.parent / "w"))
    return [stage.key for stage in plan.stages]


def test_keys_repeat(spec_file: Path) -> None:
    assert keys(spec_file) == keys(spec_file)
    assert len(set(keys(spec_file))) == 3


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "other"),
        ("stages.learn.workers", "2"),
        ("data.train.path", "/elsewhere"),
        ("stages.learn.from", "model"),
    ],
)
def test_what_does_not_change_the_output_does_not_change_the_key(
    spec_file: Path, path: str, value: str
) -> None:
    assert keys(spec_file, **{path.replace(".", "__"): value}) == keys(spec_file)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", "2"),
        ("model.revision", "v2"),
        ("stages.learn.loss.beta", "0.2"),
        ("data.train.prefix", "z"),
        ("data.train.split", "test"),
    ],
)
def test_what_changes_the_output_changes_the_keys_of_all_that_follow(
    spec_file: Path, path: str, value: str
) -> None:
    before, after = keys(spec_file), keys(spec_file, **{path.replace(".", "__"): value})
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_a_change_behind_a_stage_leaves_its_key(spec_file: Path) -> None:
    before, after = keys(spec_file), keys(spec_file, data__test__prefix="z")
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert before[2] != after[2]


def test_a_change_in_a_local_file_changes_the_key(spec_file: Path, tmp_path: Path) -> None:
    source = Path(__file__).with_name("made_components.py").read_text()
    (tmp_path / "mine.py").write_text(source)
    changes = {"stages__learn__loss": f"'file:{tmp_path}/mine.py:PairLoss'"}
    first = keys(spec_file, **changes)
    from halo_core.identity import version

    version.cache_clear()
    (tmp_path / "mine.py").write_text(source + "\n# changed\n")
    assert keys(spec_file, **changes)[0] != first[0]


def test_two_classes_of_one_local_file_have_two_keys(spec_file: Path, tmp_path: Path) -> None:
    source = Path(__file__).with_name("made_components.py").read_text()
    (tmp_path / "mine.py").write_text(source + "\n\nclass Other(PairLoss):\n    pass\n")
    pair, other = (
        keys(spec_file, stages__learn__loss=f"'file:{tmp_path}/mine.py:{name}'")
        for name in ("PairLoss", "Other")
    )
    assert pair[0] != other[0]


def test_a_model_folder_is_named_by_its_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert folder_digest(tmp_path / "a") == folder_digest(tmp_path / "b")
    (tmp_path / "b" / "config.json").write_text("{} ")
    assert folder_digest(tmp_path / "a") != folder_digest(tmp_path / "b")
