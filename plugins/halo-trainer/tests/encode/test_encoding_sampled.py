"""Sampled completions: their ids, how they ended, and texts that become equal by the cut."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.rows import DataSet
from halo_models.conversation import ChatOptions
from halo_models.digests import template_digest, tokenizer_digest
from halo_trainer.encode.encode_sets import encoding_remarks
from halo_trainer.encode.rows_to_tokens import EncodingOptions, encode

LONG = EncodingOptions(max_length=64, max_prompt_length=32)
COW = [{"role": "user", "content": "What says a cow?"}]
MakeData = Callable[..., DataSet]
END = 0


def digests(tokenizer: Any) -> dict[str, str]:
    return {
        "tokenizer": tokenizer_digest(tokenizer),
        "template": template_digest(tokenizer, ChatOptions()),
    }


def letters(tokenizer: Any, text: str) -> list[int]:
    """Ids that the tokenizer would never give for a text: one per byte."""
    return [tokenizer(character)["input_ids"][0] for character in text]


def sampled(words: Any, text: str, finish: str, **more: Any) -> dict[str, Any]:
    ids = letters(words, text)
    return {
        "prompt": COW,
        "completion": text,
        "completion_token_ids": ids,
        "finish": finish,
        **digests(words),
        **more,
    }


def trained(encoded: Any) -> list[list[int]]:
    return [c.completion_ids.tolist() for e in encoded for c in e.completions]


def test_sampled_ids_are_trained_as_they_were_sampled(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    row = sampled(tiny_tokenizer, "The cow says moo.", "stop")
    data = make_data("demonstration", [row])
    encoded = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    ids = letters(tiny_tokenizer, "The cow says moo.")
    assert ids != tiny_tokenizer("The cow says moo.")["input_ids"]
    assert trained(encoded) == [[*ids, END]]
    assert encoding_remarks(encoded.counts) == []


@pytest.mark.parametrize("name", ["tokenizer", "template"])
def test_ids_of_another_tokenizer_or_template_are_made_again_and_counted(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path, name: str
) -> None:
    row = sampled(tiny_tokenizer, "The cow says moo.", "stop", **{name: "other"})
    encoded = encode(
        make_data("demonstration", [row]), tiny_tokenizer, options=LONG, cache=tmp_path
    )
    assert trained(encoded) == [[*tiny_tokenizer("The cow says moo.")["input_ids"], END]]
    (line,) = encoding_remarks(encoded.counts)
    assert line == (
        "1 of 1 completions were sampled with another tokenizer or template, and are tokenised "
        "again"
    )


@pytest.mark.parametrize("with_ids", [True, False])
def test_what_was_cut_off_has_no_end(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path, with_ids: bool
) -> None:
    row = sampled(tiny_tokenizer, "The cow says", "length")
    if not with_ids:
        del row["completion_token_ids"]
    encoded = encode(
        make_data("demonstration", [row]), tiny_tokenizer, options=LONG, cache=tmp_path
    )
    expected = (
        letters(tiny_tokenizer, "The cow says")
        if with_ids
        else tiny_tokenizer("The cow says")["input_ids"]
    )
    assert trained(encoded) == [expected]


def test_unfinished_completions_are_dropped_and_counted_when_asked(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    rows = [sampled(tiny_tokenizer, "Moo", finish) for finish in ("stop", "length", "length")]
    options = replace(LONG, unfinished="drop")
    data = make_data("demonstration", rows)
    encoded = encode(data, tiny_tokenizer, options=options, cache=tmp_path)
    assert [example.id for example in encoded] == ["train-0"]
    assert encoding_remarks(encoded.counts) == ["dropped 2: unfinished"]


def test_unfinished_completions_become_undesirable_when_asked(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    rows = [sampled(tiny_tokenizer, "Moo", f, desirable=True) for f in ("stop", "length")]
    options = replace(LONG, unfinished="undesirable")
    encoded = encode(make_data("binary", rows), tiny_tokenizer, options=options, cache=tmp_path)
    assert [c.desirable for e in encoded for c in e.completions] == [True, False]
    assert encoded.counts.desirable == 1


def test_each_side_of_a_pair_has_its_own_ids_and_end(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    row = {
        "prompt": COW,
        "chosen": "Moo.",
        "rejected": "Quack",
        "chosen_token_ids": letters(tiny_tokenizer, "Moo."),
        "chosen_finish": "stop",
        "rejected_finish": "length",
        **digests(tiny_tokenizer),
    }
    encoded = encode(make_data("paired", [row]), tiny_tokenizer, options=LONG, cache=tmp_path)
    assert trained(encoded) == [
        [*letters(tiny_tokenizer, "Moo."), END],
        tiny_tokenizer("Quack")["input_ids"],
    ]


def test_pairs_that_the_cut_makes_identical_are_dropped(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    alike = {"prompt": COW, "chosen": "moo " * 40 + "end", "rejected": "moo " * 40 + "stop"}
    other = {"prompt": COW, "chosen": "Moo.", "rejected": "Quack."}
    data = make_data("paired", [alike, other])
    encoded = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    assert [example.id for example in encoded] == ["train-1"]
    assert encoded.counts.examples == 1
    assert encoding_remarks(encoded.counts)[-1] == (
        "dropped 1: identical sides when cut to max_length"
    )


def test_a_completion_that_the_cut_puts_under_both_labels_is_dropped(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    rows = [
        {"prompt": COW, "completion": "moo " * 40 + "end", "desirable": True},
        {"prompt": COW, "completion": "Moo.", "desirable": True},
        {"prompt": COW, "completion": "moo " * 40 + "stop", "desirable": False},
        {"prompt": COW, "completion": "Moo.", "desirable": False},
    ]
    encoded = encode(make_data("binary", rows), tiny_tokenizer, options=LONG, cache=tmp_path)
    # The data have one text with both labels.
    assert [example.id for example in encoded] == ["train-1", "train-3"]
    assert (encoded.counts.examples, encoded.counts.desirable) == (2, 1)
    assert encoded.counts.dropped["one completion with both labels when cut to max_length"] == 2
    assert not list(tmp_path.glob("tokens/tmp*"))


def test_rows_that_the_template_cannot_write_are_an_error_or_dropped(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    tool = [*COW, {"role": "tool", "content": "moo"}]
    rows = [{"prompt": p, "completion": "Moo."} for p in (COW, tool)]
    data = make_data("demonstration", rows)
    with pytest.raises(DataError, match="train: row train-1: the chat template refuses") as raised:
        encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    assert "template_mismatch: drop" in str(raised.value)
    options = replace(LONG, chat=ChatOptions(template_mismatch="drop"))
    encoded = encode(data, tiny_tokenizer, options=options, cache=tmp_path)
    assert [example.id for example in encoded] == ["train-0"]
    assert encoding_remarks(encoded.counts) == [
        "dropped 1: the chat template refuses the messages: no role tool"
    ]


def test_rows_that_spell_control_tokens_are_counted_with_advice(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    row = {"prompt": COW, "completion": "Moo.<|endoftext|>"}
    data = make_data("demonstration", [row])
    encoded = encode(data, tiny_tokenizer, options=LONG, cache=tmp_path)
    (ids,) = trained(encoded)
    assert ids.count(END) == 1
    assert ids[-1] == END
    (line,) = encoding_remarks(encoded.counts)
    assert line.startswith("1 of 1 completions spell control tokens")
    assert "pretemplated: true" in line


def test_pretemplated_rows_are_tokenised_as_they_stand(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    text = "<|user|>\nWhat says a cow?\n<|assistant|>\n"
    rows = [
        {"prompt": [{"role": "user", "content": text}], "completion": completion}
        for completion in ("Moo.<|endoftext|>", "Moo.")
    ]
    options = replace(LONG, chat=ChatOptions(pretemplated=True))
    data = make_data("demonstration", rows)
    encoded = encode(data, tiny_tokenizer, options=options, cache=tmp_path)
    plain = encode(
        make_data("demonstration", [{"prompt": COW, "completion": "Moo."}], name="plain"),
        tiny_tokenizer,
        options=LONG,
        cache=tmp_path,
    )
    assert trained(encoded) == trained(plain) * 2
    expected = plain[0].completions[0].prompt_ids.tolist()
    assert [e.completions[0].prompt_ids.tolist() for e in encoded] == [expected] * 2


def test_prompts_whose_calls_differ_in_the_order_of_keys_are_rendered_apart(
    make_data: MakeData, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ m.tool_calls | tojson }}"
        "<|endoftext|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    ).replace("{{ m.tool_calls | tojson }}", "{{ m.tool_calls | tojson if m.tool_calls }}")
    rows = [
        {
            "prompt": [
                *COW,
                {"role": "assistant", "content": "", "tool_calls": [{"function": call}]},
                {"role": "tool", "content": "moo"},
            ],
            "completion": "Moo.",
        }
        for call in ({"name": "a", "at": 1}, {"at": 1, "name": "a"})
    ]
    data = make_data("demonstration", rows)
    assert len({row["prompt_id"] for row in data}) == 1
    options = EncodingOptions(max_length=200, max_prompt_length=150)
    encoded = encode(data, tokenizer, options=options, cache=tmp_path)
    texts = [tokenizer.decode(example.completions[0].prompt_ids) for example in encoded]
    assert '{"name": "a", "at": 1}' in texts[0]
    assert '{"at": 1, "name": "a"}' in texts[1]
