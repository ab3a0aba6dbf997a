"""The specs that `scale.py` runs."""

from __future__ import annotations

from pathlib import Path

SUITE = """\
name: scale-suite
model: {{path: {model}}}
data:
  train: {{use: files, path: {data}}}
  holdout: 0.02
matrix:
  beta: {{stages.align.loss.beta: [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5]}}
  rate: {{stages.align.learning_rate: [1.0e-6, 2.0e-6, 3.0e-6, 4.0e-6, 5.0e-6, 6.0e-6, 7.0e-6,
    8.0e-6, 9.0e-6, 1.0e-5]}}
  seed: {{seed: {seeds}}}
stages:
  first: {{use: train, loss: kto, data: train, steps: 10, device: cpu}}
  align: {{use: train, loss: {{use: kto, beta: 0.1}}, data: train, steps: 10, device: cpu}}
  answers: {{use: sample, from: align, prompts: test, n: 8, max_new_tokens: 8}}
  win: {{use: judge, judge: longest, of: answers, against: target}}
"""
"""100 cells for each seed, with four stages each."""


def rows_spec(model: Path, data: Path, *, holdout: bool) -> str:
    """Returns a spec with one training of one step."""
    return f"""\
name: scale-rows
model: {{path: {model}}}
data:
  train: {{use: files, path: {data}}}
  {"holdout: 0.1" if holdout else ""}
stages:
  kto:
    use: train
    loss: kto
    data: train
    {"evaluate: {test: test}" if holdout else ""}
    batch_size: 4
    steps: 1
    max_length: 512
    micro_batch_tokens: 2048
    device: cpu
reports: []
"""


def rerun_spec(name: str, model: Path, data: Path) -> str:
    """Returns a spec with a short training that logs each step, and with the page about it."""
    return f"""\
name: {name}
model: {{path: {model}}}
data:
  train: {{use: files, path: {data}}}
stages:
  kto:
    use: train
    loss: kto
    data: train
    batch_size: 2
    steps: 20
    max_length: 64
    log_every: 1
    micro_batch_tokens: 2048
    device: cpu
"""
