"""The GPUs of this machine, without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter

from halo_core.devices import EXAMPLE_DEVICES, GPUS, REPORT_GPU, Devices, known_gpu

SECONDS = 10.0
"""Time that the driver's program has to answer."""
_ASK = ("--query-gpu=index,uuid,memory.total,name", "--format=csv,noheader,nounits")


def devices_here() -> Devices:
    """Returns the GPUs of this machine that CUDA may use, or an example if there are none.

    If they differ, all of them count, each with the memory of the smallest.
    """
    found = _visible(_asked_driver(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    if not found:
        return EXAMPLE_DEVICES
    gigabytes = min(mebibytes for _, _, mebibytes, _ in found) * 2**20 / 1e9
    model = Counter(model for *_, model in found).most_common(1)[0][0]
    name = known_gpu(model)
    gpu = GPUS[name or REPORT_GPU]
    return Devices(len(found), round(gigabytes, 1), gpu.tflops, gpu.bandwidth, name, "here")


Found = tuple[str, str, int, str]
"""Index, unique name, memory in MiB and model of a GPU."""


def _asked_driver() -> list[Found]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, *_ASK], capture_output=True, text=True, timeout=SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []  # A driver that does not answer has no GPUs to offer; doctor says more.
    found: list[Found] = []
    for line in done.stdout.splitlines():
        words = [word.strip() for word in line.split(",", 3)]
        if len(words) == 4 and words[2].isdigit():
            found.append((words[0], words[1], int(words[2]), words[3]))
    return found


def _visible(found: list[Found], allowed: str | None) -> list[Found]:
    if allowed is None:
        return found
    names = [name.strip() for name in allowed.split(",")]
    # CUDA takes a unique name or its beginning, and stops at the first name that is unknown.
    chosen: list[Found] = []
    for name in names:
        same = [gpu for gpu in found if name and (gpu[0] == name or gpu[1].startswith(name))]
        if not same:
            break
        chosen.append(same[0])
    return chosen
