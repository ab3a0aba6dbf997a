"""The common model and rows: a Llama with 17M random weights, and helpful-base of HH."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.feedback import Feedback, prompt_id
from halo_core.rows import DataSet, arrow_schema
from halo_data.sources.hh import HH
from halo_models.save import save_model_folder
from halo_models.templates import use_template

BATCH_SIZE = 8
MAX_LENGTH = 512
VOCABULARY = 8192
Row = Mapping[str, Any]
FEEDBACK: Mapping[str, Feedback] = {"sft": "demonstration", "dpo": "paired", "kto": "binary"}


def read_pairs(folder: Path) -> list[Row]:
    """Returns all pairs of the test split."""
    return list(HH(path=str(folder)).load("test").rows)


def count_tokens(tokenizer: Any, row: Row) -> list[int]:
    """Returns the number of tokens of a row's prompt with each of its completions."""
    dialogues = [
        [*row["prompt"], {"role": "assistant", "content": row[side]}]
        for side in ("chosen", "rejected", "completion")
        if side in row
    ]
    encoded = tokenizer.apply_chat_template(dialogues, tokenize=True, return_dict=True)
    return [len(ids) for ids in encoded["input_ids"]]


def prompt_tokens(tokenizer: Any, row: Row) -> int:
    """Returns the number of tokens of a row's prompt, up to where the answer begins."""
    encoded = tokenizer.apply_chat_template(
        row["prompt"], tokenize=True, return_dict=True, add_generation_prompt=True
    )
    return len(encoded["input_ids"])


def that_fit(tokenizer: Any, pairs: Sequence[Row]) -> list[Row]:
    """Returns the pairs that need no cut, because the two sides cut differently."""
    return [pair for pair in pairs if max(count_tokens(tokenizer, pair)) <= MAX_LENGTH]


def rows_for(loss: str, pairs: Sequence[Row]) -> list[Row]:
    """Returns pairs as the feedback of a loss. For KTO, half of them are desirable."""
    rows = []
    for number, pair in enumerate(pairs):
        prompt = {"prompt": pair["prompt"]}
        if loss == "dpo":
            rows.append(prompt | {"chosen": pair["chosen"], "rejected": pair["rejected"]})
        elif loss == "sft":
            rows.append(prompt | {"completion": pair["chosen"]})
        else:
            good = number % 2 == 0
            text = pair["chosen" if good else "rejected"]
            rows.append(prompt | {"completion": text, "desirable": good})
    return rows


def for_halo(folder: Path, feedback: Feedback, rows: Sequence[Row]) -> DataSet:
    """Returns the rows in the form that a stage of halo reads."""
    import pyarrow as pa

    whole = [
        {"id": str(i), "prompt_id": prompt_id(row["prompt"]), "source": "hh", **row}
        for i, row in enumerate(rows)
    ]
    table = pa.Table.from_pylist(whole, schema=arrow_schema(feedback))
    path = folder / f"{feedback}.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return DataSet(feedback, feedback, [path])


def for_trl(rows: Sequence[Row]) -> Any:
    """Returns the rows in the form that TRL's trainers read."""
    import datasets

    def said(row: Row) -> dict[str, Any]:
        completions = {
            side: [{"role": "assistant", "content": row[side]}]
            for side in ("chosen", "rejected", "completion")
            if side in row
        }
        label = {"label": row["desirable"]} if "desirable" in row else {}
        return {"prompt": row["prompt"], **completions, **label}

    return datasets.Dataset.from_list([said(row) for row in rows])


def write_model(folder: Path, pairs: Sequence[Row]) -> Any:
    """Writes the model and returns its tokenizer, which is trained on the rows."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _make_tokenizer([pair["chosen"] for pair in pairs])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=6,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    save_model_folder(folder, LlamaForCausalLM(config), tokenizer)
    return tokenizer


def _make_tokenizer(texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["[pad]", "[eos]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="[eos]", pad_token="[pad]"
    )
    use_template(tokenizer, None)
    return tokenizer
