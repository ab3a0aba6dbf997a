"""How busy this machine is with other programs, for limits of time that blame nobody for it."""

from __future__ import annotations

import os

MOST = 10.0
"""Largest number by which a limit is multiplied."""


def busy() -> float:
    """Returns the number by which a limit in seconds is multiplied: 1 on a quiet machine."""
    if not hasattr(os, "getloadavg"):
        return 1.0
    return min(MOST, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


__all__ = ["busy"]
