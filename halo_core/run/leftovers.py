"""Frees what earlier stages of this process left, before the next one takes its memory."""

from __future__ import annotations

import gc
import time

EVERY_S = 5.0
"""CPU time between two searches. A search takes about a quarter of a second."""

_searched_at = 0.0


def free_leftovers() -> None:
    """Runs the garbage collector, if this process has worked for some seconds since the last time.

    A model can be part of a reference cycle. For example, jinja2 makes a cycle of each error of a
    chat template, and it holds the variables of all callers. Python frees a cycle only when enough
    other objects were made, and a stage makes few. So two models would be in memory.
    """
    global _searched_at
    now = time.process_time()
    if now - _searched_at >= EVERY_S:
        gc.collect()
        _searched_at = now
