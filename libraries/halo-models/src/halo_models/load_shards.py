"""Loads a model so that each process holds some rows of every weight, and never the whole model.

The model is built without numbers. transformers then reads the rows of this process from the
safetensors files, tensor by tensor, and puts in what is computed and not stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.finite import check_weights
from halo_models.load import check_causal, read_config, read_tokenizer, with_rows
from halo_models.pickle_only import check_safetensors
from halo_models.shards import fill, rows_of, sharded, whole

ONE, INDEX = "model.safetensors", "model.safetensors.index.json"


def load_model_shards(model: ModelInput, *, dtype: torch.dtype, device: torch.device) -> Any:
    """Returns a causal language model in evaluation mode. Its weights are sharded by rows.

    All processes must call it. If the tokenizer has more tokens than the model, the embeddings
    grow as in `load_model`. Buffers are whole, and in the dtype of a float32 model.

    Args:
        model: A folder or a hub id.
        dtype: Dtype of the weights.
        device: Device of this process.

    Raises:
        ModelError: When it is not found, is not a causal language model, lacks weights, or has
            some that are NaN or infinite.
    """
    config = read_config(model)
    check_causal(config, model)
    files = _files(model)
    network = _without_numbers(config, dtype)
    for module, name, parameter in _places(network):
        module._parameters[name] = parameter
    _check_sizes(network, _read_into(network, files, model, dtype, device), model)
    _read_generation_config(network, model)
    grow_shards(network, len(read_tokenizer(model)))
    check_weights(network, model)
    return network.eval()


def _without_numbers(config: Any, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype)
    return network


def _places(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """Yields where each parameter belongs, and a sharded one instead; tied ones are the same."""
    new: dict[int, nn.Parameter] = {}
    for module in network.modules():
        for name, old in module._parameters.items():
            if old is None:
                continue
            if id(old) not in new:
                empty = torch.empty(rows_of(old.shape)[1], dtype=old.dtype, device="meta")
                new[id(old)] = nn.Parameter(sharded(empty, old.shape), old.requires_grad)
            yield module, name, new[id(old)]


def _files(model: ModelInput) -> list[Path]:
    """Returns the safetensors files of a model. Those of a hub model are fetched first."""
    folder = Path(model.path)
    if folder.is_dir():
        check_safetensors(folder)
    index = _file(model, INDEX)
    if index is None:
        one = _file(model, ONE)
        if one is None:
            raise ModelError(
                f"there is neither {ONE} nor {INDEX}. Expected a folder as transformers' "
                "save_pretrained writes it",
                location=model.path,
            )
        return [one]
    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    files = [_file(model, name) for name in names]
    if missing := [name for name, file in zip(names, files, strict=True) if file is None]:
        raise ModelError(
            f"{INDEX} names {missing[0]}, which is missing. Save or download the model again",
            location=model.path,
        )
    return [file for file in files if file is not None]


def _file(model: ModelInput, name: str) -> Path | None:
    from transformers.utils import cached_file

    try:
        found = cached_file(
            model.path,
            name,
            revision=model.revision,
            _raise_exceptions_for_missing_entries=False,
        )
    except Exception as error:
        # The text of a hub error may contain an address with credentials.
        raise ModelError(
            f"{name} cannot be loaded ({type(error).__name__}). Check the id, the network, and for "
            "a gated model that you are logged in; or give a folder by path",
            location=model.path,
        ) from error
    return None if found is None else Path(found)


def _read_into(
    network: Any, files: list[Path], model: ModelInput, dtype: torch.dtype, device: torch.device
) -> Any:
    """Reads this process's rows, and returns what transformers reports about the loading."""
    from safetensors import safe_open
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import convert_and_load_state_dict_in_model
    from transformers.modeling_utils import LoadStateDictConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = LoadStateDictConfig(
        pretrained_model_name_or_path=model.path,
        device_map={"": device},
        dtype=dtype,
        ignore_mismatched_sizes=True,  # They are reported as an error below.
        weight_mapping=get_model_conversion_mapping(network),
    )
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # Hides its report, which the errors below have.
    try:
        with ExitStack() as opened:
            slices: dict[str, Any] = {}
            for path in files:
                file = opened.enter_context(safe_open(path, framework="pt"))
                slices |= {name: file.get_slice(name) for name in file.keys()}
            report, _ = convert_and_load_state_dict_in_model(network, slices, config)
        if bad := sorted(map(str, [*report.mismatched_keys, *report.conversion_errors])):
            raise ModelError(
                f"{len(bad)} weights do not fit the configuration, among them {bad[0]}. Save or "
                "download the model again",
                location=model.path,
            )
        finished = type(network)._finalize_model_loading(network, config, report)
    finally:
        logging.set_verbosity(verbosity)
    return finished


def _check_sizes(network: Any, report: Any, model: ModelInput) -> None:
    if missing := sorted(report.missing_keys):
        raise ModelError(
            f"{len(missing)} weights are missing, among them {missing[0]!r}. Expected all weights "
            f"of {type(network).__name__}: save or download the model again",
            location=model.path,
        )


def _read_generation_config(network: Any, model: ModelInput) -> None:
    from transformers import GenerationConfig

    if network.can_generate() and _file(model, "generation_config.json") is not None:
        network.generation_config = GenerationConfig.from_pretrained(
            model.path, revision=model.revision
        )


@torch.no_grad()
def grow_shards(network: Any, size: int) -> None:
    """Grows the embeddings of a sharded model as `grow_vocabulary` does, one weight at a time.

    All processes must call it, because they exchange the weight.
    """
    embedding, head = network.get_input_embeddings(), network.get_output_embeddings()
    if size <= embedding.weight.shape[0]:
        return
    new: dict[int, nn.Parameter] = {}
    for layer in (embedding, head):
        for name in ("weight", "bias"):
            old = getattr(layer, name, None)
            if old is None:
                continue
            if id(old) not in new:
                values = with_rows(whole(old), size)
                own = values.new_empty(rows_of(values.shape)[1])
                grown = nn.Parameter(sharded(own, values.shape), old.requires_grad)
                fill(grown, values)
                new[id(old)] = grown
            setattr(layer, name, new[id(old)])
    embedding.num_embeddings = size
    if head is not None:
        head.out_features = size
    network.config.get_text_config().vocab_size = size
    network.vocab_size = size
