"""The bare names, which belong to the built-in plugins whether these are installed or not."""

from __future__ import annotations

from collections.abc import Mapping

RESERVED: Mapping[str, Mapping[str, str]] = {
    "loss": {"dpo": "halo-methods", "kto": "halo-methods", "sft": "halo-methods"},
    "reference_point": {"mismatched-kl": "halo-methods", "zero": "halo-methods"},
    "data": {
        "binary-to-demonstration": "halo-data",
        "hh": "halo-data",
        "hub": "halo-data",
        "jsonl": "halo-data",
        "paired-to-binary": "halo-data",
        "paired-to-demonstration": "halo-data",
        "toy": "halo-data",
    },
    "judge": {"gpt-4": "halo-judge", "longest": "halo-judge", "oracle": "halo-data"},
    "stage": {
        "judge": "halo-judge",
        "sample": "halo-trainer",
        "scratch": "halo-trainer",
        "train": "halo-trainer",
    },
    "tracker": {"mlflow": "halo-mlflow"},
    "report": {"html": "halo-report"},
    "command": {
        "data": "halo-core",
        "plan": "halo-core",
        "plugins": "halo-core",
        "run": "halo-core",
        "schema": "halo-core",
        "sync": "halo-core",
        "ui": "halo-mlflow",
        "validate": "halo-core",
        "worker": "halo-core",
    },
}
"""Kind to name to the distribution that owns it. A name never changes its meaning."""

KINDS = tuple(RESERVED)
