"""Checks that code leaves torch's default dtype and gradient mode as they were."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from halo_core.component import Component
from halo_core.testing.component import expect

USUAL: Mapping[str, object] = {"default dtype": "torch.float32", "gradient mode": True}
"""The values after the import of torch."""


@contextmanager
def keeps_torch_modes(component: Component, doing: str) -> Iterator[None]:
    """Checks that a block leaves both as they were, also if it is the first one to import torch.

    Args:
        component: The component.
        doing: The calls in the block, for the message.

    Raises:
        AssertionError: When it does not. They are set back then.
    """
    before = _modes()
    yield
    changed = [name for name, value in _modes().items() if value != before[name]]
    if changed:
        _set(before)
    expect(
        not changed,
        component,
        f"{doing} leaves torch's {' and '.join(changed)} changed; expected it to set back what it "
        "changes, because the next stage runs in the same process",
    )


def _modes() -> Mapping[str, object]:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "is_grad_enabled"):
        return USUAL
    return {
        "default dtype": str(torch.get_default_dtype()),
        "gradient mode": torch.is_grad_enabled(),
    }


def _set(modes: Mapping[str, object]) -> None:
    torch = sys.modules["torch"]
    name = str(modes["default dtype"]).removeprefix("torch.")
    torch.set_default_dtype(getattr(torch, name))
    torch.set_grad_enabled(bool(modes["gradient mode"]))


__all__ = ["keeps_torch_modes"]
