"""The pairs of HH that are trained on, those that are held out, and their tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_data.sources.hh import HH

Row = Mapping[str, Any]


def split_pairs(
    folder: Path, tokenizer: Any, *, longest: int, train: int, held_out: int
) -> tuple[list[Row], list[Row], str]:
    """Returns pairs to train on, pairs to hold out, and how many there were, as a text.

    Pairs are taken in the order of a hash of their dialogue, which is the first user message. No
    dialogue is in both sets, and each held-out pair is of another dialogue. So held-out pairs are
    independent draws.

    Args:
        folder: The folder of the subset, with its ``test.jsonl.gz``.
        tokenizer: The model's tokenizer.
        longest: Largest number of tokens of a prompt with either reply.
        train: Number of pairs to train on.
        held_out: Number of pairs to hold out.

    Raises:
        SystemExit: When there are too few pairs.
    """
    pairs = list(HH(path=str(folder)).load("test").rows)
    short = [pair for pair in pairs if max(lengths(tokenizer, pair)) <= longest]
    dialogues: dict[str, list[Row]] = {}
    for pair in sorted(short, key=_dialogue_hash):
        dialogues.setdefault(_dialogue_hash(pair), []).append(pair)
    groups = list(dialogues.values())
    test = [group[0] for group in groups[:held_out]]
    rest = [pair for group in groups[held_out:] for pair in group]
    if len(test) < held_out or len(rest) < train:
        raise SystemExit(
            f"{folder}: {len(short)} pairs of {len(groups)} dialogues have at most {longest} "
            f"tokens; expected {held_out} dialogues and {train} further pairs. Raise --longest"
        )
    told = f"{len(pairs)} pairs, {len(short)} of at most {longest} tokens, {len(groups)} dialogues"
    return rest[:train], test, told


def lengths(tokenizer: Any, pair: Row) -> list[int]:
    """Returns the number of tokens of the prompt with the chosen and with the rejected reply."""
    return [sum(map(len, tokens(tokenizer, pair["prompt"], pair[s]))) for s in SIDES]


SIDES = ("chosen", "rejected")


def tokens(tokenizer: Any, prompt: Any, reply: str) -> tuple[list[int], list[int]]:
    """Returns the tokens of a prompt and of a reply with the token that ends it."""
    text = prompt_text(tokenizer, prompt)
    parts = (text, reply + tokenizer.eos_token)
    before, after = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in parts)
    return before, after


def prompt_text(tokenizer: Any, prompt: Any) -> str:
    """Returns the text of a prompt in the model's own template, up to where the reply begins."""
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    return text


def replies_of(pairs: Sequence[Row], *, both: bool) -> list[Row]:
    """Returns labelled replies: both of each pair, or the chosen and the rejected one in turn."""
    return [
        {"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"}
        for number, pair in enumerate(pairs)
        for side in (SIDES if both else (SIDES[number % 2],))
    ]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes pairs or labelled replies as JSON lines."""
    columns = ("prompt", *SIDES, "completion", "label")
    told = [{key: row[key] for key in columns if key in row} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")


def _dialogue_hash(pair: Row) -> str:
    first = next(said["content"] for said in pair["prompt"] if said["role"] == "user")
    return hashlib.sha256(first.encode()).hexdigest()
