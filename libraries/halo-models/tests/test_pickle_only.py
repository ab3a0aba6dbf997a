"""A model whose weights are pickles is never loaded; the message has a command that converts it."""

from __future__ import annotations

import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.load import load_classifier, load_model
from halo_models.skeleton import check_weights

TOKENS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture
def pickled(tiny_model: ModelInput, tmp_path: Path) -> Path:
    """A model in two pickles, in a folder whose name a shell must quote."""
    import shutil

    folder = Path(shutil.copytree(tiny_model.path, tmp_path / "it's a model"))
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        content = {name: weights[name] for name in part}
        torch.save(content, folder / f"pytorch_model-0000{number}-of-00002.bin")
    return folder


def load(folder: Path) -> Any:
    return load_model(ModelInput(str(folder), None, ""), dtype=torch.float32, device="cpu")


def command_in(message: str) -> str:
    return message.partition("\n")[2]


@pytest.mark.slow
def test_the_command_in_the_message_converts_the_model_exactly(
    pickled: Path, tiny_model: ModelInput
) -> None:
    with pytest.raises(ModelError, match="only in pickle files") as refused:
        load(pickled)
    assert "pytorch_model-00001-of-00002.bin" in str(refused.value)
    command = command_in(str(refused.value))
    assert "weights_only=True" in command
    assert ".save_pretrained(" in command
    command = command.replace("python -c", f"{sys.executable} -c", 1)
    subprocess.run(command, shell=True, check=True, timeout=200, capture_output=True)
    check_weights(ModelInput(str(pickled), None, ""))
    assert torch.equal(load(pickled)(TOKENS).logits, load(Path(tiny_model.path))(TOKENS).logits)


@pytest.mark.slow
def test_the_command_writes_nothing_if_weights_are_missing(pickled: Path, warm: Any) -> None:
    (pickled / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ModelError) as refused:
        load(pickled)
    _, option, code = shlex.split(command_in(str(refused.value)))
    done = warm.run([sys.executable, option, code], timeout=200)
    assert done.returncode != 0
    assert "missing_keys" in done.stderr
    assert not list(pickled.glob("*.safetensors"))


class Malicious:
    """Writes a file when it is loaded from a pickle."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt"])
def test_neither_halo_nor_the_command_runs_the_code_of_a_pickle(
    tiny_model: ModelInput, tmp_path: Path, name: str
) -> None:
    import shutil

    ran, folder = tmp_path / "ran", Path(shutil.copytree(tiny_model.path, tmp_path / "model"))
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps({"lm_head.weight": Malicious(ran)}))
    with pytest.raises(ModelError, match="only in pickle files") as refused:
        load(folder)
    for kind in (False, True):
        with pytest.raises(ModelError, match=f"only in pickle files .{name}"):
            check_weights(ModelInput(str(folder), None, ""), classifier=kind)
    with pytest.raises(ModelError, match="AutoModelForSequenceClassification as Model"):
        load_classifier(
            ModelInput(str(folder), None, ""), dtype=torch.float32, device=torch.device("cpu")
        )
    if name == "pytorch_model.bin":
        # In this process, which has imported transformers already; the slow tests use a shell.
        python, option, code = shlex.split(command_in(str(refused.value)))
        assert (python, option) == ("python", "-c")
        with pytest.raises(pickle.UnpicklingError, match="weights_only"):
            exec(code, {})
    assert not ran.exists()


def test_a_folder_without_weights_is_said_to_have_none(copy_without_weights: Path) -> None:
    with pytest.raises(ModelError, match=r"there are no weights in this folder .*\.safetensors"):
        load(copy_without_weights)


@pytest.fixture
def copy_without_weights(tiny_model: ModelInput, tmp_path: Path) -> Path:
    import shutil

    folder = Path(shutil.copytree(tiny_model.path, tmp_path / "copied"))
    (folder / "model.safetensors").unlink()
    (folder / "training_args.bin").write_bytes(b"")
    return folder
