"""Two processes that share the weights of a model give the same results as one process."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from halo_core.events import read_events
from halo_core.feedback import Feedback
from halo_core.rows import arrow_schema
from halo_core.stage import ModelInput
from halo_models.save import save_model_folder
from halo_trainer.train.ranks import Ranks

pytestmark = pytest.mark.slow(seconds=4)
RELATIVE = 1e-5
WORKER = Path(__file__).parent / "sharded_ranks.py"
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
MODELS: dict[str, dict[str, Any]] = {
    "llama": SIZES | {"tie_word_embeddings": True, "grows": 3},
    "gpt_neox": SIZES | {"grows": 5},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 1},
    "gemma3_text": SIZES | {"sliding_window": 6},
    "mixtral": SIZES | {"num_local_experts": 4, "num_experts_per_tok": 2},
}
"""Kinds of models: tied, growing, with transposed, windowed and stacked weights."""
WORDS = [1 + i * 5 % 7 for i in range(12)]
"""Number of words, and so about the number of tokens, of each row's completion."""


def load_worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sharded_ranks", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_rows(folder: Path, feedback: Feedback) -> None:
    def row(i: int, words: int) -> dict[str, Any]:
        answers = {"completion": " ".join(["moo"] * words)}
        if feedback == "paired":
            answers = {"chosen": answers["completion"], "rejected": "no moo"}
        label = {"desirable": i % 3 != 0} if feedback == "binary" else {}
        return {
            "id": f"row-{i}",
            "prompt_id": f"p{i}",
            "source": "test",
            "prompt": [{"role": "user", "content": f"What {i}?"}],
            **answers,
            **label,
        }

    rows = [row(i, words) for i, words in enumerate(WORDS)]
    table = pa.Table.from_pylist(rows, schema=arrow_schema(feedback))
    with (
        pa.OSFile(str(folder / f"train-{feedback}.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)


def write_deep_model(folder: Path, tokenizer: Any) -> None:
    config = AutoConfig.for_model(
        "llama",
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=12,
        num_attention_heads=4,
    )
    save_model_folder(folder, AutoModelForCausalLM.from_config(config), tokenizer)


def write_models(folder: Path, tokenizer: Any) -> None:
    for kind, options in MODELS.items():
        torch.manual_seed(0)
        rows = len(tokenizer) - options.get("grows", 0)
        given = {name: value for name, value in options.items() if name != "grows"}
        config = AutoConfig.for_model(kind, vocab_size=rows, **given)
        save_model_folder(folder / kind, AutoModelForCausalLM.from_config(config), tokenizer)


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    two_layers: ModelInput,
    tiny_tokenizer: Any,
    run_on_ranks: Callable[..., None],
) -> Path:
    """The folder in which ranks have run `sharded_ranks.py`, and one has run the stages."""
    folder = tmp_path_factory.mktemp("sharded-ranks")
    (folder / "model").symlink_to(two_layers.path)
    kinds: tuple[Feedback, ...] = ("binary", "paired", "demonstration")
    for feedback in kinds:
        write_rows(folder, feedback)
    write_models(folder / "models", tiny_tokenizer)
    write_deep_model(folder / "deep-model", tiny_tokenizer)
    run_on_ranks(WORKER, folder)
    run_on_ranks(WORKER, folder, 4)
    load_worker().run_stages(folder, Ranks("cpu"))
    return folder


def test_the_gradient_of_sharded_weights_is_that_of_one_process(finished: Path) -> None:
    expected = load_worker().all_gradients(finished, Ranks("cpu"))
    assert len(expected) == 4 * len(load_worker().LOSSES)
    assert len(list(finished.glob("gradient-4-*"))) == 4 * len(load_worker().FEW) * len(
        load_worker().FOUR
    )
    for name, gradient in expected.items():
        files = [*finished.glob(f"gradient-[24]-{name}-?.safetensors")]
        assert len(files) in (2, 6)
        for file in files:
            found = load_file(file)
            assert found.keys() == gradient.keys()
            for tensor in gradient:
                error = (found[tensor] - gradient[tensor]).norm()
                assert error <= RELATIVE * gradient[tensor].norm(), (file.name, tensor)


def test_each_process_reads_its_rows_and_all_constants_are_right(finished: Path) -> None:
    for rank in (0, 1):
        faults = json.loads((finished / f"loading-{rank}.json").read_text())
        assert faults == {kind: [] for kind in MODELS}


def curves(folder: Path) -> dict[tuple[int, str], float]:
    return {
        (event["step"], name): value
        for event, _ in read_events(folder / "events.jsonl")
        if event["type"] == "metrics"
        for name, value in event["metrics"].items()
        if not name.startswith("perf/")
    }


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


STAGES = ("kto", "reward", "critic", "copy", "ema", "adapter", "adapted-head")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_on_shards_gives_the_model_and_metrics_of_one_process(
    name: str, finished: Path
) -> None:
    one, two = (finished / f"{name}-{processes}" for processes in (1, 2))
    assert curves(two) == pytest.approx(curves(one), rel=1e-3, abs=1e-4)
    expected, found = files_of(one / "model"), files_of(two / "model")
    assert found.keys() == expected.keys()
    for file in expected:
        if file == "adapter/adapter_config.json":  # peft writes sets in any order
            both = [json.loads(files[file]) for files in (found, expected)]
            assert len({tuple(sorted(config.pop("target_modules"))) for config in both}) == 1
            assert both[0] == both[1]
            continue
        if not file.endswith(".safetensors"):
            assert found[file] == expected[file], file
            continue
        weights = load_file(two / "model" / file)
        for tensor, value in load_file(one / "model" / file).items():
            assert (weights[tensor] - value).norm() <= 1e-4 * value.norm(), (file, tensor)


def test_logratios_are_exactly_0_in_bfloat16_while_policy_and_reference_are_equal(
    finished: Path,
) -> None:
    found = curves(finished / "dpo-2")
    rewards = [value for (_, name), value in found.items() if "rewards/" in name]
    assert len(rewards) > 10
    assert set(rewards) <= {0.0, 0.5}, found


def test_all_ranks_name_the_rows_that_one_process_names(finished: Path) -> None:
    alone = (finished / "broken-1-0.txt").read_text()
    assert "step 1: not a number: the loss or gradient of" in alone
    expected = set(re.findall(r"row-\d+", alone))
    assert len(expected) > 1
    for rank in (0, 1):
        message = (finished / f"broken-2-{rank}.txt").read_text()
        assert set(re.findall(r"row-\d+", message)) == expected
        assert message.partition("row-")[0] == alone.partition("row-")[0]


def test_no_rank_ever_holds_more_than_1_3_of_its_share(finished: Path) -> None:
    for rank in (0, 1):
        found = json.loads((finished / f"memory-{rank}.json").read_text())
        assert found["share"] > 4e6
        assert found["share"] < found["most"] < 1.3 * found["share"], found
