"""A sentence on how the answers of a run changed from one sampling stage to the next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from halo_core.workspace.records import DONE, SAMPLES, STAGE, VERDICTS
from halo_mlflow.runs.run_facts import RunFacts

ANSWERS = "halo.answers"
"""The tag with the sentence."""


def answers_changed(facts: RunFacts) -> str:
    """Returns how the answers changed between the last two sampling stages of a run.

    Verdicts count if both were judged: the last judge stage of each, on the prompts of both.

    Args:
        facts: The facts of the run.

    Returns:
        ``sft-answers → kto-answers: 178 of 192 differ; 49 lost before and win now, 6 the other
        way``; "" if there are no two stages with answers to the same prompts.

    Raises:
        DataError: When a file of a stage is damaged.
    """
    folders = {stage["id"]: facts.workspace / stage["folder"] for stage in facts.stages}
    done = {id_: folder for id_, folder in folders.items() if (folder / DONE.name).exists()}
    sampled = [id_ for id_, folder in done.items() if (folder / SAMPLES.name).exists()]
    if len(sampled) < 2:
        return ""
    before, after = sampled[-2:]
    texts, later = _answers(done[before]), _answers(done[after])
    shared = texts.keys() & later.keys()
    if not shared:
        return ""
    changed = sum(texts[prompt] != later[prompt] for prompt in shared)
    parts = [f"{changed} of {len(shared)} differ"]
    results, now = _results(done, done[before]), _results(done, done[after])
    pairs = [
        pair
        for prompt in results.keys() & now.keys()
        for pair in zip(results[prompt], now[prompt], strict=False)
    ]
    if pairs:
        won, lost = pairs.count(("loss", "win")), pairs.count(("win", "loss"))
        parts.append(f"{won} lost before and win now, {lost} the other way")
    return f"{before} → {after}: {'; '.join(parts)}"


def _answers(folder: Path) -> dict[str, list[str]]:
    """Returns the completions of each prompt, in order."""
    found: dict[str, list[str]] = {}
    for line in SAMPLES.read(folder / SAMPLES.name):
        found.setdefault(line["prompt_id"], []).append(line["completion"])
    return found


def _results(done: Mapping[str, Path], samples: Path) -> dict[str, list[str]]:
    """Returns the results of each prompt from the last judge stage of some samples, in order."""
    found: dict[str, list[str]] = {}
    for folder in done.values():
        if not (folder / VERDICTS.name).exists():
            continue
        record = STAGE.read(folder)
        judged = record["inputs"].get("of") if record else None
        if judged is not None and Path(judged).name == samples.name:
            found = {}
            for line in VERDICTS.read(folder / VERDICTS.name):
                found.setdefault(line["prompt_id"], []).append(line["result"])
    return found
