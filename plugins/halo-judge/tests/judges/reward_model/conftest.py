"""A tiny language model, and a reward model that was trained from it."""

import sys
from pathlib import Path

import pytest

from halo_core.feedback import prompt_id
from halo_core.rows import DataSet, arrow_schema
from halo_core.stage import ModelInput
from halo_core.testing.context import stage_context

# The tests import the classifiers from here.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def causal(tmp_path_factory):
    """A folder with a tiny language model."""
    import torch
    from tiny_classifiers import make_tokenizer, save, tiny_config
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    model = LlamaForCausalLM(tiny_config(vocab_size=len(tokenizer)))
    return save(tmp_path_factory.mktemp("causal"), model, tokenizer)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    import pyarrow as pa
    from tiny_classifiers import PAIRS

    path = tmp_path_factory.mktemp("data") / "rows.arrow"
    rows = [
        {"id": f"{i}", "prompt_id": prompt_id(row["prompt"]), "source": "t"} | row
        for i, row in enumerate(PAIRS)
    ]
    schema = arrow_schema("paired")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return DataSet("train", "paired", [path])


@pytest.fixture(scope="session")
def trained(tmp_path_factory, causal, data):
    """The folder of a reward model that the stage `train` made."""
    from halo_methods.components import BradleyTerry
    from halo_trainer.train.options import Train

    folder = tmp_path_factory.mktemp("reward")
    context = stage_context(
        folder, data={"data": data}, models={"from": ModelInput(str(causal), None, "c")}
    )
    options = {"batch_size": 4, "learning_rate": 1e-2, "epochs": 8, "device": "cpu"}
    Train(loss=BradleyTerry(), data="train", **options).run(context)
    return folder / "model"
