"""Tiny models and tokenizers, made once per session; nothing is read from the network."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from halo_core.events import EventLog
from halo_core.feedback import Feedback
from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext, StopFlag
from halo_core.testing import data_set
from halo_models.testing import make_model, make_tokenizer


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def _absent_devices_take_no_seeds() -> Iterator[None]:
    """Leaves out what torch does to seed devices that this machine lacks.

    At each seed, several times per training step, torch formats the whole stack for each of them.
    """
    import torch

    # The modules whose functions take the seeds.
    seeded = ((torch.cuda, torch.cuda.random), (torch.xpu, torch.xpu.random))
    with pytest.MonkeyPatch.context() as patch:
        for device, module in (*seeded, (torch.mtia, torch.mtia)):
            if not device.is_available():
                patch.setattr(module, "_lazy_call", lambda *_, **__: None)
        yield


@pytest.fixture(scope="session")
def _remembered() -> Any:
    spec = importlib.util.spec_from_file_location(
        "remembered", Path(__file__).with_name("remembered.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _read_once(_remembered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads and probes the same tiny model once. Half of a stage's time is this otherwise."""
    _remembered.use(monkeypatch)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """A tokenizer with the TULU 2 template; do not change it."""
    from halo_models.templates import use_template

    tokenizer = make_tokenizer()
    use_template(tokenizer, None)
    return tokenizer


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> ModelInput:
    """A folder with a llama of one layer, hidden size 32, and `tiny_tokenizer`."""
    from halo_models.save import save_model_folder

    folder: Path = tmp_path_factory.mktemp("tiny") / "model"
    save_model_folder(folder, make_model(len(tiny_tokenizer), num_hidden_layers=1), tiny_tokenizer)
    return ModelInput(str(folder), None, "tiny")


@pytest.fixture(scope="session")
def two_layers(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> ModelInput:
    """A folder like `tiny_model` with a llama of two layers."""
    from halo_models.save import save_model_folder

    folder: Path = tmp_path_factory.mktemp("two") / "model"
    save_model_folder(folder, make_model(len(tiny_tokenizer)), tiny_tokenizer)
    return ModelInput(str(folder), None, "two")


@pytest.fixture(scope="session")
def run_on_two_ranks(run_on_ranks: Callable[..., None]) -> Callable[[Path, Path], None]:
    """Returns a function that runs a script in two processes, with a folder as its argument."""
    return run_on_ranks


@pytest.fixture(scope="session")
def run_on_ranks(_rank_server: subprocess.Popen[str]) -> Callable[..., None]:
    """Returns a function that runs a script in several processes, with a folder as its argument."""

    def run(
        script: Path, folder: Path, processes: int = 2, arguments: Sequence[str] = (), code: int = 0
    ) -> None:
        said = folder / "said-by-ranks.txt"
        said.touch()
        command = [str(script), str(folder), *arguments]
        job = {"command": command, "ranks": processes, "said": str(said)}
        assert _rank_server.stdin is not None
        assert _rank_server.stdout is not None
        _rank_server.stdin.write(json.dumps(job) + "\n")
        _rank_server.stdin.flush()
        answer = _rank_server.stdout.readline()
        assert answer == f"{code}\n", said.read_text()[-3000:]

    return run


@pytest.fixture(scope="session")
def _rank_server(warm: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that has imported torch and transformers, and forks ranks; see the script."""
    with warm.start(
        [sys.executable, str(Path(__file__).with_name("rank_server.py")), str(os.getpid())],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        yield server
        server.kill()  # and its ranks with it, if a test stopped waiting for them


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[..., DataSet]:
    """Returns a function that writes rows to Arrow; ids and prompt ids are filled in."""

    def make(feedback: Feedback, rows: list[dict[str, Any]], name: str = "train") -> DataSet:
        return data_set(tmp_path, feedback, rows, name=name)

    return make


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[..., StageContext]:
    """Returns a function that makes a stage's context; warnings go to the list `warnings`."""

    def make(
        *,
        data: dict[str, DataSet],
        models: dict[str, ModelInput] | None = None,
        name: str = "stage",
        seed: int = 1,
        stop: StopFlag | None = None,
        warnings: list[str] | None = None,
    ) -> StageContext:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return StageContext.for_folder(
            folder,
            id_=name,
            seed=seed,
            models=models,
            data=data,
            cache=tmp_path / "cache",
            events=EventLog(folder / "events.jsonl"),
            stop=stop,
            warn=(warnings if warnings is not None else []).append,
        )

    return make


@pytest.fixture
def make_examples() -> Callable[..., list[Any]]:
    """Returns a function that makes encoded examples of random tokens and lengths."""
    import numpy as np

    from halo_trainer.encode.examples import EncodedCompletion, EncodedExample

    def make(feedback: Feedback, count: int, *, vocabulary: int = 60, longest: int = 12) -> Any:
        rng = np.random.Generator(np.random.PCG64(7))

        def ids() -> Any:
            return rng.integers(0, vocabulary, rng.integers(1, longest + 1)).astype(np.int32)

        examples = []
        for i in range(count):
            prompt = ids()
            desirable = [True, False] if feedback == "paired" else [i % 3 != 1]
            completions = tuple(
                EncodedCompletion(prompt, ids(), good or feedback == "demonstration", f"{i}.{k}")
                for k, good in enumerate(desirable)
            )
            examples.append(EncodedExample(f"row-{i}", f"prompt-{i}", completions))
        return examples

    return make


@dataclass(frozen=True)
class TinyTraining:
    """The parts of a training step: a llama of one layer, and a shifted copy as the reference."""

    objective: Any
    estimator: Any

    @property
    def loss(self) -> Any:
        return self.objective.loss

    @property
    def policy(self) -> Any:
        return self.objective.policy

    @property
    def reference(self) -> Any:
        return self.objective.reference.scorer

    def prepare(self, data: Any, positions: Any, rng: Any, state: Any) -> Any:
        from halo_trainer.train.prepare import prepare

        return prepare(self.objective, self.estimator, data, positions, rng, state)


@pytest.fixture
def make_tiny() -> Callable[..., TinyTraining]:
    """Returns a function that makes a `TinyTraining` from a loss and an estimator."""
    import torch

    from halo_trainer.model.probe import make_scorer
    from halo_trainer.train.objective import Objective
    from halo_trainer.train.ranks import Ranks
    from halo_trainer.train.reference.scores import LiveReference

    def scorer(model: Any) -> Any:
        return make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)

    def make(
        loss: Any,
        estimator: Any = None,
        *,
        budget: int = 1000,
        max_length: int = 64,
        dropout: bool = False,
    ) -> TinyTraining:
        reference = make_model(60, num_hidden_layers=1)
        with torch.no_grad():
            for parameter in reference.parameters():
                parameter.mul_(1.05)
        objective = Objective(
            loss=loss,
            policy=scorer(make_model(60, num_hidden_layers=1)),
            reference=LiveReference(scorer(reference).requires_grad_(False)),
            ranks=Ranks("cpu"),
            micro_batch_tokens=budget,
            max_length=max_length,
            dropout=dropout,
        )
        return TinyTraining(objective, estimator)

    return make
