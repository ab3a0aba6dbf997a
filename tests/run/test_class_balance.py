"""A loss warns about the numbers of both classes before the first stage begins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]

WEIGHING = """
from typing import ClassVar
from halo_core import ClassCounts, Loss, LossBatch, LossOutput, Settled


class Weighing(Loss):
    feedback: ClassVar = "{feedback}"
    needs: ClassVar = ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        raise NotImplementedError

    def settle(self, counts: ClassCounts) -> Settled:
        return Settled(self, "counted", self._caution(counts))

    def _caution(self, counts: ClassCounts) -> str | None:
        {caution}
"""
ROWS = [{"prompt": f"{i}?", "completion": "Yes.", "label": i > 0} for i in range(5)]


@pytest.fixture
def weighing(tmp_path: Path, spec_file: Path) -> Callable[..., list[str]]:
    """Writes a loss and rows; returns the arguments of a run whose second stage uses both."""
    pairs = [{"prompt": f"{i}?", "chosen": "Yes.", "rejected": "No."} for i in range(5)]

    def write(caution: str, feedback: str = "binary") -> list[str]:
        loss, rows = tmp_path / "weighing.py", tmp_path / "rows.jsonl"
        loss.write_text(WEIGHING.format(feedback=feedback, caution=caution))
        given = ROWS if feedback == "binary" else pairs
        rows.write_text("".join(json.dumps(row) + "\n" for row in given))
        use = spec_file.read_text().partition("file:")[2].partition(":")[0]
        second = f"{{use: 'file:{use}:Learn', data: more, loss: 'file:{loss}:Weighing'}}"
        return [
            *("run", str(spec_file), "--json"),
            *("--set", f"data.more={{use: jsonl, path: {rows}}}", "--set", f"stages.more={second}"),
        ]

    return write


def events(found: dict[str, Any]) -> list[dict[str, Any]]:
    lines = (Path(found["folder"]) / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("feedback", "counts"), [("binary", "4 and 1"), ("paired", "5 and 5")])
def test_a_loss_warns_of_its_data_before_the_first_stage(
    halo: Halo, weighing: Callable[..., list[str]], feedback: str, counts: str
) -> None:
    caution = 'return f"{counts.desirable} and {counts.undesirable}"'
    done = halo(*weighing(caution, feedback))
    assert done.code == 0, done.err
    told = [e for e in events(done.json) if e["type"] in ("warning", "stage-started")]
    assert (told[0]["type"], told[0]["message"]) == ("warning", f"more: {counts}")
    assert [e["type"] for e in told].count("warning") == 1


def test_a_loss_that_is_content_says_nothing(
    halo: Halo, weighing: Callable[..., list[str]]
) -> None:
    done = halo(*weighing("return None"))
    assert done.code == 0, done.err
    assert "warning" not in [event["type"] for event in events(done.json)]


def test_a_loss_that_fails_to_judge_the_counts_is_named(
    halo: Halo, weighing: Callable[..., list[str]]
) -> None:
    done = halo(*weighing('raise KeyError("a bug of a stranger")'))
    assert done.code == 3
    assert "settle() raised KeyError: 'a bug of a stranger'" in done.out
    assert "weighing.py:17" in done.out
