"""Under which key each number of a run appears in MLflow.

A chart's section is everything before the last slash. The stages that a reader compares runs by
have plain sections, so that runs with other stage ids line up: the last stage with a loss (the
run's method), the last judge stage and the last sample stage. Other stages' sections begin with
their id:

| number | of the method's, last judge or last sample stage | of another stage |
|---|---|---|
| curve `train/loss` | `train/loss` | `sft.train/loss` |
| final number of a judge `win` | `bench/win` | `bench.win_sft/win` |
| final number of a sampler `len` | `samples/len` | `samples.answers_sft/len` |
| final number of a trainer `steps` | `final/steps` | `sft.final/steps` |

A trainer's final number that is named as one of its curves (`train/lr`, `lr` or `train_lr`) is the
curve's last value and not sent again, which would double every chart.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from halo_core.workspace.records import RunStage
from halo_mlflow.names import clean_name


@dataclass(frozen=True)
class PlainStages:
    """The ids of the stages whose sections are plain.

    Attributes:
        method: The last stage that trains.
        judge: The last that judges.
        sample: The last that samples.
    """

    method: str | None = None
    judge: str | None = None
    sample: str | None = None


def plain_stages(stages: Sequence[RunStage]) -> PlainStages:
    """Returns which stages of `run.json` have plain sections."""
    trained = _last(stages, "model", lambda stage: bool(stage.get("loss")))
    return PlainStages(
        trained or _last(stages, "model"), _last(stages, "verdicts"), _last(stages, "samples")
    )


def _last(stages: Sequence[RunStage], product: str, holds: Any = bool) -> str | None:
    found = [s["id"] for s in stages if s["product"] == product and holds(s)]
    return found[-1] if found else None


def curve_key(plain: PlainStages, stage: str, name: str) -> str:
    """Returns the key of a curve of a stage."""
    return clean_name(name if stage == plain.method else f"{stage}.{name}")


def final_key(
    plain: PlainStages, stage: str, product: str, name: str, curves: Collection[str] = ()
) -> str | None:
    """Returns the key of a final number of a stage; None for a curve's last value.

    Args:
        plain: The stages with plain sections.
        stage: The stage's id.
        product: What it makes.
        name: The number's name.
        curves: The keys of all curves so far, of any stage.
    """
    if "/" in name:
        return None
    if product == "verdicts":
        return clean_name(f"{_section('bench', stage, plain.judge)}/{name}")
    if product == "samples":
        return clean_name(f"{_section('samples', stage, plain.sample)}/{name}")
    prefix = "" if stage == plain.method else f"{stage}."
    if any(name in _short_names(key, prefix) for key in curves):
        return None
    return clean_name(f"{prefix}final/{name}")


def _short_names(key: str, prefix: str) -> tuple[str, ...]:
    """Returns how a trainer calls a curve's last value; nothing for another stage's curve."""
    curve = key.removeprefix(prefix)
    of_another = not key.startswith(prefix) or "." in curve.partition("/")[0]
    return () if of_another else (curve.rpartition("/")[2], curve.replace("/", "_"))


def _section(section: str, stage: str, plain: str | None) -> str:
    return section if stage == plain else f"{section}.{stage}"
