"""Measures the answers of a run of `examples/real-smollm2.yaml` on the held-out prompts.

    python benchmarks/real_answers.py WORKSPACE [--shown 4]

For the most probable answers of the model as it was, and for the answers before and after each
round, it prints mean scores of both lexicons, lengths, distinct words, and the log-ratio to the
model as it was: the mean over answers of ``sum log p(answer) - sum log p_start(answer)``, in nats.
The first term is stored with the samples. The second one is computed by transformers alone. The
answers are drawn with the run's `top_p`, so the mean estimates the KL divergence of the policy only
as far as the cut tail allows.

It needs the two lexicons: ``pip install --no-deps vaderSentiment afinn``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "real"))


def main() -> int:
    parser = argparse.ArgumentParser(description="The answers of the real model's run.")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--shown", type=int, default=4, help="prompts whose answers are shown")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start, answers = read_run(options.workspace)
    tokenizer = AutoTokenizer.from_pretrained(start)
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32).eval()
    print("| answers | VADER | positive | AFINN | tokens | ended | distinct words | log-ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name, samples in answers.items():
        ratio = "" if name == "rival" else f"{log_ratio(model, tokenizer, samples):.1f}"
        print(f"| {name} | {' | '.join(columns(samples))} | {ratio} |")
    for prompts in list(zip(*answers.values(), strict=True))[: options.shown]:
        print(f"\n{prompts[0]['prompt'][-1]['content']}")
        for name, sample in zip(answers, prompts, strict=True):
            print(f"  {name}: {' '.join(sample['completion'].split())}")
    return 0


def read_run(workspace: Path) -> tuple[Path, dict[str, list[dict[str, Any]]]]:
    """Returns the folder of the model as it was, and the samples of the held-out prompts."""
    (run,) = (workspace / "runs").glob("*/run.json")
    folders = {s["id"]: workspace / s["folder"] for s in json.loads(run.read_text())["stages"]}
    wanted = [name for name in folders if name == "rival" or name.startswith("answers")]
    about = json.loads((folders["rival"] / "stage.json").read_text())
    return Path(about["models"]["from"]["path"]), {
        name: [json.loads(line) for line in (folders[name] / "samples.jsonl").open()]
        for name in wanted
    }


def columns(samples: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the numbers of some answers as the columns of a table."""
    from sentiment import afinn, vader

    texts = [sample["completion"] for sample in samples]
    compound = [vader([], text) for text in texts]
    words = [word for text in texts for word in re.findall(r"[a-z']+", text.lower())]
    ended = fmean(sample["finish"] == "stop" for sample in samples)
    return [
        f"{fmean(compound):+.2f}",
        f"{fmean(score > 0 for score in compound):.0%}",
        f"{fmean(afinn([], text) for text in texts):+.3f}",
        f"{fmean(sample['tokens'] for sample in samples):.1f}",
        f"{ended:.0%}",
        f"{len(set(words)) / len(words):.2f}",
    ]


def log_ratio(model: Any, tokenizer: Any, samples: Sequence[dict[str, Any]]) -> float:
    """Returns the mean log-ratio of answers to a model that did not write them, in nats."""
    ratios = []
    for sample in samples:
        prompt = tokenizer.apply_chat_template(
            sample["prompt"], tokenize=True, add_generation_prompt=True, return_dict=False
        )
        own = list(sample["token_ids"])
        if sample["finish"] == "stop":
            own.append(tokenizer.eos_token_id)
        if len(own) != len(sample["token_logps"]):
            raise SystemExit(f"{sample['prompt_id']}: another number of tokens than probabilities")
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *own]])).logits[0, len(prompt) - 1 : -1]
        logps = logits.double().log_softmax(-1).gather(-1, torch.tensor(own)[:, None])
        ratios.append(sum(sample["token_logps"]) - float(logps.sum()))
    return fmean(ratios)


if __name__ == "__main__":
    sys.exit(main())
