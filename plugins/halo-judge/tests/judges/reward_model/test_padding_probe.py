"""Padded batches of classifiers are right; otherwise halo warns and scores texts one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from halo_core.judge import JudgeContext
from halo_core.scoring_judge import Answer
from halo_judge.judges.reward_model.options import RewardModel
from halo_models.testing import make_tokenizer

TOLERANCE = 1e-5
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
    "num_labels": 1,
    "pad_token_id": 0,
}
KINDS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": SIZES,
    "llama": SIZES,
    "mistral": SIZES | {"num_key_value_heads": 2, "sliding_window": 5},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "num_labels": 1, "pad_token_id": 0},
}
TEXTS = ["moo", "The cow says moo and the duck says quack.", "An ant has six legs;"]


def save(folder: Path, kind: str) -> None:
    tokenizer = make_tokenizer()
    options = {"vocab_size": len(tokenizer), "eos_token_id": 0, "bos_token_id": None}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(options | KINDS[kind]))
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def scores(folder: Path, warnings: list[str], batch_size: int = 16) -> list[float | None]:
    judge = RewardModel(path=str(folder), reads="completion", device="cpu", batch_size=batch_size)
    answers = [Answer(str(i), [{"role": "user", "content": "?"}], t) for i, t in enumerate(TEXTS)]
    with judge.open_scoring(JudgeContext(folder, folder, warn=warnings.append)) as session:
        found = {score.id: score.value for score in session.score(answers)}
    return [found[answer.id] for answer in answers]


@pytest.mark.parametrize("kind", KINDS)
def test_padded_texts_get_the_scores_that_they_get_alone(tmp_path: Path, kind: str) -> None:
    save(tmp_path, kind)
    warnings: list[str] = []
    found = scores(tmp_path, warnings)
    assert warnings == []
    assert found == pytest.approx(scores(tmp_path, warnings, batch_size=1), abs=TOLERANCE)


def test_a_classifier_that_sees_padding_is_told_and_scores_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertForSequenceClassification

    save(tmp_path, "bert")
    right = scores(tmp_path, [], batch_size=1)
    forward = BertForSequenceClassification.forward

    def blind(self: Any, attention_mask: Any, **inputs: Any) -> Any:
        return forward(self, attention_mask=None, **inputs)

    monkeypatch.setattr(BertForSequenceClassification, "forward", blind)
    warnings: list[str] = []
    assert scores(tmp_path, warnings) == right
    (warning,) = warnings
    assert warning.startswith(
        "BertForSequenceClassification gives other scores for texts in a padded batch than for "
        "each alone (the difference is "
    )
    assert warning.endswith(
        "so texts are scored one at a time; the scores are right, but it takes longer"
    )
    assert scores(tmp_path, warnings, batch_size=1) == right
    assert len(warnings) == 1
