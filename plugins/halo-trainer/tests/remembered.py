"""Remembers what tiny model folders contain, and what tiny models compute in the probe.

Most tests of the trainer read the same folder of 170 kB and probe the same model. The second time,
this takes longer than the training. All that the result depends on is part of the key: a folder or
model that differs in a single byte is read and computed again. A call that fails, draws random
numbers or logs a warning is never remembered.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import pytest
import torch

MOST_BYTES = 2_000_000
"""Largest folder that is remembered."""

MOST_ENTRIES = 48
"""Number of results that are remembered, the latest ones."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


class Memory:
    """The latest results of a function by their keys."""

    def __init__(self) -> None:
        self._results: OrderedDict[Hashable, Any] = OrderedDict()

    def call(self, key: Hashable, function: Callable[[], Any]) -> Any:
        """Returns a copy of the result for a key. Only the first call computes it."""
        if key not in self._results:
            result, silent = _watched(function)
            if not silent:
                return result
            self._results[key] = copy.deepcopy(result)
            if len(self._results) > MOST_ENTRIES:
                self._results.popitem(last=False)
            return result
        self._results.move_to_end(key)
        return copy.deepcopy(self._results[key])


def _watched(function: Callable[[], Any]) -> tuple[Any, bool]:
    """Returns a function's result, and whether it neither drew random numbers nor warned."""
    before, records = torch.get_rng_state(), _Records()
    loggers = [logging.getLogger(name) for name in ("transformers", "halo_models")]
    for logger in loggers:
        logger.addHandler(records)
    try:
        result = function()
    finally:
        for logger in loggers:
            logger.removeHandler(records)
    return result, not records.seen and torch.equal(before, torch.get_rng_state())


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.seen += 1


READ, PROBED = Memory(), Memory()


def use(patch: pytest.MonkeyPatch) -> None:
    """Remembers what transformers reads from folders, and the results of models in the probe."""
    import transformers

    import halo_trainer.model.probe as probe

    for name in ("AutoConfig", "AutoTokenizer", "AutoModelForCausalLM"):
        kind = getattr(transformers, name)
        patch.setattr(kind, "from_pretrained", _reader(kind, kind.from_pretrained))
    patch.setattr(probe, "_alone", _computer(probe._alone))


def _reader(kind: type, read: Callable[..., Any]) -> Callable[..., Any]:
    def from_pretrained(path: Any, *more: Any, **options: Any) -> Any:
        with contextlib.suppress(_Unknown):
            given = [(name, _plain(value)) for name, value in sorted(options.items())]
            key = (kind, str(path), _contents(path), tuple(map(_plain, more)), tuple(given))
            return READ.call(key, lambda: read(path, *more, **options))
        return read(path, *more, **options)

    return from_pretrained


class _Unknown(Exception):
    """The parts that decide a result cannot be listed."""


def _contents(path: Any) -> bytes:
    """Returns a check value of all files of a small folder."""
    files = sorted(Path(path).glob("*")) if isinstance(path, str | Path) else []
    if not files or not all(file.is_file() for file in files):
        raise _Unknown
    if sum(file.stat().st_size for file in files) > MOST_BYTES:
        raise _Unknown
    found = hashlib.blake2b()
    for file in files:
        found.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        found.update(file.read_bytes())
    return found.digest()


def _plain(value: Any) -> Hashable:
    """Returns an argument as something that is equal only for equal arguments."""
    from transformers import PreTrainedConfig

    if isinstance(value, PreTrainedConfig):
        return type(value), repr(sorted(vars(value).items()))
    if value is None or isinstance(value, str | bool | int | torch.dtype):
        return type(value), value
    raise _Unknown


def _computer(compute: Callable[..., Any]) -> Callable[..., Any]:
    def alone(model: Any, sequences: Any, *, following: int = 0) -> Any:
        with contextlib.suppress(_Unknown):
            ids = [(each.prompt_ids.tobytes(), each.completion_ids.tobytes()) for each in sequences]
            key = (_network(model), tuple(ids), following)
            return PROBED.call(key, lambda: compute(model, sequences, following=following))
        return compute(model, sequences, following=following)

    return alone


def _network(model: Any) -> Hashable:
    """Returns all that a tiny model's results depend on: code, configuration, state and weights."""
    parts = []
    for name, module in model.named_modules():
        changed = "forward" in vars(module) or any(getattr(module, hooks) for hooks in _HOOKS)
        if changed:
            raise _Unknown
        parts.append((name, type(module), type(module).forward, module.training))
    weights = [*model.named_parameters(), *model.named_buffers()]
    if sum(weight.nbytes for _, weight in weights) > MOST_BYTES:
        raise _Unknown
    found = hashlib.blake2b()
    for name, weight in weights:
        if weight.device.type != "cpu":
            raise _Unknown
        found.update(f"{name}\0{weight.dtype}\0{tuple(weight.shape)}\0".encode())
        found.update(weight.detach().reshape(-1).view(torch.uint8).numpy())
    return tuple(parts), _plain(model.config), found.digest()
