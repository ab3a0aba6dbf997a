"""Judges to test the stage with, and samples for them to judge."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from halo_core.feedback import prompt_id
from halo_core.judge import Comparison, Judge, Verdict
from halo_core.stage import StageContext
from halo_core.testing.context import stage_context


class Scripted(Judge):
    """Answers with what a function says of each comparison, and remembers what it was asked."""

    asked: ClassVar[list[Comparison]] = []
    opened: ClassVar[list[Path]] = []

    says: Callable = Field(description="Comparison to a winner, a reason or an error.")

    def open(self, folder):
        self.opened.append(folder)
        return nullcontext(_Session(self))


class _Session:
    def __init__(self, judge):
        self.judge = judge

    def compare(self, comparisons):
        for comparison in comparisons:
            self.judge.asked.append(comparison)
            said = self.judge.says(comparison)
            if isinstance(said, Exception):
                raise said
            if said != "nothing":
                yield said if isinstance(said, Verdict) else Verdict(comparison.id, said, "why")


@pytest.fixture
def scripted():
    """Makes a scripted judge that has not been asked anything."""

    def make(says: Callable) -> Scripted:
        Scripted.asked.clear()
        Scripted.opened.clear()
        return Scripted(says=says)

    return make


def sample(number: int, completion: str, target: str | None, tokens: int = 3) -> dict:
    """A line of samples.jsonl for the prompt ``q<number>``."""
    prompt = [{"role": "user", "content": f"q{number}"}]
    return {
        "prompt_id": prompt_id(prompt),
        "prompt": prompt,
        "completion": completion,
        "target": target,
        "tokens": tokens,
        "target_tokens": None if target is None else tokens + 1,
        "token_ids": [1] * tokens,
        "finish": "stop",
    }


@pytest.fixture
def judge_context(tmp_path):
    """Makes the context of a judge stage `win` over given samples; call it again to resume."""

    def make(samples: list[dict], against: list[dict] | None = None, **more) -> StageContext:
        inputs = {"of": _write(tmp_path / "of", samples)}
        if against is not None:
            inputs["against"] = _write(tmp_path / "against", against)
        return stage_context(tmp_path / "win", id_="win", inputs=inputs, **more)

    return make


def _write(folder: Path, samples: list[dict]) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(line) + "\n" for line in samples]
    (folder / "samples.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def make_sample():
    return sample
