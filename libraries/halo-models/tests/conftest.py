"""A tiny model and its tokenizer, made once per session; nothing is read from the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.stage import ModelInput
from halo_models.testing import make_model, make_tokenizer


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """A tokenizer with the TULU 2 template; do not change it."""
    from halo_models.templates import use_template

    tokenizer = make_tokenizer()
    use_template(tokenizer, None)
    return tokenizer


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> ModelInput:
    """A folder with a llama of two layers, hidden size 32, and `tiny_tokenizer`."""
    from halo_models.save import save_model_folder

    folder: Path = tmp_path_factory.mktemp("tiny") / "model"
    save_model_folder(folder, make_model(len(tiny_tokenizer)), tiny_tokenizer)
    return ModelInput(str(folder), None, "tiny")
