"""All that a stored log-probability depends on, besides the sequence itself."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from halo_core.hashing import short_hash
from halo_models import load
from halo_trainer.model.scorer import Scorer, kernel_of

Parts = Mapping[str, Any]
"""Values of JSON by name."""

_PACKAGES = ("torch", "transformers", "peft")
_SETTINGS = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS")
"""Variables of the environment that choose the kernels of a processor."""
_CODE = ("batch", "model", "reference_store")


def parts_before_loading(
    *,
    model: str,
    vocabulary: tuple[int, int],
    windows: Mapping[str, int],
    compute_dtype: torch.dtype,
    device: torch.device,
) -> dict[str, Any]:
    """Returns what is known before the reference is loaded.

    Args:
        model: Digest of its weights, configuration and adapter.
        vocabulary: Number of tokens of its own tokenizer and of the policy's, to which its
            embeddings grow.
        windows: Attention windows that are shorter than the longest sequence, so that the probe
            tests them.
        compute_dtype: The dtype of matrix products.
        device: The device.
    """
    return {
        "model": model,
        "vocabulary": list(vocabulary),
        "windows": dict(windows),
        "compute_dtype": str(compute_dtype),
        "device": _device(device),
        "libraries": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "code": _code(),
    }


def parts_of_scorer(scorer: Scorer) -> dict[str, Any]:
    """Returns what is known of a reference after it was loaded and probed.

    Args:
        scorer: The frozen model.
    """
    held = {name: str(value.dtype) for name, value in scorer.model.named_parameters()}
    model: Any = scorer.model
    head = model.get_output_embeddings()
    return {
        "route": scorer.route,
        "attention": model.config._attn_implementation,
        "kernel": kernel_of(scorer),
        "chunked_head": scorer.chunked,
        "head_dtype": str(head.weight.dtype),
        "weights": dict(sorted(Counter(held.values()).items())),
        "held": short_hash(json.dumps(held, sort_keys=True)),
        "quantization": str(getattr(model.config, "quantization_config", None)),
    }


def digest_of(*parts: Parts) -> str:
    """Returns 32 hexadecimal digits of parts of a key."""
    return short_hash(json.dumps(parts, sort_keys=True), 32)


def _device(device: torch.device) -> dict[str, Any]:
    """Returns what decides which kernels compute, and in which order they add."""
    found: dict[str, Any] = {
        "type": device.type,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul_precision": torch.get_float32_matmul_precision(),
    }
    if device.type == "cuda":
        backend, cudnn = torch.backends.cuda.matmul, cast(Any, torch.backends.cudnn)
        return found | {
            "name": torch.cuda.get_device_name(device),
            "capability": list(torch.cuda.get_device_capability(device)),
            "cuda": torch.version.cuda,
            "cudnn": cudnn.version(),
            "reduced": [
                backend.allow_bf16_reduced_precision_reduction,
                backend.allow_fp16_reduced_precision_reduction,
            ],
        }
    # The kernels of a processor split sums among threads.
    return found | {
        "name": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "settings": {name: os.environ.get(name) for name in _SETTINGS},
    }


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


@functools.cache
def _code() -> str:
    """Returns a digest of the code that computes, so that a change of it changes the key."""
    package = Path(__file__).parent.parent
    files = [path for folder in _CODE for path in sorted((package / folder).rglob("*.py"))]
    # It loads a model, and gives new tokens their rows.
    files.append(Path(load.__file__))
    return short_hash(json.dumps([[p.name, short_hash(p.read_bytes())] for p in files]))
