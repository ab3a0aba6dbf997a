"""Added tokens of every kind in content: protected tokens become letters, others stay tokens."""

from __future__ import annotations

from typing import Any

import pytest

from halo_core.errors import UserError
from halo_models.chat_encoder import ChatEncoder, ChatRow, EncodedRow
from halo_models.chat_format import ChatFormat
from halo_models.conversation import SPELLS, Answer, ChatOptions, Conversation
from halo_models.templates import alternatives
from halo_models.testing import KINDS, Kind, make_chat_tokenizer
from halo_models.turn_marks import added_tokens

TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
WIDE = "\N{FULLWIDTH LESS-THAN SIGN}|end|\N{FULLWIDTH GREATER-THAN SIGN}"
MARKS = ("<|user|>", "<|assistant|>", "<|end|>")


def tokenizer_of(kind: Kind, *further: Any, special: bool = True, **options: Any) -> Any:
    from tokenizers import AddedToken

    marks = [AddedToken(mark, special=special, **options) for mark in MARKS]
    return make_chat_tokenizer(kind, TEMPLATE, added=[*marks, *further])


def encoded(
    tokenizer: Any, question: str, answer: str, options: ChatOptions | None = None
) -> EncodedRow:
    chat = ChatFormat(tokenizer, options)
    conversation = Conversation([{"role": "user", "content": question}])
    (row,) = ChatEncoder(chat, 1000).rows([ChatRow("p", conversation, (Answer(answer),))])
    assert isinstance(row, EncodedRow)
    return row


def strings(tokenizer: Any, row: EncodedRow) -> list[str]:
    ids = [*row.prompt_ids, *row.answers[0].ids]
    return list(tokenizer.convert_ids_to_tokens(ids))


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}]
)
@pytest.mark.parametrize("kind", KINDS)
def test_marks_are_tokens_where_the_template_writes_them_alone(
    kind: Kind, options: dict[str, bool], special: bool
) -> None:
    tokenizer = tokenizer_of(kind, special=special, normalized=False, **options)
    row = encoded(tokenizer, "say <|end|> and <|user|>", "moo <|end|>now")
    marks = [token for token in strings(tokenizer, row) if token in MARKS]
    assert marks == ["<|user|>", "<|end|>", "<|assistant|>", "<|end|>"]
    assert row.answers[0].remarks == {SPELLS}
    if kind.startswith("bytes"):
        text = tokenizer.decode([*row.prompt_ids, *row.answers[0].ids])
        assert text == ("<|user|>say <|end|> and <|user|><|end|><|assistant|>moo <|end|>now<|end|>")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"single_word": True}, {"normalized": True}])
def test_mark_that_is_read_as_letters_ends_nothing(kind: Kind, options: dict[str, bool]) -> None:
    tokenizer = tokenizer_of(kind, special=False, **options)
    row = encoded(tokenizer, "say", "moo")
    found = strings(tokenizer, row)
    glued = tokenizer("moo<|end|>", add_special_tokens=False)["input_ids"]
    read = tokenizer.convert_ids_to_tokens(glued)[-1] == "<|end|>"
    assert found[-1] == ("<|end|>" if read else "<eos>")
    assert found.count("<eos>") == (not read)


@pytest.mark.parametrize(("normalizer", "spelled"), [("Lowercase", "<|END|>"), ("NFKC", WIDE)])
def test_other_spellings_of_a_normalised_token_stay_letters(normalizer: str, spelled: str) -> None:
    from tokenizers import normalizers

    tokenizer = tokenizer_of("bytes", normalized=True)
    tokenizer.backend_tokenizer.normalizer = getattr(normalizers, normalizer)()
    assert "<|end|>" in tokenizer.convert_ids_to_tokens(tokenizer(spelled)["input_ids"])
    row = encoded(tokenizer, f"say {spelled}", f"{spelled}{spelled} moo <|end|>")
    marks = [token for token in strings(tokenizer, row) if token in MARKS]
    assert marks == ["<|user|>", "<|end|>", "<|assistant|>", "<|end|>"]
    assert row.answers[0].remarks == {SPELLS}


def test_token_that_the_vocabulary_holds_too_is_spelled_in_halves() -> None:
    tokenizer = tokenizer_of("unigram")
    assert "<unk>" in tokenizer.get_vocab()
    row = encoded(tokenizer, "say", "<unk>")
    ids = row.answers[0].ids
    native = tokenizer("<unk>", add_special_tokens=False)["input_ids"]
    assert len(ids[:-1]) > len(native)


def test_words_of_the_model_stay_tokens_in_content() -> None:
    tokenizer = tokenizer_of("bytes", "<think>", "</think>")
    row = encoded(tokenizer, "why", "<think>x</think>moo")
    found = strings(tokenizer, row)
    assert "<think>" in found
    assert "</think>" in found
    assert row.answers[0].remarks == frozenset()


def test_content_tokens_add_and_remove() -> None:
    from tokenizers import AddedToken

    cite = AddedToken("[CITE]", special=True)
    tokenizer = tokenizer_of("bytes", "<think>", cite)
    text = "[CITE] <think>"
    assert "[CITE]" not in strings(tokenizer, encoded(tokenizer, "why", text))
    assert "<think>" in strings(tokenizer, encoded(tokenizer, "why", text))
    options = ChatOptions(content_tokens=("[CITE]", "-<think>"))
    row = encoded(tokenizer, text, text, options)
    found = strings(tokenizer, row)
    assert found.count("[CITE]") == 2
    assert "<think>" not in found
    assert tokenizer.decode([*row.prompt_ids, *row.answers[0].ids]) == (
        f"<|user|>{text}<|end|><|assistant|>{text}<|end|>"
    )


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (
            "[NONE]",
            "content_tokens: '[NONE]' is not an added token of the tokenizer; expected one of",
        ),
        ("-[NONE]", "content_tokens: '[NONE]' is not an added token"),
        ("<|end|>", "content_tokens: '<|end|>' ends answers in the chat template"),
    ],
)
def test_content_token_that_cannot_be_one_is_an_error(token: str, words: str) -> None:
    with pytest.raises(UserError) as raised:
        ChatFormat(tokenizer_of("bytes"), ChatOptions(content_tokens=(token,)))
    assert str(raised.value).startswith(words)


def test_token_may_begin_with_a_minus() -> None:
    tokenizer = tokenizer_of("bytes", "-<x>", "<x>")
    chat = ChatFormat(tokenizer, ChatOptions(content_tokens=("-<x>",)))
    assert not chat.tokeniser.protected.search("<x>")


def test_tokens_of_white_space_are_text() -> None:
    tokenizer = tokenizer_of("bytes", "    ", "\n\n")
    assert {"    ", "\n\n"}.isdisjoint(added_tokens(tokenizer))
    row = encoded(tokenizer, "a    b\n\n", "c    \n\n")
    assert strings(tokenizer, row).count("    ") == 2
    assert row.answers[0].remarks == frozenset()


@pytest.mark.parametrize(
    "tokens", [[], ["<a>"], ["a", "aa", "aaa"], ["<b>", "<a>", "<ab>", "<a"], [".*", "(x)", "["]]
)
def test_pattern_of_alternatives_finds_the_longest(tokens: list[str]) -> None:
    pattern = alternatives(tokens)
    text = "".join(sorted(tokens, key=len)) + " <abc> aaaa<b>"
    longest_first = sorted(tokens, key=len, reverse=True)
    found, position = [], 0
    while position < len(text):
        token = next((t for t in longest_first if text.startswith(t, position)), None)
        found += [token] if token else []
        position += len(token) if token else 1
    assert pattern.findall(text) == found


def test_two_letter_tokens_and_neighbours_are_spelled() -> None:
    tokenizer = tokenizer_of("bytes", "~~")
    chat = ChatOptions(content_tokens=("-~~",))
    row = encoded(tokenizer, "~~~~~", "<|end|><|end|><|user|>", chat)
    assert "~~" not in strings(tokenizer, row)
    assert tokenizer.decode(row.prompt_ids) == "<|user|>~~~~~<|end|><|assistant|>"
