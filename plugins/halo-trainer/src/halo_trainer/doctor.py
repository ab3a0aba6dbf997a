"""Facts for `halo doctor`: versions of the libraries, GPUs, and the kernels for attention."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from halo_core.errors import UserError
from halo_core.finding import Finding
from halo_core.overview.sizes import size_text
from halo_core.workspace.disk import free_bytes
from halo_trainer.sharding.versions import check_versions

LIBRARIES = ("torch", "transformers", "accelerate", "peft", "tokenizers", "safetensors")


def doctor_findings() -> list[Finding]:
    """Returns the facts about this machine that matter for training and sampling."""
    return [*_versions(), *_devices(), *_attention(), _hub()]


def _versions() -> Iterator[Finding]:
    for name in LIBRARIES:
        try:
            yield Finding("versions", name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            problem = f"the stages of halo-trainer need it: pip install {name}"
            yield Finding("versions", name, "not installed", problem)
    yield Finding("versions", "sharding", _sharding())
    if torch.version.cuda is not None:
        yield Finding("versions", "CUDA of torch", torch.version.cuda)


def _sharding() -> str:
    """Returns whether weights can be spread over processes, which few trainings need."""
    try:
        check_versions()
    except UserError as error:
        return error.message
    return "weights can be spread over processes"


def _devices() -> Iterator[Finding]:
    threads = torch.get_num_threads()
    yield Finding("devices", "threads of torch", str(threads))
    if not torch.cuda.is_available():
        built = "" if torch.version.cuda is None else ", although this torch is built for CUDA"
        text = f"none that torch sees{built}; device: auto uses the processor"
        yield Finding("devices", "GPU", text)
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        bfloat16 = "with" if properties.major >= 8 else "without"
        yield Finding(
            "devices",
            f"GPU {index}",
            f"{properties.name}, compute capability {properties.major}.{properties.minor}, "
            f"{bfloat16} bfloat16",
        )
        free, whole = torch.cuda.mem_get_info(index)
        memory = f"{size_text(free)} free of {size_text(whole)}"
        yield Finding("memory", f"GPU {index}", memory)


def _attention() -> Iterator[Finding]:
    """Yields the kernels of torch's scaled dot product attention that a GPU could use."""
    if not torch.cuda.is_available():
        yield Finding("attention", "kernels", "those of torch for processors")
        return
    switches = {"flash": "flash", "memory-efficient": "mem_efficient", "cuDNN": "cudnn"}
    enabled = ", ".join(
        name
        for name, switch in {**switches, "math": "math"}.items()
        if getattr(torch.backends.cuda, f"{switch}_sdp_enabled")()
    )
    yield Finding("attention", "kernels", enabled or "none")


def _hub() -> Finding:
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    token = "set" if os.environ.get("HF_TOKEN") else "not set"
    text = f"{size_text(free_bytes(cache))} free ({cache}); HF_TOKEN is {token}"
    return Finding("disk", "downloads", text)
