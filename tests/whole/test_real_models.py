"""Two real models of unlike kinds, from training to an export that other programs load.

SmolLM2 is of Llama's kind; Gemma 3 has other norms, attention windows and a vocabulary of 262,144.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
TEMPLATES = Path(__file__).parents[2] / "libraries/halo-models/tests/template_kinds.yaml"
PROMPT = "Name a colour."
ROWS = [
    {"prompt": PROMPT, "completion": "Blue.", "label": True},
    {"prompt": "Name a fish.", "completion": "A door.", "label": False},
]
TOKENS = 5
SHORT = {"steps": 1, "batch_size": 2, "max_length": 96, "precision": "float32"}


@dataclass(frozen=True)
class Made:
    """A run that is done, and the export of its last model."""

    stages: dict[str, dict[str, Any]]
    answers: list[dict[str, Any]]
    export: Path


def spec(file: Path, template: str | None) -> dict[str, Any]:
    """Returns a spec that trains all weights, then low-rank factors, and judges the answers."""
    # SGD has no state, so a full training holds the weights and their gradient only.
    full = {
        "data": "asked",
        "loss": "sft",
        "optimizer": "SGD",
        "learning_rate": 1e-3,
        "template": template,
    }
    low = {
        "data": "rows",
        "loss": "kto",
        "lora": {"rank": 4},
        "learning_rate": 1e-3,
        "template": template,
    }
    return {
        "name": "kinds",
        "model": {"gguf": str(file)},
        "data": {
            "rows": {"use": "files", "path": "rows.jsonl"},
            "asked": {"use": "files", "path": "asked.jsonl"},
        },
        "stages": {
            "tuned": {"use": "train", **SHORT, **full},
            "aligned": {"use": "train", "from": "tuned", **SHORT, **low},
            "answers": {
                "use": "sample",
                "from": "aligned",
                "prompts": "asked",
                "temperature": 0,
                "max_new_tokens": TOKENS,
                "template": template,
                "precision": "float32",
            },
            "win": {"use": "judge", "judge": "longest", "of": "answers", "against": "target"},
        },
    }


@pytest.fixture(scope="module", params=["llama", "gemma"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, halo_in: Any
) -> Iterator[Made]:
    kinds = yaml.safe_load(TEMPLATES.read_text())
    gemma = next(kind["template"] for kind in kinds if kind["name"] == "Gemma 3")
    name, template = {"llama": ("smollm2_file", None), "gemma": ("gemma_file", gemma)}[
        request.param
    ]
    file = request.getfixturevalue(name)
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "asked.jsonl").write_text(json.dumps({"prompt": PROMPT, "completion": "Red."}))
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec(file, template), sort_keys=False))
    try:
        run = halo_in(folder, "run", "spec.yaml")
        assert run.code == 0, run.err
        (record,) = (folder / "workspace" / "runs").glob("*/run.json")
        about = json.loads(record.read_text())
        exported = halo_in(folder, "export", f"{about['name']}:aligned", "exported")
        assert exported.code == 0, exported.err
        folders = {stage["id"]: folder / "workspace" / stage["folder"] for stage in about["stages"]}
        done = {id_: json.loads((each / "done.json").read_text()) for id_, each in folders.items()}
        samples = (folders["answers"] / "samples.jsonl").read_text().splitlines()
        yield Made(
            {id_: each["metrics"] for id_, each in done.items()},
            [json.loads(line) for line in samples],
            folder / "exported",
        )
    finally:
        shutil.rmtree(folder)  # several gigabytes


def test_it_is_trained_sampled_and_judged(made: Made) -> None:
    # A model that knows nothing gives each token of the vocabulary the same probability.
    assert 0 < made.stages["tuned"]["loss"] < log(made.stages["model"]["vocabulary"])
    assert made.stages["aligned"]["loss"] == pytest.approx(0.5, abs=1e-4)
    assert made.stages["aligned"]["grad_norm"] > 0
    (answer,) = made.answers
    assert answer["completion"].strip()
    assert made.stages["win"]["n"] == 1


def test_transformers_writes_the_same_most_probable_tokens(made: Made) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made.export)
    model = AutoModelForCausalLM.from_pretrained(made.export)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": PROMPT}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    written = model.generate(**prompt, max_new_tokens=TOKENS, do_sample=False)
    own = made.answers[0]["token_ids"]
    assert written[0, prompt["input_ids"].shape[1] :].tolist()[: len(own)] == own


def test_transformers_serve_answers_the_same(
    made: Made, transformers_serve: Callable[[Path], AbstractContextManager[str]]
) -> None:
    with transformers_serve(made.export) as url:
        said = ask(f"{url}/v1/chat/completions", str(made.export))
    assert said.strip() == made.answers[0]["completion"].strip()


def ask(url: str, model: str) -> str:
    """Returns the reply of an endpoint to the prompt."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": False,
    }
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=300) as answer:
        said: str = json.load(answer)["choices"][0]["message"]["content"]
    return said
