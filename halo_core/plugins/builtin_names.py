"""The bare names. They belong to the built-in plugins, even if these are not installed."""

from __future__ import annotations

from collections.abc import Mapping

RESERVED: Mapping[str, Mapping[str, str]] = {
    "loss": {
        "apo-down": "halo-methods",
        "apo-zero": "halo-methods",
        "bradley-terry": "halo-methods",
        "cdpo": "halo-methods",
        "csft": "halo-methods",
        "dpo": "halo-methods",
        "humanline": "halo-methods",
        "ipo": "halo-methods",
        "kto": "halo-methods",
        "kto-log-sigmoid": "halo-methods",
        "orpo": "halo-methods",
        "ppo": "halo-methods",
        "prospect": "halo-methods",
        "sft": "halo-methods",
        "simpo": "halo-methods",
        "slic": "halo-methods",
        "weighted-sum": "halo-methods",
    },
    "reference_point": {
        "dispreferred": "halo-methods",
        "matched-kl": "halo-methods",
        "mismatched-kl": "halo-methods",
        "running-mean": "halo-methods",
        "zero": "halo-methods",
    },
    "reference_update": {
        "copy": "halo-methods",
        "ema": "halo-methods",
    },
    "data": {
        "binary-to-demonstration": "halo-data",
        "hh": "halo-data",
        "hub": "halo-data",
        "jsonl": "halo-data",
        "keep-fraction": "halo-data",
        "label-noise": "halo-data",
        "mixture": "halo-data",
        "oasst": "halo-data",
        "paired-to-binary": "halo-data",
        "paired-to-demonstration": "halo-data",
        "qa-feedback": "halo-data",
        "scored-to-binary": "halo-data",
        "scored-to-paired": "halo-data",
        "settle-labels": "halo-data",
        "shp": "halo-data",
        "split-of": "halo-data",
        "toy": "halo-data",
        "ultrafeedback": "halo-data",
    },
    "judge": {
        "gpt-4": "halo-judge",
        "http": "halo-judge",
        "longest": "halo-judge",
        "oracle": "halo-data",
        "python": "halo-judge",
        "reward-model": "halo-judge",
    },
    "stage": {
        "judge": "halo-judge",
        "label": "halo-judge",
        "sample": "halo-trainer",
        "scratch": "halo-trainer",
        "train": "halo-trainer",
    },
    "tracker": {"mlflow": "halo-mlflow"},
    "report": {"html": "halo-report"},
    "command": {
        "compare": "halo-report",
        "data": "halo-core",
        "inspect": "halo-report",
        "judge": "halo-judge",
        "label": "halo-judge",
        "plan": "halo-core",
        "plugins": "halo-core",
        "report": "halo-report",
        "run": "halo-core",
        "schema": "halo-core",
        "sync": "halo-core",
        "ui": "halo-mlflow",
        "validate": "halo-core",
        "worker": "halo-core",
    },
}
"""The distribution that owns each name, by kind. A name never changes its meaning."""

KINDS = tuple(RESERVED)
