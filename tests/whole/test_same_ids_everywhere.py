"""Training, sampling and a reward model see the same token ids of a row, under any template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.scoring_judge import Answer
from halo_core.testing import data_set
from halo_judge.judges.reward_model.classifier_text import Reader
from halo_models.conversation import DIFFERS, ChatOptions
from halo_models.notes import ModelNotes
from halo_models.templates import TULU_2, render
from halo_models.testing import make_chat_tokenizer
from halo_trainer.encode.rows_to_tokens import EncodingOptions, encode
from halo_trainer.sample.chat import Chat
from halo_trainer.sample.select_prompts import select_prompts

FILE = Path(__file__).parents[2] / "libraries" / "halo-models" / "tests" / "template_kinds.yaml"
TEMPLATES = yaml.safe_load(FILE.read_text())
BY_NAME = {template["name"]: template for template in TEMPLATES}


def tokenizer_of(name: str, kind: Any) -> Any:
    from tokenizers import AddedToken

    template = BY_NAME[name]
    special = [t if isinstance(t, dict) else {"content": t} for t in template.get("special", ())]
    text = template["template"]
    return make_chat_tokenizer(
        kind,
        TULU_2 if text == "tulu" else text,
        eos=template.get("eos", "<eos>"),
        bos=template.get("bos"),
        added=[*(AddedToken(**t, special=True) for t in special), *template.get("plain", ())],
        writes_bos="bos" in template,
    )


@pytest.mark.parametrize("kind", ["bytes whole", "metaspace always"])
@pytest.mark.parametrize("name", BY_NAME)
def test_training_sampling_and_reward_models_see_the_same(
    name: str, kind: Any, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(name, kind)
    tokens = sorted(tokenizer.get_added_vocab())
    contents = ["The cow says moo.", " An ant \n", f"say {tokens[0]}{tokens[-1]} now"]
    rows: Any = [
        {"prompt": [{"role": "user", "content": content}], "completion": f"{content} x"}
        for content in contents
    ]
    data = data_set(tmp_path, "demonstration", rows, name="train")
    options = EncodingOptions(max_length=512, max_prompt_length=256)
    examples = encode(data, tokenizer, options=options, cache=tmp_path)
    sampled = Chat(tokenizer, ModelNotes(), ChatOptions()).encoded(
        select_prompts(data, None, 0), 256, lambda words: None
    )
    ours = Reader(tokenizer, ModelNotes(score_at="completion-end"), reads="conversation", limit=512)
    other = Reader(tokenizer, ModelNotes(), reads="conversation", limit=512)
    for row, example in zip(rows, examples, strict=True):
        (completion,) = example.completions
        learned = [*completion.prompt_ids.tolist(), *completion.completion_ids.tolist()]
        answer = Answer("1", row["prompt"], row["completion"])
        assert ours.read(answer).ids == learned
        if answer.completion != f"{contents[2]} x":
            # A model that halo did not train also reads the text of the template after the end.
            whole = [*row["prompt"], {"role": "assistant", "content": answer.completion}]
            text = render(tokenizer, whole, answer_follows=False)
            assert other.read(answer).ids == tokenizer(text, add_special_tokens=False)["input_ids"]
        if DIFFERS not in examples.counts.remarks:
            assert sampled[example.prompt_id].ids == completion.prompt_ids.tolist()
        else:
            asked = sampled[example.prompt_id].ids
            assert len(asked) >= len(completion.prompt_ids)
