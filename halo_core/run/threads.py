"""Sets how the threads of numerical libraries wait for each other."""

from __future__ import annotations

import os


def patient_threads() -> None:
    """Lets OpenMP's threads sleep while they wait, unless the environment says otherwise.

    By default they spin. If another process uses a core, each of the many small parallel regions of
    a small model then waits for a thread that is not running. On two cores, one of them busy, the
    first steps of the quickstart took 26 s instead of more than 120 s. Call this before the library
    is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
