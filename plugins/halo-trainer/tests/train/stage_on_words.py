"""Rows of words to train a stage on, what it wrote, and a stop while it works."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from halo_core.events import read_events
from halo_core.feedback import Feedback
from halo_core.stage import StopFlag

WORDS = "the cow says moo duck quack ant six legs coal black green grass".split()


def make_rows(feedback: Feedback, count: int) -> list[dict[str, Any]]:
    rng = random.Random(5)

    def text() -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5)))

    columns: dict[str, Callable[[], dict[str, Any]]] = {
        "text": lambda: {"text": text()},
        "demonstration": lambda: {"completion": text()},
        "binary": lambda: {"completion": text(), "desirable": rng.random() < 0.5},
        "paired": lambda: {"chosen": text(), "rejected": text()},
        "scored": lambda: {
            "completions": [text() for _ in range(rng.randint(2, 4))],
            "scores": [rng.random() for _ in range(4)],
        },
    }
    prompts = [{"prompt": [{"role": "user", "content": f"{text()} {i}?"}]} for i in range(count)]
    if feedback == "scored":
        groups = [columns["scored"]() for _ in range(count)]
        for group in groups:
            group["scores"] = group["scores"][: len(group["completions"])]
        return [prompt | group for prompt, group in zip(prompts, groups, strict=True)]
    if feedback == "text":
        return [columns["text"]() for _ in range(count)]
    return [prompt | columns[feedback]() for prompt in prompts]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def curves(folder: Path) -> dict[tuple[int, str], float]:
    """The last value of each curve at each step, except timings."""
    return {
        (event["step"], name): value
        for event, _ in read_events(folder / "events.jsonl")
        if event["type"] == "metrics"
        for name, value in event["metrics"].items()
        if not name.startswith("perf/")
    }


def steps_kept(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))


class StopAfter(StopFlag):
    """Asks to stop while a certain step is computed."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.left = step

    def is_set(self) -> bool:
        self.left -= 1
        return self.left == 0
