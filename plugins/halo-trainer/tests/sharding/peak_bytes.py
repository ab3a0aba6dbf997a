"""Counts the bytes of all tensors that exist at one time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

EVERY = 200
"""Number of operations between two counts, if they make little."""


class PeakBytes(TorchDispatchMode):
    """The most bytes of tensors that exist at one time inside of the context.

    It follows the memory of each tensor that an operation takes or makes, until it is gone: also
    that of weights that are gathered, and of tensors that only a backward pass still needs. Files
    that are mapped into memory do not count.

    Args:
        step: Number of bytes after which all are counted again.

    Attributes:
        most: The most bytes so far.
    """

    def __init__(self, step: int) -> None:
        super().__init__()
        self.most = 0
        self._step = step
        self._new = 0
        self._operations = 0
        self._known: dict[int, StorageWeakRef] = {}

    def __torch_dispatch__(
        self,
        operation: Any,
        types: Any,
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs an operation, and follows its tensors."""
        made = operation(*arguments, **(options or {}))
        for tensor in tree_leaves((arguments, options, made)):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu":
                self._follow(tensor)
        self._operations += 1
        if self._new > self._step or self._operations % EVERY == 0:
            self._count()
        return made

    def _follow(self, tensor: Any) -> None:
        own = getattr(tensor, "_local_tensor", tensor)
        storage = own.untyped_storage()
        known = self._known.get(storage._cdata)
        if storage.resizable() and (known is None or known.expired()):
            self._known[storage._cdata] = StorageWeakRef(storage)
            self._new += storage.nbytes()

    def _count(self) -> None:
        total = 0
        for key, reference in list(self._known.items()):
            storage = torch.UntypedStorage._new_with_weak_ptr(reference.cdata)
            if storage is None:
                del self._known[key]
            else:
                total += storage.nbytes()
        self.most = max(self.most, total)
        self._new = 0
