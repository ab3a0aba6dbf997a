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
| final number of a trainer `loss` | `final/loss` | `sft.final/loss` |

A final number with a curve's name (`train/loss`) is the curve's last value and not sent again:
a key is a line or a bar, never both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def plain_stages(stages: Sequence[Mapping[str, Any]]) -> PlainStages:
    """Returns which stages of `run.json` have plain sections."""
    trained = _last(stages, "model", lambda stage: bool(stage.get("loss")))
    return PlainStages(
        trained or _last(stages, "model"), _last(stages, "verdicts"), _last(stages, "samples")
    )


def _last(stages: Sequence[Mapping[str, Any]], product: str, holds: Any = bool) -> str | None:
    found = [str(s["id"]) for s in stages if s.get("product") == product and holds(s)]
    return found[-1] if found else None


def curve_key(plain: PlainStages, stage: str, name: str) -> str:
    """Returns the key of a curve of a stage."""
    return clean_name(name if stage == plain.method else f"{stage}.{name}")


def final_key(plain: PlainStages, stage: str, product: str, name: str) -> str | None:
    """Returns the key of a final number of a stage; None for a curve's last value."""
    if "/" in name:
        return None
    if product == "verdicts":
        return clean_name(f"{_section('bench', stage, plain.judge)}/{name}")
    if product == "samples":
        return clean_name(f"{_section('samples', stage, plain.sample)}/{name}")
    return clean_name(f"{'' if stage == plain.method else f'{stage}.'}final/{name}")


def _section(section: str, stage: str, plain: str | None) -> str:
    return section if stage == plain else f"{section}.{stage}"
