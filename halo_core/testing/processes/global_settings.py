"""The settings that hold for all code of a process: read, disturbed, compared and set back."""

from __future__ import annotations

import gc
import locale
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

Settings = Mapping[str, Any]
"""Values of settings by what they are called in a message."""

FILTERS = "the filters of warnings"
THREADS = "torch's number of threads"
ROOT = "the level or the handlers of the root logger"
OF_LIBRARIES = (FILTERS, ROOT)
"""Settings that libraries change when they are imported."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PRINTED = "torch's options for printing"


def settings_now(*, computes: bool) -> dict[str, Any]:
    """Returns the settings of Python, and those of numpy and torch if they are imported.

    Args:
        computes: Whether the number of threads counts, too. A stage may choose its own.
    """
    root = logging.getLogger()
    settings: dict[str, Any] = {
        FILTERS: list(warnings.filters),
        ROOT: (root.level, list(root.handlers)),
        "sys.path": [each for each in sys.path if not _is_vendored(each)],
        "the limit of recursion": sys.getrecursionlimit(),
        "gc.isenabled()": gc.isenabled(),
        "gc.get_threshold()": str(gc.get_threshold()),
        "the locale": locale.setlocale(locale.LC_ALL, None),
        "the mask of new files": _umask(),
        "socket.getdefaulttimeout()": socket.getdefaulttimeout(),
    }
    if _in_main_thread():
        for number in _SIGNALS:
            settings[_handler(number)] = signal.getsignal(number)
    return settings | _of_numpy() | _of_torch(computes=computes)


def disturb(*, computes: bool) -> None:
    """Gives settings other values than a component could have set in an earlier call.

    Args:
        computes: Whether torch's number of threads gets another value, too.
    """
    warnings.filterwarnings("default", message="a filter of halo's test kit")
    sys.setrecursionlimit(sys.getrecursionlimit() + 7)
    gc.enable()
    first, *others = gc.get_threshold()
    gc.set_threshold(first + 1, *others)
    if _in_main_thread():
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler is not None:  # Otherwise, it is a function of C.
                signal.signal(number, _forwarding(handler))
    numpy, torch = _numpy(), _torch()
    if numpy is not None:
        numpy.random.random()
        numpy.set_printoptions(precision=numpy.get_printoptions()["precision"] + 1)
    if torch is not None:
        torch.autograd.set_detect_anomaly(False)
        if torch.are_deterministic_algorithms_enabled():  # The call imports for a second.
            torch.use_deterministic_algorithms(False)
        torch.set_float32_matmul_precision("high")
        printed = _printed(torch)
        if "precision" in printed:
            torch.set_printoptions(precision=printed["precision"] + 1)
        if computes:
            torch.set_num_threads(3 if torch.get_num_threads() != 3 else 5)


def said(name: str, before: Any, after: Any) -> str:
    """Returns a part of a sentence about a setting that changed."""
    if isinstance(before, list | tuple | dict) or callable(before):
        return f"changes {name}"
    return f"changes {name} from {_text(before)} to {_text(after)}"


def set_back(before: Settings) -> None:
    """Gives the settings the values that they had.

    Args:
        before: The values of `settings_now` before the first `disturb`.
    """
    warnings.filters[:] = before[FILTERS]  # type: ignore[index]
    root = logging.getLogger()
    level, handlers = before[ROOT]
    root.setLevel(level)
    root.handlers[:] = handlers
    if [each for each in sys.path if not _is_vendored(each)] != before["sys.path"]:
        sys.path[:] = [*before["sys.path"], *filter(_is_vendored, sys.path)]
    sys.setrecursionlimit(before["the limit of recursion"])
    (gc.enable if before["gc.isenabled()"] else gc.disable)()
    gc.set_threshold(*map(int, before["gc.get_threshold()"].strip("()").split(",")))
    if locale.setlocale(locale.LC_ALL, None) != before["the locale"]:
        locale.setlocale(locale.LC_ALL, before["the locale"])
    os.umask(before["the mask of new files"])
    socket.setdefaulttimeout(before["socket.getdefaulttimeout()"])
    for number in _SIGNALS:
        handler = before.get(_handler(number))
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    _set_numpy_back(before)
    _set_torch_back(before)


def _of_numpy() -> dict[str, Any]:
    numpy = _numpy()
    if numpy is None:
        return {}
    settings: dict[str, Any] = {
        "numpy's options for printing": dict(numpy.get_printoptions()),
        "numpy's handling of errors": dict(numpy.geterr()),
    }
    state = numpy.random.get_state()
    if isinstance(state, tuple):  # Somebody may have given numpy another generator.
        settings["the random state of numpy"] = (state[0], state[1].tobytes(), *state[2:])
    return settings


def _set_numpy_back(before: Settings) -> None:
    numpy = _numpy()
    if numpy is None or "numpy's options for printing" not in before:
        return
    numpy.set_printoptions(**before["numpy's options for printing"])
    numpy.seterr(**before["numpy's handling of errors"])
    if "the random state of numpy" in before:
        name, key, *others = before["the random state of numpy"]
        numpy.random.set_state((name, numpy.frombuffer(key, dtype="uint32"), *others))


def _of_torch(*, computes: bool) -> dict[str, Any]:
    torch = _torch()
    if torch is None:
        return {}
    settings = {
        "torch's search for anomalies": torch.is_anomaly_enabled(),
        "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch's warnings in place of errors": (
            torch.is_deterministic_algorithms_warn_only_enabled()
        ),
        "torch's precision of products": torch.get_float32_matmul_precision(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's gradient mode": torch.is_grad_enabled(),
        _PRINTED: dict(_printed(torch)),
    }
    return settings | ({THREADS: torch.get_num_threads()} if computes else {})


def _set_torch_back(before: Settings) -> None:
    torch = _torch()
    if torch is None or "torch's search for anomalies" not in before:
        return
    torch.autograd.set_detect_anomaly(before["torch's search for anomalies"])
    strict = before["torch's deterministic algorithms"]
    warns = before["torch's warnings in place of errors"]
    if (strict, warns) != (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    ):
        torch.use_deterministic_algorithms(strict, warn_only=warns)
    torch.set_float32_matmul_precision(before["torch's precision of products"])
    torch.set_default_dtype(before["torch's default dtype"])
    torch.set_grad_enabled(before["torch's gradient mode"])
    _printed(torch).update(before[_PRINTED])
    if THREADS in before and torch.get_num_threads() != before[THREADS]:
        torch.set_num_threads(before[THREADS])


def _numpy() -> Any:
    """Returns numpy if it is imported as a whole; None otherwise."""
    numpy = sys.modules.get("numpy")
    return numpy if hasattr(numpy, "random") and hasattr(numpy, "get_printoptions") else None


def _torch() -> Any:
    """Returns torch if it is imported as a whole; None otherwise."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "is_anomaly_enabled") else None


def _printed(torch: Any) -> dict[str, Any]:
    """Returns torch's options for printing, which have no function to read them; or none."""
    return getattr(getattr(torch._tensor_str, "PRINT_OPTS", None), "__dict__", {})


def _forwarding(handler: Any) -> Callable[[int, Any], None]:
    """Returns a new handler of a signal that does the same as another one."""

    def forward(number: int, frame: Any) -> None:
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    return forward


def _handler(number: signal.Signals) -> str:
    return f"the handler of {number.name}"


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _umask() -> int:
    mask = os.umask(0o077)  # Only setting it tells what it was.
    os.umask(mask)
    return mask


def _is_vendored(folder: str) -> bool:
    """Returns whether a folder of `sys.path` is one of setuptools, which adds it when imported."""
    return folder.endswith("_vendor")


def _text(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


__all__ = [
    "OF_LIBRARIES",
    "disturb",
    "said",
    "set_back",
    "settings_now",
]
