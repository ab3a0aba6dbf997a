"""If a checkpoint was changed, the earlier one is used, and the final weights are the same bits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from halo_core.errors import DataError, VersionError
from halo_core.events import EventLog, read_events
from halo_core.stage import ModelInput, StageContext
from halo_methods.components import DPO, EMA
from halo_trainer.train.checkpoints.search import find_whole
from halo_trainer.train.options import Train

ROWS = [
    {
        "prompt": [{"role": "user", "content": f"What {i}?"}],
        "chosen": "moo " * (1 + i % 3),
        "rejected": "duck " * (1 + i % 2),
    }
    for i in range(6)
]
FILES = ("weights.safetensors", "optimizer.safetensors", "reference.safetensors", "state.json")
Run = Callable[..., Path]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def gone(path: Path) -> None:
    path.unlink()


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGES: list[Callable[[Path], None]] = [cut, emptied, zeros, gone, one_bit]


class Killed(BaseException):
    """Simulates a kill: nothing in the stage catches it."""


class KilledAtStep6(EventLog):
    """Dies when step 6 is logged."""

    def append(self, type_: str, **fields: Any) -> None:
        if fields.get("step") == 6:
            raise Killed
        super().append(type_, **fields)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def run(
    made: Path,
    make_data: Callable[..., Any],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
) -> Run:
    """Trains in a folder, up to a kill at step 6 if asked to; returns the folder."""

    def train(
        folder: Path,
        *,
        model: ModelInput = tiny_model,
        killed: bool = False,
        warnings: list[str] | None = None,
        **options: Any,
    ) -> Path:
        data = {name: make_data("paired", ROWS, name) for name in ("data", "evaluate.test")}
        models = {"from": model, "reference": model}
        context = make_context(data=data, models=models, warnings=warnings)
        folder.mkdir(parents=True, exist_ok=True)
        log = (KilledAtStep6 if killed else EventLog)(folder / "events.jsonl")
        given: dict[str, Any] = {
            "reference_update": EMA(decay=0.9),
            "checkpoint_every": 2,
            "keep_best": 0,
        }
        stage = Train(
            **{
                "data": "d",
                "evaluate": {"test": "t"},
                "loss": DPO(),
                "batch_size": 3,
                "steps": 7,
                "learning_rate": 0.05,
                "log_every": 1,
                "device": "cpu",
            }
            | given
            | options
        )
        assert not stage.mistakes()
        try:
            stage.run(replace(context, folder=folder, events=log))
        except Killed:
            assert killed
        return folder

    return train


@pytest.fixture
def whole(made: Path, run: Run) -> Path:
    """The folder of a training that was not interrupted."""
    return made / "whole" if (made / "whole").exists() else run(made / "whole")


@pytest.fixture
def killed(made: Path, run: Run, tmp_path: Path) -> Path:
    """A copy of the folder of a training that was killed in step 6."""
    if not (made / "killed").exists():
        run(made / "killed", killed=True)
    return shutil.copytree(made / "killed", tmp_path / "cut")


def checkpoints(folder: Path) -> set[str]:
    return {path.name for path in (folder / "checkpoints").iterdir()} - {"README.md"}


def step(folder: Path, number: int) -> Path:
    return folder / "checkpoints" / f"step-{number:08d}"


def same(folder: Path, other: Path) -> bool:
    found, expected = (load_file(each / "model" / "model.safetensors") for each in (folder, other))
    return all(torch.equal(found[name], expected[name]) for name in expected)


def steps_logged(folder: Path) -> list[int]:
    events = (event for event, _ in read_events(folder / "events.jsonl"))
    return [e["step"] for e in events if e["type"] == "metrics" and "train/loss" in e["metrics"]]


def test_every_file_of_a_checkpoint_has_a_check_value(killed: Path) -> None:
    record = json.loads((step(killed, 4) / "state.json").read_text())
    assert sorted(record["files"]) == sorted(FILES[:-1])
    assert "crc" in record


def check_told(told: str, path: Path) -> None:
    assert told.startswith(f"{path}")
    assert told.endswith(
        "Its checkpoint is set aside as damaged-step-00000004. The training continues from the "
        "checkpoint of step 2"
    )


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", FILES)
def test_every_damage_of_every_file_is_found_and_told(
    killed: Path, name: str, damage: Callable[[Path], None]
) -> None:
    path = step(killed, 4) / name
    damage(path)
    warnings: list[str] = []
    found = find_whole(
        killed / "checkpoints", warnings.append, with_reference=True, exports_best=False
    )
    assert list(found) == [2]
    (told,) = warnings
    check_told(told, path)
    assert checkpoints(killed) == {"step-00000002", "damaged-step-00000004"}


@pytest.mark.parametrize(
    ("name", "damage"),
    zip(FILES, (one_bit, cut, gone, zeros), strict=True),
    ids=lambda given: getattr(given, "__name__", given),
)
def test_the_checkpoint_before_a_damaged_one_gives_the_same_bits(
    run: Run, whole: Path, killed: Path, name: str, damage: Callable[[Path], None]
) -> None:
    assert checkpoints(killed) == {"step-00000002", "step-00000004"}
    path = step(killed, 4) / name
    damage(path)
    before, warnings = len(steps_logged(killed)), []
    run(killed, warnings=warnings)
    assert steps_logged(killed)[before:][0] == 3
    (told,) = (warning for warning in warnings if "damaged-step" in warning)
    check_told(told, path)
    assert same(killed, whole)


def test_without_a_whole_checkpoint_a_training_starts_again(
    run: Run, whole: Path, killed: Path
) -> None:
    cut(step(killed, 4) / "weights.safetensors")
    one_bit(step(killed, 2) / "optimizer.safetensors")
    before, warnings = len(steps_logged(killed)), []
    run(killed, warnings=warnings)
    assert steps_logged(killed)[before:][0] == 1
    assert [
        "There is no checkpoint to use instead, so the training starts again at step 0" in warning
        for warning in warnings
    ] == [True, True]
    assert same(killed, whole)


def test_a_damaged_checkpoint_that_is_not_needed_is_not_read(run: Run, killed: Path) -> None:
    one_bit(step(killed, 2) / "weights.safetensors")
    warnings: list[str] = []
    run(killed, warnings=warnings)
    assert not any("damaged" in warning for warning in warnings)


@pytest.fixture
def older(killed: Path) -> Path:
    """The killed training as an older halo would have written it: without check values."""
    for path in (killed / "checkpoints").glob("*/state.json"):
        record = json.loads(path.read_text())
        for field in ("files", "crc", "schema"):
            del record[field]
        path.write_text(json.dumps(record))
    return killed


def test_checkpoints_of_an_older_halo_are_used_with_one_note(
    run: Run, whole: Path, older: Path
) -> None:
    warnings: list[str] = []
    run(older, warnings=warnings)
    (note,) = (warning for warning in warnings if "older halo" in warning)
    assert note == (
        f"{step(older, 4)} was written by an older halo, without check values: only the sizes of "
        "its files were compared"
    )
    assert same(older, whole)


@pytest.mark.parametrize("damage", [cut, emptied, zeros, gone], ids=lambda damage: damage.__name__)
def test_files_without_check_values_must_at_least_be_whole(
    run: Run, whole: Path, older: Path, damage: Callable[[Path], None]
) -> None:
    damage(step(older, 4) / "optimizer.safetensors")
    warnings: list[str] = []
    run(older, warnings=warnings)
    assert any("continues from the checkpoint of step 2" in warning for warning in warnings)
    assert same(older, whole)


def test_a_checkpoint_of_a_newer_halo_is_refused_and_stays(run: Run, killed: Path) -> None:
    path = step(killed, 4) / "state.json"
    record = json.loads(path.read_text()) | {"schema": 2}
    path.write_text(json.dumps(record))
    with pytest.raises(VersionError, match=r"state.json: is of version 2, from another halo"):
        run(killed)
    assert checkpoints(killed) == {"step-00000002", "step-00000004"}


BEST = {
    "export": "best",
    "keep_best": None,
    "evaluate_every": 1,
    "reference_update": None,
    "learning_rate": 3.0,
}


@pytest.fixture
def with_best(run: Run, two_layers: ModelInput, tmp_path: Path) -> tuple[Path, Path, int]:
    """The folders of a whole and of a killed training that export the best step, and this step.

    The learning rate is so large that the loss is lowest at a step before the last ones.
    """
    options = BEST | {"model": two_layers, "checkpoint_every": 1}
    uncut = run(tmp_path / "uncut", **options)
    ended = run(tmp_path / "cut", killed=True, **options)
    best, *latest = sorted(checkpoints(ended))
    assert latest == ["step-00000004", "step-00000005"]
    return uncut, ended, int(best.removeprefix("step-"))


def test_a_damaged_best_checkpoint_is_computed_again_for_the_export(
    run: Run, two_layers: ModelInput, with_best: tuple[Path, Path, int]
) -> None:
    uncut, ended, best = with_best
    options = BEST | {"model": two_layers, "checkpoint_every": 1}
    one_bit(step(ended, best) / "weights.safetensors")
    warnings: list[str] = []
    run(ended, warnings=warnings, **options)
    (told,) = (warning for warning in warnings if "damaged-step" in warning)
    assert "Steps 4, 5 are computed again: with `export: best`" in told
    assert same(ended, uncut)


def test_a_best_checkpoint_that_is_damaged_at_the_export_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halo_trainer.train import training

    pick = training.pick_exported

    def damaging(checkpoints: Any, *others: Any) -> Any:
        best = checkpoints.best()
        one_bit(step(tmp_path / "cut", best[0]) / "weights.safetensors")
        return pick(checkpoints, *others)

    with monkeypatch.context() as patched:
        patched.setattr(training, "pick_exported", damaging)
        with pytest.raises(DataError) as raised:
            run(tmp_path / "cut", **BEST)
    assert str(raised.value).endswith(
        "weights.safetensors: holds other bytes than were written; expected the file as it was "
        "written. Start the run again: it continues from the checkpoint before"
    )
    assert same(run(tmp_path / "cut", **BEST), run(tmp_path / "whole", **BEST))
