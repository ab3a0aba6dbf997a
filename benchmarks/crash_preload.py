"""Imports what a run imports, once, for the server that `crash_runs` forks commands from."""

from __future__ import annotations

import gc
import pkgutil
from importlib import import_module

PACKAGES = [
    *("halo_core.cli", "halo_core.run", "halo_core.spec", "halo_core.suite", "halo_core.workspace"),
    *("halo_models", "halo_statistics", "halo_data", "halo_methods", "halo_trainer"),
    *("halo_judge", "halo_report"),
]
FURTHER = [
    *("accelerate", "filelock", "jinja2.sandbox", "matplotlib.figure", "openai", "peft", "pyarrow"),
    *("ruamel.yaml", "safetensors.torch", "scipy.stats", "scipy.optimize", "tokenizers", "torch"),
    *("transformers.models.auto", "transformers.models.llama.modeling_llama"),
    *("transformers.generation.utils", "transformers.integrations", "openai.resources.chat"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
]


def import_all() -> None:
    """Imports everything that is installed."""
    for name in PACKAGES:
        for module in pkgutil.walk_packages(import_module(name).__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    for name in FURTHER:
        try:
            import_module(name)
        except ModuleNotFoundError:
            continue


import_all()
# Each fork would search these objects for cycles again, and copy the memory that they are in.
gc.collect()
gc.freeze()
