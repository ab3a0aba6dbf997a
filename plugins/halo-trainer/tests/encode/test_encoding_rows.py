from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halo_core.errors import DataError, UserError
from halo_core.rows import DataSet
from halo_trainer.encode import rows_to_tokens as encoding
from halo_trainer.encode.rows_to_tokens import EncodedData, EncodingOptions, cache_key, encode

LONG = EncodingOptions(max_length=64, max_prompt_length=32)
COW = [{"role": "user", "content": "What says a cow?"}]
DUCK = [{"role": "user", "content": "What says a duck?"}]
MakeData = Callable[..., DataSet]


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_binary_rows_become_prompt_and_completion_with_eos(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    rows = [
        {"prompt": COW, "completion": "Moo.", "desirable": True},
        {"prompt": COW, "completion": "Quack.", "desirable": False},
        {"prompt": DUCK, "completion": "Moo.", "desirable": False},
    ]
    data = make_data("binary", rows)
    encoded = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    assert len(encoded) == 3
    assert [e.id for e in encoded] == ["train-0", "train-1", "train-2"]
    assert [e.prompt_id for e in encoded] == [row["prompt_id"] for row in data]
    first = encoded[0].completions[0]
    assert first.prompt_ids.dtype == first.completion_ids.dtype == np.int32
    prompt = "<|user|>\nWhat says a cow?\n<|assistant|>\n"
    assert first.prompt_ids.tolist() == ids(tiny_tokenizer, prompt)
    assert first.completion_ids.tolist() == [*ids(tiny_tokenizer, "Moo."), 0]
    assert [c.desirable for e in encoded for c in e.completions] == [True, False, False]
    same, other, again = (e.completions[0].completion_id for e in encoded)
    assert same == again != other
    assert encoded.feedback == "binary"
    assert encoded.counts.desirable == 1
    assert encoded.truncated_prompts == encoded.truncated_completions == 0


def test_pairs_hold_the_chosen_completion_first(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    data = make_data("paired", [{"prompt": COW, "chosen": "Moo.", "rejected": "Quack."}])
    (example,) = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    chosen, rejected = example.completions
    assert (chosen.desirable, rejected.desirable) == (True, False)
    assert tiny_tokenizer.decode(chosen.completion_ids) == "Moo.<|endoftext|>"
    assert chosen.prompt_ids.tolist() == rejected.prompt_ids.tolist()


def test_eos_is_a_token_of_the_completion_even_as_the_padding_token(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    data = make_data("demonstration", [{"prompt": COW, "completion": "Moo."}])
    (example,) = encode(data, tokenizer, options=LONG, cache=tmp_path)
    assert example.completions[0].completion_ids[-1] == tokenizer.eos_token_id


def test_completion_is_cut_on_the_right_and_then_has_no_eos(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    text = "moo " * 40
    data = make_data("demonstration", [{"prompt": COW, "completion": text}])
    encoded = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    completion = encoded[0].completions[0]
    assert len(completion.prompt_ids) + len(completion.completion_ids) == 64
    kept = len(completion.completion_ids)
    assert completion.completion_ids.tolist() == ids(tiny_tokenizer, text)[:kept]
    assert encoded.truncated_completions == 1


def test_completion_that_just_fits_keeps_its_eos(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    data = make_data("demonstration", [{"prompt": COW, "completion": "Moo."}])
    whole = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)[0].completions[0]
    size = len(whole.prompt_ids) + len(whole.completion_ids)
    fits, cuts = (
        encode(data, tiny_tokenizer, options=EncodingOptions(length, length - 2), cache=tmp_path)
        for length in (size, size - 1)
    )
    assert fits[0].completions[0].completion_ids[-1] == 0
    assert fits.truncated_completions == 0
    assert cuts[0].completions[0].completion_ids[-1] != 0
    assert cuts.truncated_completions == 1


@pytest.mark.parametrize("bos", [None, "<s>"])
def test_long_text_is_cut_into_pieces_and_no_token_is_lost(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path, bos: str | None
) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer)
    if bos:
        tokenizer.add_special_tokens({"bos_token": bos})
    text = "The cow says moo. <|user|>\n" * 9
    data = make_data("text", [{"text": text}, {"text": "Moo."}])
    encoded = encode(data, tokenizer, options=EncodingOptions(16, 8), cache=tmp_path)
    pieces = [e.completions[0] for e in encoded if e.id.startswith("train-0")]
    joined = [token for piece in pieces for token in piece.completion_ids.tolist()]
    assert joined == [*ids(tokenizer, text), tokenizer.eos_token_id]
    assert tokenizer.convert_tokens_to_ids("<|user|>") in joined
    first = tokenizer.eos_token_id if bos is None else tokenizer.bos_token_id
    prompts = [piece.prompt_ids.tolist() for piece in pieces]
    assert prompts == [[first], *([piece.completion_ids[-1]] for piece in pieces[:-1])]
    assert all(1 + len(piece.completion_ids) <= 16 for piece in pieces)
    assert [e.id for e in encoded][:2] == ["train-0", "train-0#2"]
    assert encoded[-1].id == "train-1"
    assert len({piece.completion_id for piece in pieces}) == len(pieces)


@pytest.mark.parametrize(
    ("feedback", "row"),
    [
        ("demonstration", {"prompt": COW, "completion": ""}),
        ("paired", {"prompt": COW, "chosen": "Moo.", "rejected": ""}),
        ("text", {"text": ""}),
    ],
)
def test_empty_completion_is_an_error_that_names_the_row(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path, feedback: str, row: dict[str, Any]
) -> None:
    data = make_data(feedback, [row | {"id": "row-17"}])
    with pytest.raises(DataError, match="train: row row-17: a completion is empty"):
        encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    assert not list(tmp_path.glob("tokens/*/counts.json"))


def test_prompt_that_could_fill_all_of_the_length_is_refused() -> None:
    with pytest.raises(UserError, match=r"max_prompt_length 64 must be .* less than max_length 64"):
        EncodingOptions(64, 64)


def test_second_call_reads_the_cache(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data("demonstration", [{"prompt": COW, "completion": "Moo."}])
    first = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)

    def never(*args: object) -> None:
        raise AssertionError("tokenised again")

    monkeypatch.setattr(encoding, "_Encoder", never)
    second = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    assert second.counts == first.counts
    assert second[0].completions[0].completion_ids.tolist()


@pytest.mark.parametrize("damage", ["one number", "a list", "a folder"])
def test_counts_that_are_not_what_was_written_are_counted_again(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path, damage: str
) -> None:
    data = make_data("demonstration", [{"prompt": COW, "completion": "Moo."}])
    first = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    (path,) = tmp_path.glob("tokens/*/counts.json")
    text = path.read_text()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    else:
        path.write_text(
            "[]" if damage == "a list" else text.replace('"desirable": 1', '"desirable": 3')
        )
    warnings: list[str] = []
    again = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path, warn=warnings.append)
    assert again.counts == first.counts
    (warning,) = warnings
    assert warning.startswith(f"train: {path} cannot be read: ")
    assert path.read_text() == text


def test_cache_key_changes_with_everything_that_changes_ids_and_nothing_else(
    make_data: MakeData, tiny_tokenizer: Any
) -> None:
    data = make_data("demonstration", [{"prompt": COW, "completion": "Moo."}])
    same = make_data("demonstration", [{"prompt": COW, "completion": "Moo."}])
    other = make_data("demonstration", [{"prompt": COW, "completion": "Boo."}], name="other")
    key = cache_key(data, tiny_tokenizer, LONG)
    assert cache_key(same, tiny_tokenizer, LONG) == key
    used = copy.deepcopy(tiny_tokenizer)
    used.pad_token = used.eos_token
    used(["a", "b c d"], padding=True, truncation=True, max_length=2)
    assert cache_key(data, used, LONG) == key
    template, grown = copy.deepcopy(tiny_tokenizer), copy.deepcopy(tiny_tokenizer)
    template.chat_template = template.chat_template + " "
    grown.add_tokens(["cow"])
    keys = {
        key,
        cache_key(other, tiny_tokenizer, LONG),
        cache_key(data, template, LONG),
        cache_key(data, grown, LONG),
        cache_key(data, tiny_tokenizer, EncodingOptions(64, 31)),
        cache_key(data, tiny_tokenizer, EncodingOptions(63, 32)),
    }
    assert len(keys) == 6


def test_killed_writer_leaves_nothing_that_is_read(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data("demonstration", [{"prompt": COW, "completion": "Moo."}])
    whole = encoding.write_counts
    monkeypatch.setattr(encoding, "write_counts", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    assert [p.suffix for p in (tmp_path / "tokens").iterdir()] in ([".lock"], [])
    monkeypatch.setattr(encoding, "write_counts", whole)
    assert len(encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)) == 1


def test_two_threads_encode_at_the_same_time_once(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    calls = []
    fill = encoding._fill
    monkeypatch.setattr(encoding, "_fill", lambda *a: (calls.append(a), fill(*a)))
    data = make_data("demonstration", [{"prompt": COW, "completion": "Moo."}] * 200)

    def run(_: int) -> EncodedData:
        return encode(data, copy.deepcopy(tiny_tokenizer), options=LONG, cache=tmp_path)

    with ThreadPoolExecutor(2) as pool:
        a, b = pool.map(run, range(2))
    assert len(a) == len(b) == 200
    assert len(calls) == 1


def test_rows_span_many_batches_and_slices_and_negative_positions_work(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halo_trainer.encode import examples as on_disk

    monkeypatch.setattr(on_disk, "_ROWS_PER_BATCH", 4)
    monkeypatch.setattr(encoding, "_ROWS_PER_CALL", 3)
    rows = [{"prompt": COW, "completion": f"Moo {i}."} for i in range(10)]
    encoded = encode(make_data("demonstration", rows), tiny_tokenizer, options=LONG, cache=tmp_path)
    texts = [tiny_tokenizer.decode(e.completions[0].completion_ids[:-1]) for e in encoded]
    assert texts == [f"Moo {i}." for i in range(10)]
    assert encoded[-1].id == "train-9"
    assert [e.id for e in encoded[7:9]] == ["train-7", "train-8"]
    with pytest.raises(IndexError):
        encoded[10]
    assert encoded.counts.completion_tokens == sum(
        len(e.completions[0].completion_ids) for e in encoded
    )


def test_template_that_refuses_a_prompt_is_an_error_that_names_it(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    prompt = [{"role": "tool", "content": "4"}]
    data = make_data("demonstration", [{"prompt": prompt, "completion": "Moo."}])
    with pytest.raises(DataError, match=r"^train: row train-0: .* roles are tool: no role tool"):
        encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
