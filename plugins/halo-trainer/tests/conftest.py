"""Tiny models and tokenizers, made once per session; nothing is read from the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.events import EventLog
from halo_core.feedback import Feedback, prompt_id
from halo_core.progress import SilentProgress
from halo_core.rows import DataSet, arrow_schema
from halo_core.stage import ModelInput, StageContext, StopFlag

MARKS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>"]
CORPUS = [
    "The cow says moo and the duck says quack.",
    "An ant has six legs; coal is black, grass is green.",
    "What is the capital of Peru? Lima is the capital of Peru.",
    "Please tell me what a cow says. Kindly explain it to a child.",
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_tokenizer() -> Any:
    """Returns a byte-level BPE tokenizer of about 300 tokens; the EOS is <|endoftext|>."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[AddedToken(MARKS[0], special=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS * 4, trainer)
    backend.add_tokens([AddedToken(mark, normalized=False) for mark in MARKS[1:]])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=MARKS[0])


def make_model(vocabulary: int, **options: Any) -> Any:
    """Returns a llama of two layers with weights that depend on nothing but the options."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **{
            "vocab_size": vocabulary,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 256,
            "initializer_range": 0.2,
            "bos_token_id": None,
            "eos_token_id": 0,
            **options,
        }
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """A tokenizer with the TULU 2 template; do not change it."""
    from halo_trainer.chat import use_template

    tokenizer = make_tokenizer()
    use_template(tokenizer, None)
    return tokenizer


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> ModelInput:
    """A folder with a llama of two layers, hidden size 32, and `tiny_tokenizer`."""
    from halo_trainer.models import save_model_folder

    folder: Path = tmp_path_factory.mktemp("tiny") / "model"
    save_model_folder(folder, make_model(len(tiny_tokenizer)), tiny_tokenizer)
    return ModelInput(str(folder), None, "tiny")


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[..., DataSet]:
    """Returns a function that writes rows to Arrow; ids and prompt ids are filled in."""

    def make(feedback: Feedback, rows: list[dict[str, Any]], name: str = "train") -> DataSet:
        import pyarrow as pa

        schema = arrow_schema(feedback)
        whole = [
            {"id": f"{name}-{i}", "prompt_id": prompt_id(row.get("prompt", [])), "source": "test"}
            | row
            for i, row in enumerate(rows)
        ]
        path = tmp_path / f"{name}-{feedback}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(pa.Table.from_pylist(whole, schema=schema))
        return DataSet(name, feedback, [path])

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
        return StageContext(
            id=name,
            folder=folder,
            seed=seed,
            models=models or {},
            inputs={},
            data=data,
            cache=tmp_path / "cache",
            events=EventLog(folder / "events.jsonl"),
            progress=SilentProgress(),
            stop=stop or StopFlag(),
            warn=(warnings if warnings is not None else []).append,
        )

    return make


@pytest.fixture
def make_examples() -> Callable[..., list[Any]]:
    """Returns a function that makes encoded examples of random tokens and lengths."""
    import numpy as np

    from halo_trainer.encoded import EncodedCompletion, EncodedExample

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


@pytest.fixture
def make_scoring() -> Callable[..., Any]:
    """Returns a function that scores with a tiny llama and, as reference, a shifted copy of it."""
    import torch

    from halo_trainer.distributed import Ranks
    from halo_trainer.probe import make_scorer
    from halo_trainer.scoring import Scoring

    def scorer(model: Any) -> Any:
        return make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)

    def make(loss: Any, estimator: Any = None, *, budget: int = 1000, **options: Any) -> Any:
        reference = make_model(60, **options)
        with torch.no_grad():
            for parameter in reference.parameters():
                parameter.mul_(1.05)
        return Scoring(
            loss=loss,
            estimator=estimator,
            policy=scorer(make_model(60, **options)),
            reference=scorer(reference).requires_grad_(False),
            ranks=Ranks("cpu"),
            micro_batch_tokens=budget,
            max_length=64,
        )

    return make
