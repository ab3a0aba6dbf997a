"""How the answers of a run changed, as the tag and the experiment's note say it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.workspace.records import (
    DONE,
    RUN,
    SAMPLES,
    STAGE,
    VERDICTS,
    DoneRecord,
    RunRecord,
    RunStage,
    SampleLine,
    StageRecord,
    VerdictLine,
)
from halo_mlflow.runs.answer_changes import ANSWERS, answers_changed
from halo_mlflow.runs.run_facts import RunFacts
from halo_mlflow.view.experiment_note import best_runs

PROMPT = [{"role": "user", "content": "What?"}]


class Written:
    """A run whose stages a test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stages: list[RunStage] = []

    def sample(self, id_: str, answers: dict[str, Sequence[str]], *, done: bool = True) -> Path:
        folder = self._stage(id_, {}, done=done)
        lines = [
            SampleLine(prompt_id=prompt, prompt=PROMPT, completion=text, tokens=1)  # type: ignore[typeddict-item]
            for prompt, texts in answers.items()
            for text in texts
        ]
        SAMPLES.write(folder / SAMPLES.name, lines)
        return folder

    def judge(self, id_: str, of: Path, results: dict[str, Any]) -> None:
        folder = self._stage(id_, {"of": str(of)})
        VERDICTS.append(
            folder / VERDICTS.name,
            [
                VerdictLine(
                    prompt_id=prompt,
                    prompt=PROMPT,  # type: ignore[typeddict-item]
                    completion="a",
                    baseline="b",
                    result=result,
                    flip=False,
                    orders=[],
                )
                for prompt, result in results.items()
            ],
        )

    def _stage(self, id_: str, inputs: dict[str, str], *, done: bool = True) -> Path:
        folder = self.root / "stages" / id_
        folder.mkdir(parents=True)
        record: Any = {"id": id_, "key": id_, "seed": 1, "stage": {}, "models": {}, "data": {}}
        record |= {"inputs": inputs, "cache": "", "events": "", "identity": {}}
        STAGE.write(folder, StageRecord(**record))
        if done:
            DONE.write(folder, DoneRecord(metrics={}, headline=""))
        self.stages.append(
            RunStage(id=id_, use="x", folder=f"stages/{id_}", key=id_, product="samples")
        )
        return folder

    def said(self) -> str:
        folder = self.root / "runs" / "toy"
        RUN.write(folder, RunRecord(name="toy", stages=self.stages))
        return answers_changed(RunFacts(folder, self.root))


@pytest.fixture
def run(tmp_path: Path) -> Written:
    return Written(tmp_path)


def test_the_last_two_stages_are_compared_with_their_verdicts(run: Written) -> None:
    run.sample("base", {"p": ["far away"], "q": ["x"], "r": ["y"]})
    sft = run.sample("sft", {"p": ["a"], "q": ["b"], "r": ["c"], "only": ["z"]})
    kto = run.sample("kto", {"p": ["a"], "q": ["B"], "r": ["C"]})
    run.judge("sft-win", sft, {"p": "win", "q": "loss", "r": "loss"})
    run.judge("kto-win", kto, {"p": "loss", "q": "win", "r": "win"})
    assert run.said() == ("sft → kto: 2 of 3 differ; 2 lost before and win now, 1 the other way")


def test_verdicts_of_other_stages_do_not_count(run: Written) -> None:
    run.sample("sft", {"p": ["a", "b"]})
    kto = run.sample("kto", {"p": ["a", "c"]})
    run.judge("kto-win", kto, {"p": "win"})
    assert run.said() == "sft → kto: 1 of 1 differ"


def test_a_run_with_one_finished_stage_or_other_prompts_says_nothing(run: Written) -> None:
    run.sample("sft", {"p": ["a"]})
    assert run.said() == ""
    run.sample("kto", {"p": ["b"]}, done=False)
    assert run.said() == ""
    run.sample("dpo", {"q": ["b"]})
    assert run.said() == ""


def test_the_note_says_how_the_answers_of_the_best_run_changed() -> None:
    def judged(name: str, win: float, **tags: str) -> Any:
        data = SimpleNamespace(
            tags={"halo.win": f"{win:.3f}", **tags}, metrics={"answer/win rate": win}
        )
        return SimpleNamespace(info=SimpleNamespace(run_name=name), data=data)

    runs = [judged("dpo", 0.6, **{ANSWERS: "other"}), judged("kto", 0.7, **{ANSWERS: "s → k: 1"})]
    assert best_runs(runs) == [
        "Highest win rate: kto 0.700, then dpo 0.600.",
        "How its answers changed: s → k: 1.",
    ]
    assert best_runs([judged("kto", 0.7)]) == ["Highest win rate: kto 0.700."]
