"""Makes rows, a tokenizer and a tiny model, all from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

WORDS = 20_000
VOCABULARY = 8_000
TRAINED_ON = 3_000
"""Number of rows that the tokenizer is trained on."""
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"

TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + "
    "eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def texts(seed: int) -> Iterator[str]:
    """Yields texts of 20 to 330 letters, whose words are as frequent as in a language."""
    rng = random.Random(seed)
    weights = range(len(LETTERS), 0, -1)
    words = ["".join(rng.choices(LETTERS, weights, k=rng.randint(2, 9))) for _ in range(WORDS)]
    frequencies = list(accumulate(1 / (rank + 3) for rank in range(WORDS)))
    while True:
        drawn = rng.choices(words, cum_weights=frequencies, k=rng.randint(4, 37))
        yield " ".join(drawn).capitalize() + "."


def chat_rows(count: int, seed: int) -> Iterator[str]:
    """Yields lines of binary feedback, of about 377 bytes. One in eight has three turns."""
    said = texts(seed)
    rng = random.Random(seed + 1)
    for number in range(count):
        turns = [{"role": "user", "content": f"{number}: {next(said)}"}]
        if number % 8 == 0:
            turns += [
                {"role": "assistant", "content": next(said)[:80]},
                {"role": "user", "content": next(said)[:80]},
            ]
        row = {"prompt": turns, "completion": next(said), "label": rng.random() < 0.5}
        yield json.dumps(row)


def tiny_rows(count: int, seed: int) -> Iterator[str]:
    """Yields lines of binary feedback with a few letters each."""
    rng = random.Random(seed)
    for number in range(count):
        yield f'{{"prompt": "{number}", "completion": "{number % 97}", "label": {_label(rng)}}}'


def _label(rng: random.Random) -> str:
    return "true" if rng.random() < 0.5 else "false"


def write_rows(path: Path, lines: Iterator[str]) -> int:
    """Writes lines, and returns the size of the file in bytes."""
    with path.open("w") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path.stat().st_size


def write_model(folder: Path, seed: int) -> None:
    """Writes a Llama with 8,000 tokens, a hidden size of 32 and a byte-level tokenizer."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from halo_models.save import save_model_folder
    from halo_models.testing import make_model

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken("<|end|>", special=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    said = texts(seed)
    backend.train_from_iterator((next(said) for _ in range(TRAINED_ON)), trainer)
    marks = [f"<|{role}|>" for role in ("system", "user", "assistant")]
    backend.add_tokens([AddedToken(mark, normalized=False, special=True) for mark in marks])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    size = len(tokenizer)
    model = make_model(size, max_position_embeddings=1024)
    save_model_folder(folder, model, tokenizer)
