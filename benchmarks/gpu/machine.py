"""The device, its libraries, and the rate of its matrix products."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform

import torch
from speed.arithmetic import matrix_rate

from gpu.models import device

PACKAGES = ("torch", "transformers", "accelerate", "peft", "trl")


def main() -> None:
    found = device()
    size, seconds = (8192, 2.0) if found == "cuda" else (512, 0.2)
    rates = {
        name: matrix_rate(seconds, size=size, device=found, dtype=dtype) / 1e12
        for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32))
    }
    facts: dict[str, object] = {
        "device": torch.cuda.get_device_name() if found == "cuda" else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        **{f"matrix_rate_{name}_tflops": round(rate, 3) for name, rate in rates.items()},
    }
    if found == "cuda":
        facts["memory_gb"] = round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1)
        facts["capability"] = list(torch.cuda.get_device_capability())
    print(json.dumps(facts))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
