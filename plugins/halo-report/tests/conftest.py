"""A small run's folder with invented content, in the form that `halo run` writes."""

import json
import math
from pathlib import Path

import pytest

from halo_core.events import EventLog
from halo_core.workspace.records import DONE

PRODUCTS = {"train": "model", "sample": "samples", "judge": "verdicts"}
INPUTS = {
    "kto": {"models": {"from": "sft"}},
    "before": {"models": {"from": "sft"}},
    "after": {"models": {"from": "kto"}},
    "win-sft": {"inputs": {"of": "before"}},
    "win-kto": {"inputs": {"of": "after"}},
}
"""The stages that the stages of the made-up run get their input from."""


@pytest.fixture(scope="session")
def make_run():
    """Writes a workspace with one run into a folder and returns the run's folder."""
    return synthetic_run


@pytest.fixture
def write_run(make_run, tmp_path):
    """Does the same in the test's own folder."""

    def write(**options) -> Path:
        return make_run(tmp_path / "workspace", **options)

    return write


@pytest.fixture
def drawn():
    """Figures are laid out and written, as outside of tests."""


@pytest.fixture(autouse=True)
def _only_painted(request, monkeypatch):
    """Paints figures, but does not lay them out and write them, which takes longest.

    A test that looks at figures asks for the fixture `drawn`.
    """
    if "drawn" in request.fixturenames:
        return
    from matplotlib.figure import Figure

    def painted(plot):
        plot.paint(Figure())
        return f"<svg>{plot.name}</svg>"

    def saved(plot, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(painted(plot), encoding="utf-8")
        return path

    monkeypatch.setattr("halo_report.pages.html.svg_element", painted)
    for module in ("pages.html", "figures.plot"):
        monkeypatch.setattr(f"halo_report.{module}.save", saved)


@pytest.fixture
def event_log():
    return lambda run: EventLog(run / "events.jsonl")


def synthetic_run(
    workspace: Path,
    *,
    name: str = "toy-1234",
    prompts: int = 24,
    steps: int = 40,
    completion: str = "A cow says moo.",
    judged: dict[str, float] | None = None,
    wins: tuple[str, ...] = ("win", "win", "tie", "loss"),
) -> Path:
    """SFT, KTO, samples of both and a judgement of each, all done but for the run's end.

    Args:
        workspace: The workspace.
        name: Name of the run's folder.
        prompts: Number of prompts.
        steps: Number of steps of each training.
        completion: The text that every completion begins with.
        judged: Further metrics of the judge stages.
        wins: The results of KTO's completions, over and over.
    """
    run = workspace / "runs" / name
    run.mkdir(parents=True)
    stages = [
        ("sft", "train", "sft"),
        ("kto", "train", "kto"),
        ("before", "sample", None),
        ("after", "sample", None),
        ("win-sft", "judge", None),
        ("win-kto", "judge", None),
    ]
    _write_record(run, stages, name)
    log = EventLog(run / "events.jsonl")
    log.append("run-started", name="toy", run=run.name, stages=[s[0] for s in stages])
    log.append("warning", stage="after", message="2 of 26 prompts have no target")
    for number, (id_, use, loss) in enumerate(stages):
        folder = workspace / _stage_folder(use, id_, name)
        folder.mkdir(parents=True)
        where = {"stage": id_, "use": use, "folder": f"stages/{folder.name}"}
        log.append("stage-started", **where, resumed=False)
        if use == "train":
            _log_curves(log, id_, loss, steps)
        if use == "sample":
            _write_lines(folder / "samples.jsonl", _samples(prompts, id_, completion))
            log.append("samples", stage=id_, path="samples.jsonl", count=prompts)
        if use == "judge":
            _write_lines(folder / "verdicts.jsonl", _verdicts(prompts, id_, completion, wins))
            log.append("verdicts", stage=id_, path="verdicts.jsonl", count=prompts)
        metrics = {"n": prompts, "value": 0.5 + number / 100}
        metrics |= (judged or {}) if use == "judge" else {}
        DONE.write(folder, {"metrics": metrics, "headline": f"{id_} is done"})
        log.append(
            "stage-ended",
            **where,
            product=PRODUCTS[use],
            status="computed",
            metrics=metrics,
            headline=f"{id_} is done",
        )
    return run


def _stage_folder(use, id_, name):
    return f"stages/{use}-{id_}" + ("" if name == "toy-1234" else f"-{name}")


def _write_record(run, stages, name):
    record = {
        "schema": 1,
        "name": run.name,
        "command": ["halo", "run", "toy.yaml"],
        "stages": [
            {
                "id": id_,
                "use": use,
                "folder": _stage_folder(use, id_, name),
                "key": id_,
                "product": PRODUCTS[use],
                "loss": loss,
                **INPUTS.get(id_, {}),
            }
            for id_, use, loss in stages
        ],
        "components": [
            {
                "kind": "loss",
                "name": "kto",
                "distribution": "halo-methods",
                "version": "0.1.0",
                "origin": "/site-packages/halo_methods/components.py",
                "source": "0123456789abcdef",
                "options": {},
            }
        ],
        "versions": {"python": "3.11.2", "halo-core": "0.1.0"},
    }
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (run / "spec.yaml").write_text("name: toy\n", encoding="utf-8")
    (run / "spec.resolved.yaml").write_text("name: toy\nseed: 0\n", encoding="utf-8")


def _log_curves(log, id_, loss, steps):
    for step in range(1, steps + 1):
        metrics = {"train/loss": 3 * math.exp(-step / 20) + 0.5, "train/lr": 1e-3}
        if loss == "kto":
            metrics |= {
                "rewards/desirable": step / 80,
                "rewards/undesirable": -step / 50,
                "policy/reference_point": math.sqrt(step) / 10,
                "policy/kl": math.sqrt(step) / 10 - 0.2 * (step % 2),
            }
        if step % 10 == 0:
            metrics["eval/test/loss"] = 3 * math.exp(-step / 20) + 0.6
        log.append("metrics", stage=id_, step=step, metrics=metrics, examples=step * 32)


def _text(number, id_, completion):
    return f"{completion} {id_} {number}. " + "Indeed, my friend. " * (number % 5)


def _samples(prompts, id_, completion):
    return [
        {
            "prompt_id": f"p{number}",
            "prompt": [{"role": "user", "content": f"What does a cow say? ({number})"}],
            "completion": _text(number, id_, completion),
            "target": "It says moo." + " You fool." * (number % 2),
            "tokens": 5 + number % 7,
            "target_tokens": 4 + number % 2,
            "token_ids": [1],
            "finish": "length" if number % 6 == 0 else "stop",
        }
        for number in range(prompts)
    ]


def _verdicts(prompts, id_, completion, wins):
    of = "before" if id_ == "win-sft" else "after"
    results = ("win", "loss", "tie", "loss") if of == "before" else wins
    return [
        {
            "prompt_id": f"p{number}",
            "prompt": [],
            "completion": _text(number, of, completion),
            "baseline": "It says moo.",
            "result": "unscored" if number == 5 else results[number % len(results)],
            "flip": number % 4 == 2,
            "orders": [],
            "tokens": 5,
            "baseline_tokens": None,
        }
        for number in range(prompts)
    ]


def _write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def suite(tmp_path):
    """Writes suites with made-up runs into the test's own workspace."""
    return SuiteWriter(tmp_path / "workspace")


class SuiteWriter:
    """Writes runs and suites in the form that `halo run` writes."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace

    def run(self, name, results, *, judges=("win",), loss="kto", tokens=10, status="done") -> str:
        """Writes a run with one verdict per prompt and judge stage; returns ``runs/<name>``."""
        run = self.workspace / "runs" / name
        run.mkdir(parents=True)
        log = EventLog(run / "events.jsonl")
        log.append("run-started", name=name, run=name)
        self._stage(log, name, loss, "train", lambda folder: _log_curves(log, loss, loss, 5))
        for judge in judges:
            verdicts = [
                self.verdict(i, result, tokens=tokens + i % 3) for i, result in enumerate(results)
            ]
            self._stage(
                log,
                name,
                judge,
                "judge",
                lambda f, v=verdicts: _write_lines(f / "verdicts.jsonl", v),
            )
        log.append("run-ended", status=status, headline="", error="" if status == "done" else "bad")
        options = f"stages: {{a: {{use: train, loss: {{use: {loss}}}}}}}\n"
        (run / "spec.resolved.yaml").write_text(options, encoding="utf-8")
        return f"runs/{name}"

    def verdict(self, number, result, tokens=5, completion="", baseline=""):
        """Returns a line of ``verdicts.jsonl``."""
        return {
            "prompt_id": f"p{number}",
            "prompt": [],
            "completion": completion,
            "baseline": baseline,
            "result": result,
            "flip": False,
            "orders": [],
            "tokens": tokens,
        }

    def _stage(self, log, run, id_, use, work):
        folder = self.workspace / "stages" / f"{run}-{id_}"
        folder.mkdir(parents=True)
        where = {"stage": id_, "use": use, "folder": f"stages/{folder.name}"}
        log.append("stage-started", **where, resumed=False)
        work(folder)
        ended = {"product": PRODUCTS[use], "status": "computed", "metrics": {}, "headline": ""}
        log.append("stage-ended", **where, **ended)

    def write(self, name, axes, cells) -> Path:
        """Writes ``suite.json``: cells are (names of the axes' cells, run, status, error)."""
        folder = self.workspace / "suites" / f"{name}-1234"
        folder.mkdir(parents=True)
        listed = [
            {"id": "/".join(named), "axes": dict(zip(axes, named, strict=False))}
            | {"run": run, "status": status, "error": error}
            for named, run, status, error in cells
        ]
        record = {"schema": 1, "name": name, "axes": axes, "cells": listed}
        (folder / "suite.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    def results(self, wins, losses, ties=0, unscored=0):
        """Returns results in a fixed order."""
        return ["win"] * wins + ["tie"] * ties + ["loss"] * losses + ["unscored"] * unscored
