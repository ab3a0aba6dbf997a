"""A stage `sample` reads prompts when they are answered, and keeps some bytes of each."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.rows import DataSet
from halo_core.stage import StageContext
from halo_core.testing.rows import data_set
from halo_core.workspace import spool
from halo_core.workspace.records import SAMPLES
from halo_models.conversation import ChatOptions
from halo_models.notes import ModelNotes
from halo_trainer.sample.chat import Chat
from halo_trainer.sample.crew import Crew
from halo_trainer.sample.encoded_prompts import LengthBatches, encode_prompts, repeated
from halo_trainer.sample.sample_file import SampleFile
from halo_trainer.sample.sampler import Generated, Named
from halo_trainer.sample.select_prompts import SamplePrompt, select_prompts, target_of
from halo_trainer.sample.write_batches import write_batches

SIZES = (60, 260)
MOST = 250
"""Bytes of Python's memory per prompt: 120, and more by chance with so few prompts. The objects of
its text and token ids take 11,000."""


class Repeats:
    """Answers each prompt with its last tokens."""

    samples = 1
    max_new_tokens = 4

    def batch(
        self, prompts: Sequence[Named], drew: Callable[[int], None] | None = None
    ) -> list[Generated]:
        return [Generated([*ids[-4:]], "stop") for _, ids in prompts]

    def positions(self, prompts: int) -> int:
        return prompts


def long_prompts(folder: Path, count: int) -> DataSet:
    rows: Any = [
        {"prompt": [{"role": "user", "content": f"{n} " + "moo " * 150}], "completion": f"a {n}"}
        for n in range(count)
    ]
    return data_set(folder, "demonstration", rows)


def sample(data: DataSet, chat: Chat, context: StageContext) -> Path:
    """Answers all prompts as the stage does, without a model."""
    prompts = encode_prompts(select_prompts(data, None, 0), chat, 1000, context.warn)
    batches = LengthBatches(prompts, 4)
    file = SampleFile(context.folder, prompts.ids, (repeated(batch, 1) for batch in batches))
    crew = Crew(1, torch.device("cpu"))
    write_batches(batches, prompts, Repeats(), chat, file, context, crew, None)
    return file.finish()


def test_prompts_and_their_token_ids_take_little_memory(
    make_context: Callable[..., StageContext],
    tiny_tokenizer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 1)
    monkeypatch.setattr("halo_core.rows._ROWS_AT_ONCE", 8)
    monkeypatch.setattr("halo_trainer.sample.chat.PROMPTS_AT_ONCE", 8)
    chat = Chat(tiny_tokenizer, ModelNotes(), ChatOptions())
    peaks = []
    for size in (40, *SIZES):  # What is imported and cached at the first call does not count.
        (tmp_path / f"{size}").mkdir()
        data = long_prompts(tmp_path / f"{size}", size)
        context = make_context(data={"prompts": data}, name=f"sample{size}")
        gc.collect()
        tracemalloc.start()
        path = sample(data, chat, context)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        lines = list(SAMPLES.read(path))
        assert [line["prompt_id"] for line in lines] == [
            p.id for p in select_prompts(data, None, 0)
        ]
        targets = {row["prompt_id"]: row["completion"] for row in data}
        assert all(line["target"] == targets[line["prompt_id"]] for line in lines)
    assert (peaks[2] - peaks[1]) / (SIZES[1] - SIZES[0]) < MOST


ROWS: Any = [
    {"prompt": [{"role": "user", "content": f"q {n % 7}"}], "completion": f"a {n}"}
    | {"desirable": n % 5 == 3 and n % 7 != 2}
    for n in range(30)
]


def with_objects(data: DataSet, n: int | None, seed: int) -> list[SamplePrompt]:
    """Selects prompts with a table of all prompts in memory."""

    def order(id_: str) -> bytes:
        return hashlib.sha256(f"order/{seed}/{id_}".encode()).digest()

    prompts: dict[str, SamplePrompt | None] = {}
    for id_ in sorted({row["prompt_id"] for row in data}, key=order)[:n]:
        prompts[id_] = None
    for row in data:
        if row["prompt_id"] in prompts:
            known = prompts[row["prompt_id"]]
            if known is None or known.target is None:
                target = target_of(row, data.feedback)
                prompts[row["prompt_id"]] = SamplePrompt(row["prompt_id"], row["prompt"], target)
    return [prompt for prompt in prompts.values() if prompt is not None]


@pytest.mark.parametrize("n", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_prompts_are_those_of_a_recomputation_with_a_table(
    n: int | None, seed: int, tmp_path: Path
) -> None:
    data = data_set(tmp_path, "binary", ROWS)
    found = [*select_prompts(data, n, seed)]
    assert found == with_objects(data, n, seed)
    assert {prompt.target is None for prompt in [*select_prompts(data, None, 0)]} == {True, False}


def test_batches_are_those_of_a_recomputation_with_a_list(
    tiny_tokenizer: Any, tmp_path: Path
) -> None:
    rows: Any = [
        {"prompt": [{"role": "user", "content": "moo " * (n % 4) + f"{n}"}], "completion": "a"}
        for n in range(23)
    ]
    data = data_set(tmp_path, "demonstration", rows)
    chat = Chat(tiny_tokenizer, ModelNotes(), ChatOptions())
    prompts = encode_prompts(select_prompts(data, None, 5), chat, 100, lambda words: None)
    numbers = range(len(prompts))
    assert [prompts.prompt(number).id for number in numbers] == prompts.ids
    wanted = chat.encoded(select_prompts(data, None, 5), 100, lambda words: None)
    assert {prompts.ids[n]: prompts.tokens(n) for n in numbers} == {
        id_: encoded.ids for id_, encoded in wanted.items()
    }
    ordered = sorted(numbers, key=lambda n: (-len(wanted[prompts.ids[n]].ids), prompts.ids[n]))
    batches = LengthBatches(prompts, 4)
    assert [*batches] == [ordered[start : start + 4] for start in range(0, 23, 4)]
    assert len(batches) == 6
